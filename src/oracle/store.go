package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// leaseTTL is how long a leader that died keeps the others from updating. A living one renews in time.
const leaseTTL = 30 * time.Second

// errFenced says that another leader took over: what this one still holds must not be written.
var errFenced = errors.New("another leader has taken over the update")

// store is what the replicas and the update job share. All keys are in one hash slot:
//
//	oracle:v1:{NETWORK}:prices        hash    mint -> record, JSON
//	oracle:v1:{NETWORK}:state         hash    version, before, fence, lease, completed, problem, sources, bucket
//	oracle:v1:{NETWORK}:history:MINT  string  points of a day, as in memory; expires a day after the last
//
// Every read-and-decide is one script, on Redis's own clock: the clocks of the replicas do not matter. Fences and versions
// are Redis's time in milliseconds, or one more than the last: a primary that takes over without the last writes of its
// predecessor does not give out again what that has given out.
type store struct {
	rdb           redis.UniversalClient
	prices, state string
	history       string // prefix
}

func newStore(rdb redis.UniversalClient, network string) *store {
	prefix := "oracle:v1:{" + network + "}:"
	return &store{rdb, prefix + "prices", prefix + "state", prefix + "history:"}
}

// turn is the answer to "is it for me to update?".
type turn struct {
	// Fence is greater than that of any earlier leader; 0 means that this caller is not the leader.
	Fence int64
	// Busy says that another leader is at work; otherwise a caller that is not leader is early.
	Busy bool
	// Version is that of the last write of prices; 0 if Redis has none.
	Version int64
	// Now is Redis's time.
	Now time.Time
}

var beginScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('HMGET', KEYS[1], 'version', 'completed', 'lease')
local version, completed, lease = tonumber(s[1] or 0), tonumber(s[2] or 0), tonumber(s[3] or 0)
local age, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A time in the future means that the clock was set back: it counts as past.
if lease > now and lease <= now + ttl then return {0, 1, version, now} end
if completed <= now and now - completed < age then return {0, 0, version, now} end
local fence = math.max(now, (redis.call('HGET', KEYS[1], 'fence') or 0) + 1)
redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + ttl), 'fence', string.format('%.0f', fence))
return {fence, 0, version, now}`)

// begin makes the caller leader if nobody else is and the last update is at least age old.
func (s *store) begin(ctx context.Context, age time.Duration) (turn, error) {
	v, err := beginScript.Run(ctx, s.rdb, []string{s.state}, age.Milliseconds(), leaseTTL.Milliseconds()).Int64Slice()
	if err != nil {
		return turn{}, fmt.Errorf("asking Redis whose turn it is: %w", err)
	}
	return turn{Fence: v[0], Busy: v[1] == 1, Version: v[2], Now: time.UnixMilli(v[3])}, nil
}

var renewScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]))
return 1`)

// renew keeps the leader of fence in office for another leaseTTL.
func (s *store) renew(ctx context.Context, fence int64) error {
	held, err := renewScript.Run(ctx, s.rdb, []string{s.state}, fence, leaseTTL.Milliseconds()).Int64()
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	if held == 0 {
		return errFenced
	}
	return nil
}

// KEYS: state, prices, one per point. ARGV: fence, ago, problem, sources, bucket, size of a full history, its lifetime in
// ms, count of mint-record pairs, the pairs, the points.
var commitScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return -1 end
local records, arg = tonumber(ARGV[8]), 9
for i = 1, records do
  if ARGV[arg + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[arg]) else redis.call('HSET', KEYS[2], ARGV[arg], ARGV[arg + 1]) end
  arg = arg + 2
end
local bucket = tonumber(ARGV[5])
if bucket > tonumber(redis.call('HGET', KEYS[1], 'bucket') or 0) then
  local full = tonumber(ARGV[6])
  for i = 3, #KEYS do
    if redis.call('APPEND', KEYS[i], ARGV[arg]) > full then redis.call('SET', KEYS[i], redis.call('GETRANGE', KEYS[i], -full, -1)) end
    redis.call('PEXPIRE', KEYS[i], ARGV[7])
    arg = arg + 1
  end
  if #KEYS > 2 then redis.call('HSET', KEYS[1], 'bucket', ARGV[5]) end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local completed, before = now - ARGV[2], tonumber(redis.call('HGET', KEYS[1], 'completed') or 0)
if before <= now and before > completed then completed = before end
local last = redis.call('HGET', KEYS[1], 'version') or 0
local version = math.max(now, last + 1)
redis.call('HSET', KEYS[1], 'completed', string.format('%.0f', completed), 'problem', ARGV[3], 'sources', ARGV[4], 'lease', 0,
  'version', string.format('%.0f', version), 'before', last)
