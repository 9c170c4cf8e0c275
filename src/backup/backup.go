package backup

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	start := time.Now()
	m, err := run(ctx, cfg, p)
	if cfg.PushgatewayURL != "" {
		if err := announce(ctx, cfg, m, time.Since(start), err); err != nil {
			p.Log.Error("what came of the backup is in no metric", "error", err) // and takes nothing from the backup
		}
	}
	return err
}

// run returns the manifest as far as it got.
func run(ctx context.Context, cfg RunConfig, p *platform.Process) (m manifest, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("the backup took longer than BACKUP_TIMEOUT %v", cfg.Timeout))
	defer cancel()
	recipients, err := cfg.recipients()
	if err != nil {
		return m, err
	}
	key, err := cfg.signingKey()
	if err != nil {
		return m, err
	}
	rdb, err := cfg.RedisConfig.ClientWaiting(replyTimeout)
	if err != nil {
		return m, err
	}
	defer rdb.Close()
	var objects *cluster
	if len(cfg.Objects) > 0 {
		if objects, err = cfg.ClusterConfig.open(); err != nil {
			return m, err
		}
	}
	dest, err := openDestination(ctx, cfg.StorageConfig)
	if err != nil {
		return m, err
	}
	defer dest.Close()

	now := time.Now().UTC().Truncate(time.Second)
	m = manifest{Version: manifestVersion, Name: now.Format(nameLayout), CreatedAt: now, Program: platform.Version()}
	taken, err := dest.backups(ctx)
	if err != nil {
		return m, err
	}
	if slices.Contains(taken, m.Name) {
		return m, fmt.Errorf("backup %s exists already: another run has begun within this second", m.Name)
	}

	// The archive goes to its destination as a stream, hashed on the way. Objects come first: a Redis that is to be restored
	// may wait for its Secret.
	r, w := io.Pipe()
	var unread []error
	var export sync.WaitGroup
	export.Go(func() {
		var err error
		m.Contents, err = writeArchive(w, recipients, func(add func(string, any) error) (err error) {
			if objects != nil {
				if unread, err = objects.export(ctx, add); err != nil {
					return err
				}
			}
			failed, err := exportRedis(ctx, rdb, cfg.Prefixes, add)
			unread = append(unread, failed...)
			return err
		})
		w.CloseWithError(err)
	})
	sum := newSum()
	err = dest.put(ctx, m.Name+"/"+archiveFile, io.TeeReader(r, sum))
	r.CloseWithError(errors.New("the archive could not be stored")) // ends the export if the upload ended first
	export.Wait()
	if err != nil {
		return m, errors.Join(err, context.Cause(ctx))
	}
	m.Archive.Bytes, m.Archive.SHA256 = sum.n, sum.hex()
	// What is stored is read back: a backup counts once it is proven to be there.
	if err := checkArchive(ctx, dest, m); err != nil {
		return m, err
	}
	if m.Contents[kindRedis].Records == 0 {
		unread = append(unread, fmt.Errorf("no key in Redis under %q: has it lost its data?", cfg.Prefixes))
	}
	m.Unread = len(unread)
	text, err := m.encode(key)
	if err != nil {
		return m, err
	}
	// The manifest comes last: without it a backup does not count.
	if err := dest.put(ctx, m.Name+"/"+manifestFile, bytes.NewReader(text)); err != nil {
		return m, err
	}
	if len(unread) > 0 {
		return m, fmt.Errorf("backup %s is incomplete, older ones are kept; %w", m.Name, report(p, unread))
	}
	p.Log.Info("backup complete", "name", m.Name, "contents", m.Contents, "bytes", m.Archive.Bytes, "sha256", m.Archive.SHA256, "verify_key", verifyKeyOf(key))
	removed, err := prune(ctx, dest, cfg.Keep)
	if len(removed) > 0 {
		p.Log.Info("old backups removed", "names", removed)
	}
	if err != nil {
		return m, fmt.Errorf("backup %s is complete, but old ones could not be removed: %w", m.Name, err)
	}
	return m, nil
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
		if !slices.Contains(kinds, l.Kind) {
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

// Restore writes a backup's objects to the namespace and its keys to Redis, after it has verified the whole of it. What
// could not be written is in the error; all else is restored.
func Restore(ctx context.Context, cfg RestoreConfig, p *platform.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.Timeout, fmt.Errorf("restoring took longer than BACKUP_TIMEOUT %v", cfg.Timeout))
	defer cancel()
	dest, err := openDestination(ctx, cfg.StorageConfig)
	if err != nil {
		return err
	}
	defer dest.Close()
	m, err := verify(ctx, cfg.VerifyConfig, dest)
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	writers, err := openWriters(ctx, cfg, m, p)
	if err != nil {
		return fmt.Errorf("nothing was restored: %w", err)
	}
	defer writers.close()
	restored, refused := map[string]int{}, map[string]int{}
	var failed []error
	err = read(ctx, cfg.VerifyConfig, dest, m, func(l line) error {
		write := writers.of[l.Kind]
		if write == nil {
			return nil // not among the kinds that are asked for
		}
		err := write(l.Value)
		switch {
		case err == nil:
			restored[l.Kind]++
		case isReply(err), isStatus(err), errors.Is(err, errDiffers), errors.Is(err, errNotOurs): // which does not keep the others from being restored
			refused[l.Kind]++
			failed = append(failed, err)
		default:
			return fmt.Errorf("after %v: %w", restored, err)
		}
		return nil
	})
	p.Log.Info("restored", "name", m.Name, "made", m.CreatedAt, "restored", restored, "refused", refused)
	if len(failed) > 0 {
		err = errors.Join(err, fmt.Errorf("of backup %s %v were restored, not all; %w", m.Name, restored, report(p, failed)))
	}
	if m.Unread > 0 {
		err = errors.Join(err, fmt.Errorf("backup %s was incomplete: %d things could not be read when it was made", m.Name, m.Unread))
	}
	return err
}

// writers write the records of a backup, by their kind.
type writers struct {
	of    map[string]func(json.RawMessage) error
	close func()
}

// openWriters opens what the records of a backup are restored into, and only that.
func openWriters(ctx context.Context, cfg RestoreConfig, m manifest, p *platform.Process) (*writers, error) {
	w := &writers{of: map[string]func(json.RawMessage) error{}, close: func() {}}
	var objects *cluster
	for _, kind := range cfg.Kinds {
		switch {
		case m.Contents[kind].Records == 0:
		case kind == kindRedis:
			rdb, err := cfg.RedisConfig.ClientWaiting(replyTimeout)
			if err != nil {
				return nil, err
			}
			w.close = func() { rdb.Close() }
			ready := sync.OnceValue(func() error { return awaitRedis(ctx, rdb, p) })
			w.of[kind] = func(value json.RawMessage) error {
				if err := ready(); err != nil {
					return err
				}
				return restoreRedis(ctx, rdb, value, cfg.Replace)
			}
		case cfg.Namespace == "":
			return nil, fmt.Errorf("backup %s holds %s: set BACKUP_NAMESPACE, or BACKUP_RESTORE_KINDS=redis to leave them", m.Name, kind)
		default:
			if objects == nil {
				var err error
				if objects, err = cfg.ClusterConfig.open(); err != nil {
					return nil, err
				}
			}
			w.of[kind] = func(value json.RawMessage) error { return objects.restore(ctx, kind, value, cfg.Replace) }
		}
	}
	return w, nil
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
