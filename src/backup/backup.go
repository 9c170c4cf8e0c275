package backup

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"jupiter-dex-integration/src/platform"
)

// maxManifest bounds what is read as a manifest.
const maxManifest = 1 << 20

// Run makes one backup and removes those beyond the retention. A backup that lacks something that exists is stored, and
// is an error all the same: the error says what, the manifest says how much, and it never takes the place of a complete one.
func Run(ctx context.Context, cfg RunConfig, p *platform.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("the backup took longer than BACKUP_TIMEOUT %v", cfg.Timeout))
	defer cancel()
	recipients, err := cfg.recipients()
	if err != nil {
		return err
	}
	key, err := cfg.signingKey()
	if err != nil {
		return err
	}
	rdb, err := cfg.RedisConfig.ClientWaiting(replyTimeout)
	if err != nil {
		return err
	}
	defer rdb.Close()
	dest, err := openDestination(ctx, cfg.StorageConfig)
	if err != nil {
		return err
	}
	defer dest.Close()

	now := time.Now().UTC().Truncate(time.Second)
	m := manifest{Version: manifestVersion, Name: now.Format(nameLayout), CreatedAt: now, Program: platform.Version()}
	taken, err := dest.backups(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(taken, m.Name) {
		return fmt.Errorf("backup %s exists already: another run has begun within this second", m.Name)
	}

	// The archive goes from Redis to its destination as a stream, hashed on the way.
	r, w := io.Pipe()
	var unread []error
	var export sync.WaitGroup
	export.Go(func() {
		var err error
		m.Contents, err = writeArchive(w, recipients, func(add func(string, any) error) (err error) {
			unread, err = exportRedis(ctx, rdb, cfg.Prefixes, add)
			return err
		})
		w.CloseWithError(err)
	})
	sum := newSum()
	err = dest.put(ctx, m.Name+"/"+archiveFile, io.TeeReader(r, sum))
	r.CloseWithError(errors.New("the archive could not be stored")) // ends the export if the upload ended first
	export.Wait()
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	m.Archive.Bytes, m.Archive.SHA256 = sum.n, sum.hex()
	// What is stored is read back: a backup counts once it is proven to be there.
	if err := checkArchive(ctx, dest, m); err != nil {
		return err
	}
	if m.Contents[kindRedis].Records == 0 {
		unread = append(unread, fmt.Errorf("no key in Redis under %q: has it lost its data?", cfg.Prefixes))
	}
	m.Unread = len(unread)
	text, err := m.encode(key)
	if err != nil {
		return err
	}
	// The manifest comes last: without it a backup does not count.
	if err := dest.put(ctx, m.Name+"/"+manifestFile, bytes.NewReader(text)); err != nil {
		return err
	}
	if len(unread) > 0 {
		return fmt.Errorf("backup %s is incomplete, older ones are kept; %w", m.Name, report(p, unread))
	}
	p.Log.Info("backup complete", "name", m.Name, "contents", m.Contents, "bytes", m.Archive.Bytes, "sha256", m.Archive.SHA256)
	removed, err := prune(ctx, dest, cfg.Keep)
	if len(removed) > 0 {
		p.Log.Info("old backups removed", "names", removed)
	}
	if err != nil {
		return fmt.Errorf("backup %s is complete, but old ones could not be removed: %w", m.Name, err)
	}
	return nil
}

// prune removes every backup, complete or not, that is older than the keep latest complete ones.
func prune(ctx context.Context, dest destination, keep int) (removed []string, err error) {
	names, err := dest.backups(ctx)
	if err != nil {
		return nil, err
	}
	complete := 0
	for _, name := range slices.Backward(names) {
		if complete >= keep {
			// The manifest goes first: what is left of a removal that fails is no backup.
			for _, file := range []string{manifestFile, archiveFile} {
				if err := dest.remove(ctx, name+"/"+file); err != nil {
					return removed, err
				}
			}
			removed = append(removed, name)
			continue
		}
		if m, err := readManifest(ctx, dest, name, nil); err == nil && m.Unread == 0 {
			complete++
		}
	}
	return removed, nil
}

// Verify proves that a backup can be restored: its manifest (and signature), the archive's hash, decryption, and every
// record's count and hash.
func Verify(ctx context.Context, cfg VerifyConfig, p *platform.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("verifying took longer than BACKUP_TIMEOUT %v", cfg.Timeout))
	defer cancel()
	dest, err := openDestination(ctx, cfg.StorageConfig)
	if err != nil {
		return err
	}
	defer dest.Close()
	m, err := verify(ctx, cfg, dest)
	if err != nil {
		return err
	}
	p.Log.Info("backup verified", "name", m.Name, "contents", m.Contents, "unread", m.Unread, "age", time.Since(m.CreatedAt).Round(time.Second))
	if m.Unread > 0 {
		return fmt.Errorf("backup %s is intact but incomplete: %d things could not be read when it was made", m.Name, m.Unread)
	}
	return nil
}

