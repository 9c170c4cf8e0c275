package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/platform"
)

const kindRedis = "redis"

// redisRecord is one key as Redis's own DUMP writes it, which RESTORE of the same or a later version of Redis reads.
type redisRecord struct {
	Key []byte `json:"key"`
	// TTLMs is what the key had left to live, in milliseconds; 0 means for ever. It counts from the restore on.
	TTLMs int64  `json:"ttlMs,omitempty"`
	Dump  []byte `json:"dump"`
}

// scanBatch is how many keys one round trip reads.
const scanBatch = 200

// replyTimeout is for replies that are larger than those of a service, which must not wait long.
const replyTimeout = time.Minute

// A Redis that has just got its Secret back needs a moment to start.
const (
	redisStart = 2 * time.Minute
	redisPause = time.Second
)

// awaitRedis returns once Redis answers, or the error with which it does not after redisStart.
func awaitRedis(ctx context.Context, rdb redis.UniversalClient, p *platform.Process) error {
	ctx, cancel := context.WithTimeout(ctx, redisStart)
	defer cancel()
	for {
		err := rdb.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		p.Log.Warn("waiting for Redis", "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("asking Redis whether it is there: %w", err)
		case <-time.After(redisPause):
		}
	}
}

// exportRedis gives add every key under prefixes. Keys that exist and cannot be read are returned, each with its reason;
// an error means that Redis as a whole could not be read. A key that expires meanwhile is nobody's loss.
func exportRedis(ctx context.Context, rdb redis.UniversalClient, prefixes []string, add func(kind string, value any) error) (unread []error, err error) {
	seen := map[string]bool{} // SCAN may repeat a key, and prefixes may overlap
	var mu sync.Mutex         // nodes of a cluster are scanned one after another
	scan := func(ctx context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		for _, prefix := range prefixes {
			for cursor := uint64(0); ; {
				keys, next, err := node.Scan(ctx, cursor, globEscape(prefix)+"*", scanBatch).Result()
				if err != nil {
					return fmt.Errorf("listing the keys in Redis under %s: %w", prefix, err)
				}
				fresh := keys[:0]
				for _, key := range keys {
					if !seen[key] {
						seen[key] = true
						fresh = append(fresh, key)
					}
				}
				failed, err := dump(ctx, rdb, fresh, add)
				unread = append(unread, failed...)
				if err != nil {
					return err
				}
				if cursor = next; cursor == 0 {
					break
				}
			}
		}
		return nil
	}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, scan)
	} else {
		err = scan(ctx, rdb.(*redis.Client))
	}
	return unread, err
}

func dump(ctx context.Context, rdb redis.UniversalClient, keys []string, add func(kind string, value any) error) (unread []error, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	dumps, ttls := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
	pipe := rdb.Pipeline()
	for i, key := range keys {
		dumps[i], ttls[i] = pipe.Dump(ctx, key), pipe.PTTL(ctx, key)
	}
	pipe.Exec(ctx) // each command has its own error
	for i, key := range keys {
		value, err := dumps[i].Result()
		if errors.Is(err, redis.Nil) {
			continue // it has expired
		}
		var ttl time.Duration
		if err == nil {
			ttl, err = ttls[i].Result()
		}
		switch {
		case isReply(err):
			unread = append(unread, fmt.Errorf("key %q: %w", key, err))
			continue
		case err != nil:
			return unread, fmt.Errorf("reading keys from Redis: %w", err)
		case ttl == -2: // it has expired since the dump
			continue
		}
		if err := add(kindRedis, redisRecord{[]byte(key), max(0, ttl.Milliseconds()), []byte(value)}); err != nil {
			return unread, err
		}
	}
	return unread, nil
}

// isReply tells what Redis answered from a Redis that cannot be reached.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// globEscape makes a prefix match itself alone.
func globEscape(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(prefix)
}

// restoreRedis writes one record. It is Redis's own refusal (isReply) if the key exists and replace is false.
func restoreRedis(ctx context.Context, rdb redis.UniversalClient, value json.RawMessage, replace bool) error {
	var r redisRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return fmt.Errorf("a record of Redis cannot be read: %w", err)
	}
	restore := rdb.Restore
	if replace {
		restore = rdb.RestoreReplace
	}
	err := restore(ctx, string(r.Key), time.Duration(r.TTLMs)*time.Millisecond, string(r.Dump)).Err()
	switch {
	case err == nil:
		return nil
	case strings.HasPrefix(err.Error(), "BUSYKEY"):
		return fmt.Errorf("key %q was left as it is, BACKUP_RESTORE_REPLACE=true replaces: %w", r.Key, err)
	case strings.Contains(err.Error(), "DUMP payload version"):
		return fmt.Errorf("key %q: the backup is from a later version of Redis than this one, or from another product: %w", r.Key, err)
	}
	return fmt.Errorf("key %q: %w", r.Key, err)
}