return version`)

// outcome is what an update leaves behind.
type outcome struct {
	records map[string]record
	// expired are the mints whose records are removed.
	expired []string
	// problem is what could not be asked for, "" if nothing.
	problem string
	sources []sourceHealth
	// bucket is what the prices that are new are filed under in the history.
	bucket uint32
	prices map[string]float64
}

// commit writes an outcome in one step and ends the lease. ago is how long before now the update was completed, full the
// size of a history that drops its oldest point for a new one. It returns the new version.
func (s *store) commit(ctx context.Context, fence int64, o outcome, ago time.Duration, full int) (int64, error) {
	sources, err := json.Marshal(o.sources)
	if err != nil {
		return 0, fmt.Errorf("encoding the sources: %w", err)
	}
	keys := make([]string, 2, 2+len(o.prices))
	keys[0], keys[1] = s.state, s.prices
	args := make([]any, 0, 8+2*len(o.expired)+2*len(o.records)+len(o.prices))
	args = append(args, fence, ago.Milliseconds(), o.problem, sources, o.bucket, full, (2 * historySpan).Milliseconds(), len(o.expired)+len(o.records))
	for _, mint := range o.expired {
		args = append(args, mint, "")
	}
	for mint, r := range o.records {
		value, err := json.Marshal(r)
		if err != nil {
			return 0, fmt.Errorf("encoding the price of %s: %w", mint, err)
		}
		args = append(args, mint, value)
	}
	for mint, usd := range o.prices {
		keys = append(keys, s.history+mint)
		args = append(args, point(o.bucket, usd))
	}
	version, err := commitScript.Run(ctx, s.rdb, keys, args...).Int64()
	if err != nil {
		return 0, fmt.Errorf("writing prices to Redis: %w", err)
	}
	if version < 0 {
		return 0, errFenced
	}
	return version, nil
}

// historyBatch is how many histories one round trip reads or writes: a megabyte.
const historyBatch = 60

// loadHistory reads the histories of mints.
func (s *store) loadHistory(ctx context.Context, mints []string) (map[string][]byte, error) {
	series := make(map[string][]byte, len(mints))
	for batch := range slices.Chunk(mints, historyBatch) {
		keys := make([]string, len(batch))
		for i, mint := range batch {
			keys[i] = s.history + mint
		}
		values, err := s.rdb.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("reading the history from Redis: %w", err)
		}
		for i, v := range values {
			if text, ok := v.(string); ok {
				series[batch[i]] = []byte(text)
			}
		}
	}
	return series, nil
}

// saveHistory replaces histories.
func (s *store) saveHistory(ctx context.Context, series map[string][]byte) error {
	pipe := s.rdb.Pipeline()
	for mint, points := range series {
		pipe.Set(ctx, s.history+mint, points, 2*historySpan)
		if pipe.Len() < historyBatch {
			continue
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("writing the history back to Redis: %w", err)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("writing the history back to Redis: %w", err)
	}
	return nil
}

var releaseScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'fence') == ARGV[1] then redis.call('HSET', KEYS[1], 'lease', 0) end`)

// release ends the lease of an update that was given up: it is somebody else's turn at once.
func (s *store) release(ctx context.Context, fence int64) error {
	if err := releaseScript.Run(ctx, s.rdb, []string{s.state}, fence).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("releasing the lease: %w", err)
	}
	return nil
}

// saved is what Redis holds: an outcome, its version and the version before.
type saved struct {
	outcome
	version, before int64
}

// load reads all prices and the version that they belong to. A value that cannot be read is left out and reported in the
// error; what could be read is returned with it.
func (s *store) load(ctx context.Context) (saved, error) {
	tx := s.rdb.TxPipeline()
	state, prices := tx.HMGet(ctx, s.state, "version", "before", "problem", "sources", "bucket"), tx.HGetAll(ctx, s.prices)
	if _, err := tx.Exec(ctx); err != nil {
		return saved{}, fmt.Errorf("reading prices from Redis: %w", err)
	}
	got := saved{outcome: outcome{records: make(map[string]record, len(prices.Val()))}}
	for i, version := range []*int64{&got.version, &got.before} {
		if text, ok := state.Val()[i].(string); ok {
			*version, _ = strconv.ParseInt(text, 10, 64)
		}
	}
	got.problem, _ = state.Val()[2].(string)
	var errs []error
	if text, ok := state.Val()[3].(string); ok {
		if err := json.Unmarshal([]byte(text), &got.sources); err != nil {
			errs = append(errs, fmt.Errorf("the stored state of the sources cannot be read: %w", err))
		}
	}
	if text, ok := state.Val()[4].(string); ok {
		bucket, _ := strconv.ParseUint(text, 10, 32)
		got.bucket = uint32(bucket)
	}
	for mint, value := range prices.Val() {
		var r record
		err := json.Unmarshal([]byte(value), &r)
		if err == nil {
			err = r.check()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the stored price of %s cannot be read: %w", mint, err))
			continue
		}
		got.records[mint] = r
	}
	return got, errors.Join(errs...)
}