func verify(ctx context.Context, cfg VerifyConfig, dest destination) (manifest, error) {
	m, err := choose(ctx, cfg, dest)
	if err != nil {
		return m, err
	}
	if err := checkArchive(ctx, dest, m); err != nil {
		return m, err
	}
	return m, read(ctx, cfg, dest, m, func(l line) error {
		if l.Kind != kindRedis {
			return fmt.Errorf("the archive holds %q, which this program cannot restore: use the one that made it, of commit %s", l.Kind, m.Program)
		}
		return nil
	})
}

// choose returns the manifest of the backup that the configuration names, or of the latest complete one.
func choose(ctx context.Context, cfg VerifyConfig, dest destination) (manifest, error) {
	key, err := cfg.verifyKey()
	if err != nil {
		return manifest{}, err
	}
	if cfg.Name != "" {
		return readManifest(ctx, dest, cfg.Name, key)
	}
	names, err := dest.backups(ctx)
	if err != nil {
		return manifest{}, err
	}
	for _, name := range slices.Backward(names) {
		m, err := readManifest(ctx, dest, name, key)
		if errors.Is(err, fs.ErrNotExist) || err == nil && m.Unread > 0 {
			continue // never finished, or incomplete
		}
		return m, err
	}
	return manifest{}, fmt.Errorf("there is no complete backup among the %d at %s", len(names), cfg.Destination)
}

func readManifest(ctx context.Context, dest destination, name string, key ed25519.PublicKey) (manifest, error) {
	f, err := dest.open(ctx, name+"/"+manifestFile)
	if err != nil {
		return manifest{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return manifest{}, fmt.Errorf("reading the manifest of %s: %w", name, err)
	}
	return decodeManifest(text, name, key)
}

// checkArchive reads the stored archive and compares its hash.
func checkArchive(ctx context.Context, dest destination, m manifest) error {
	f, err := dest.open(ctx, m.Name+"/"+archiveFile)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := newSum()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("reading the archive of %s: %w", m.Name, err)
	}
	if sum.n != m.Archive.Bytes || sum.hex() != m.Archive.SHA256 {
		return fmt.Errorf("the archive of %s has %d bytes with hash %.12s, the manifest says %d with %.12s", m.Name, sum.n, sum.hex(), m.Archive.Bytes, m.Archive.SHA256)
	}
	return nil
}

// read gives each record of a backup to use, and compares what it read with the manifest.
func read(ctx context.Context, cfg VerifyConfig, dest destination, m manifest, use func(line) error) error {
	identities, err := cfg.identities()
	if err != nil {
		return err
	}
	f, err := dest.open(ctx, m.Name+"/"+archiveFile)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := readArchive(f, identities, use)
	if err != nil {
		return fmt.Errorf("backup %s: %w", m.Name, err)
	}
	return m.differences(got)
}

// Restore writes a backup's keys to Redis, after it has verified the whole of it. Keys that could not be written are in the
// error; all others are restored.
func Restore(ctx context.Context, cfg RestoreConfig, p *platform.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("restoring took longer than BACKUP_TIMEOUT %v", cfg.Timeout))
	defer cancel()
	rdb, err := cfg.RedisConfig.ClientWaiting(replyTimeout)
	if err != nil {
		return err
	}
	defer rdb.Close()
	if err := rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("asking Redis whether it is there: %w", err)
	}
	dest, err := openDestination(ctx, cfg.StorageConfig)
	if err != nil {
		return err
	}
	defer dest.Close()
	m, err := verify(ctx, cfg.VerifyConfig, dest)
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	restored := 0
	var failed []error
	err = read(ctx, cfg.VerifyConfig, dest, m, func(l line) error {
		err := restoreRedis(ctx, rdb, l.Value, cfg.Replace)
		switch {
		case err == nil:
			restored++
		case !isReply(err):
			return fmt.Errorf("after %d keys: %w", restored, err)
		default: // a key that Redis refuses does not keep the others from being restored
			failed = append(failed, err)
		}
		return nil
	})
	p.Log.Info("restored", "name", m.Name, "made", m.CreatedAt, "keys", restored, "refused", len(failed))
	if len(failed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d keys of backup %s were restored, not all; %w", restored, m.Name, report(p, failed)))
	}
	if m.Unread > 0 {
		err = errors.Join(err, fmt.Errorf("backup %s was incomplete: %d things could not be read when it was made", m.Name, m.Unread))
	}
	return err
}

// report logs every problem and returns an error of bearable length.
func report(p *platform.Process, problems []error) error {
	for _, problem := range problems {
		p.Log.Error("problem", "error", problem)
	}
	const few = 5
	if len(problems) <= few {
		return fmt.Errorf("%d problems: %w", len(problems), errors.Join(problems...))
	}
	return fmt.Errorf("%d problems, all of them in the log, the first: %w", len(problems), errors.Join(problems[:few]...))
}

// sum counts and hashes what is written to it.
type sum struct {
	n    int64
	hash hash.Hash
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	return s.hash.Write(b)
}

func (s *sum) hex() string { return hex.EncodeToString(s.hash.Sum(nil)) }
