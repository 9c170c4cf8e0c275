package backup

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis's own
	os.Exit(m.Run())
}

// realRedis starts a redis-server of its own for the test.
func realRedis(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: redistest.Start(t).Address})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// bench is what a test works with: a Redis with state in it, a destination, and the keys.
type bench struct {
	redis       *redis.Client
	destination []string // environment
	dest        destination
	identity    *age.X25519Identity
}

func newBench(t *testing.T, scheme string) *bench {
	t.Helper()
	b := &bench{redis: realRedis(t)}
	switch scheme {
	case "file":
		b.destination = []string{"BACKUP_DESTINATION=file://" + t.TempDir()}
	case "s3":
		backend := s3mem.New()
		if err := backend.CreateBucket("backups"); err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
		t.Cleanup(s.Close)
		b.destination = []string{"BACKUP_DESTINATION=s3://backups/tier/mainnet", "BACKUP_S3_ENDPOINT=" + s.URL, "BACKUP_S3_REGION=us-east-1",
			"BACKUP_S3_ACCESS_KEY=key", "BACKUP_S3_SECRET_KEY=secret"}
	}
	var err error
	if b.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	cfg := load[RunConfig](t, b.runEnviron()...)
	if b.dest, err = openDestination(t.Context(), cfg.StorageConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.dest.Close() })
	return b
}

func load[T any](t *testing.T, environ ...string) T {
	t.Helper()
	cfg, err := platform.Load[T](environ)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

var process = platform.NewProcess("backup", slog.New(slog.DiscardHandler))

func (b *bench) runEnviron(environ ...string) []string {
	return slices.Concat([]string{"REDIS_URL=redis://" + addressOf(b), "BACKUP_AGE_RECIPIENT=" + b.identity.Recipient().String()}, b.destination, environ)
}

func addressOf(b *bench) string { return b.redis.Options().Addr }

func (b *bench) run(t *testing.T, environ ...string) error {
	t.Helper()
	return Run(t.Context(), load[RunConfig](t, b.runEnviron(environ...)...), process)
}

func (b *bench) verify(t *testing.T, environ ...string) error {
	t.Helper()
	return Verify(t.Context(), load[VerifyConfig](t, slices.Concat([]string{"BACKUP_AGE_IDENTITY=" + b.identity.String()}, b.destination, environ)...), process)
}

func (b *bench) restore(t *testing.T, into *redis.Client, environ ...string) error {
	t.Helper()
	environ = slices.Concat([]string{"REDIS_URL=redis://" + into.Options().Addr, "BACKUP_AGE_IDENTITY=" + b.identity.String()}, b.destination, environ)
	return Restore(t.Context(), load[RestoreConfig](t, environ...), process)
}

// only returns the name of the one backup that there is.
func (b *bench) only(t *testing.T) string {
	t.Helper()
	names, err := b.dest.backups(t.Context())
	if err != nil || len(names) != 1 {
		t.Fatalf("backups %v, %v", names, err)
	}
	return names[0]
}

// edit rewrites a stored file.
func (b *bench) edit(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	f, err := b.dest.open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.dest.put(t.Context(), name, bytes.NewReader(change(data))); err != nil {
		t.Fatal(err)
	}
}

// fill writes keys of every type that Redis knows.
func fill(t *testing.T, rdb *redis.Client) {
	t.Helper()
	ctx := t.Context()
	pipe := rdb.Pipeline()
	pipe.HSet(ctx, "oracle:v1:{mainnet}:prices", "So11111111111111111111111111111111111111112", `{"usdPrice":75.06634976056819}`)
	pipe.Set(ctx, "oracle:text", "a\x00\xff\r\n", 0)
	pipe.Set(ctx, "oracle:mortal", "x", time.Hour)
	pipe.RPush(ctx, "oracle:list", "1", "2", "2")
	pipe.SAdd(ctx, "oracle:set", 1, 2) // integers: Redis gives other sets no order, and their dumps none
	pipe.ZAdd(ctx, "oracle:sorted", redis.Z{Score: 1.5, Member: "m"})
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: "oracle:stream", ID: "1-1", Values: []string{"k", "v"}})
	pipe.Set(ctx, "oracle:\x00binary\xff", "", 0)
	pipe.Set(ctx, "gateway:elsewhere", "not ours to export", 0)
	for i := range 1200 { // more than one page of SCAN
		pipe.Set(ctx, fmt.Sprintf("oracle:many:%d", i), i, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
}

// keys returns the dump of every key under oracle:, and the times to live of those that have one.
func keys(t *testing.T, rdb *redis.Client) (dumps map[string]string, ttls map[string]time.Duration) {
	t.Helper()
	dumps, ttls = map[string]string{}, map[string]time.Duration{}
	for _, key := range rdb.Keys(t.Context(), "oracle:*").Val() {
		dumps[key] = rdb.Dump(t.Context(), key).Val()
		if ttl := rdb.PTTL(t.Context(), key).Val(); ttl > 0 {
			ttls[key] = ttl
		}
	}
	return dumps, ttls
}

func TestRestoreGivesEqualKeys(t *testing.T) {
	for _, scheme := range []string{"file", "s3"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBench(t, scheme)
			fill(t, b.redis)
			want, _ := keys(t, b.redis)
			if err := b.run(t); err != nil {
				t.Fatal(err)
			}
			if err := b.verify(t); err != nil {
				t.Fatal(err)
			}
			other := realRedis(t)
			if err := b.restore(t, other); err != nil {
				t.Fatal(err)
			}
			got, ttls := keys(t, other)
			if diff := cmp.Diff(want, got); diff != "" || len(got) != 1208 {
				t.Errorf("%d keys: %s", len(got), diff)
			}
			if len(ttls) != 1 || ttls["oracle:mortal"] > time.Hour || ttls["oracle:mortal"] < 50*time.Minute {
				t.Errorf("times to live: %v", ttls)
			}
			if n := other.Exists(t.Context(), "gateway:elsewhere").Val(); n != 0 {
				t.Error("a key outside the prefixes was exported")
			}
			m, err := readManifest(t.Context(), b.dest, b.only(t), nil)
			if err != nil || m.Contents["redis"].Records != 1208 || m.Unread != 0 {
				t.Errorf("manifest %+v, %v", m, err)
			}
		})
	}
}

func TestArchiveOfManyPartsIsStoredWhole(t *testing.T) {
	b := newBench(t, "s3")
	random := rand.NewChaCha8([32]byte{})
	for i := range 2 { // they do not compress: more than one part
		value := make([]byte, partSize*3/4)
		random.Read(value)
		if err := b.redis.Set(t.Context(), fmt.Sprintf("oracle:%d", i), value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.run(t); err != nil {
		t.Fatal(err)
	}
	other := realRedis(t)
	if err := b.restore(t, other); err != nil {
		t.Fatal(err)
	}
	want, _ := keys(t, b.redis)
	got, _ := keys(t, other)
	if !maps.Equal(want, got) {
		t.Error("the keys differ")
	}
}

func TestNothingReadableIsStored(t *testing.T) {
	b := newBench(t, "file")
	fill(t, b.redis)
	if err := b.run(t); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{archiveFile, manifestFile} {
		b.edit(t, b.only(t)+"/"+file, func(data []byte) []byte {
			for _, text := range []string{"oracle:", "So1111", "75.06"} {
				if bytes.Contains(data, []byte(text)) {
					t.Errorf("%s shows %q", file, text)
				}
			}
			return data
		})
	}
}

func TestRestoreLeavesExistingKeysUnlessTold(t *testing.T) {
	b := newBench(t, "file")
	fill(t, b.redis)
	if err := b.run(t); err != nil {
		t.Fatal(err)
	}
	other := realRedis(t)
	other.Set(t.Context(), "oracle:text", "newer", 0)
	if err := b.restore(t, other); err == nil || !strings.Contains(err.Error(), `"oracle:text"`) || !strings.Contains(err.Error(), "BACKUP_RESTORE_REPLACE") {
		t.Errorf("error %v", err)
	}
	if got := other.Get(t.Context(), "oracle:text").Val(); got != "newer" {
		t.Errorf("the key is now %q", got)
	}
	if n := len(other.Keys(t.Context(), "oracle:*").Val()); n != 1208 {
		t.Errorf("%d keys: one conflict kept others from being restored", n)
	}
	if err := b.restore(t, other, "BACKUP_RESTORE_REPLACE=true"); err != nil {
		t.Fatal(err)
	}
	want, _ := keys(t, b.redis)
	got, _ := keys(t, other)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDamageIsFoundAndNothingIsRestored(t *testing.T) {
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	ours := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public := base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)).Public().(ed25519.PublicKey))
	for name, c := range map[string]struct {
		file    string
		change  func([]byte) []byte
		environ []string
		want    string
	}{
		"a flipped bit": {archiveFile, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, nil, "with hash"},
		"a lost end":    {archiveFile, func(b []byte) []byte { return b[:len(b)-1] }, nil, "bytes with hash"},
		"another count": {manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"records":1208`), []byte(`"records":1209`), 1) }, nil, "the manifest says 1209"},
		"a manifest that was changed after it was signed": {manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"program":"`), []byte(`"program":"x`), 1) },
			[]string{"BACKUP_VERIFY_KEY=" + public}, errSignature.Error()},
		"no signature where one is wanted": {manifestFile, func(b []byte) []byte { return []byte(strings.Split(string(b), `,"signature"`)[0] + "}") },
			[]string{"BACKUP_VERIFY_KEY=" + public}, errSignature.Error()},
		"another backup's manifest":    {manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"name":"2`), []byte(`"name":"1`), 1) }, nil, "is that of"},
		"a later format":               {manifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) }, nil, "version 2"},
		"no manifest but rubbish":      {manifestFile, func([]byte) []byte { return []byte("<html>") }, nil, "not JSON"},
		"somebody else's identity":     {"", nil, []string{"BACKUP_AGE_IDENTITY=" + stranger.String()}, "decrypting"},
		"the name of no backup":        {"", nil, []string{"BACKUP_NAME=19990101T000000Z"}, "19990101T000000Z"},
		"intact and signed, no damage": {"", nil, []string{"BACKUP_VERIFY_KEY=" + public}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "file")
			fill(t, b.redis)
			if err := b.run(t, "BACKUP_SIGNING_KEY="+ours); err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				b.edit(t, b.only(t)+"/"+c.file, c.change)
			}
			other := realRedis(t)
			verified, restored := b.verify(t, c.environ...), b.restore(t, other, c.environ...)
			left := other.DBSize(t.Context()).Val()
			if c.want == "" {
				if verified != nil || restored != nil || left != 1208 {
					t.Errorf("verify: %v, restore: %v, %d keys", verified, restored, left)
				}
				return
			}
			for _, err := range []error{verified, restored} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v does not say %q", err, c.want)
				}
			}
			if left != 0 {
				t.Errorf("%d keys were restored all the same", left)
			}
		})
	}
}

func TestKeyThatCannotBeReadIsReported(t *testing.T) {
	b := newBench(t, "file")
	fill(t, b.redis)
	complete := b.old(t, 1, 0)
	if err := b.redis.Do(t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~oracle:many:*", "~oracle:text").Err(); err != nil {
		t.Fatal(err)
	}
	err := b.run(t, "BACKUP_KEEP=1")
	if err == nil || !strings.Contains(err.Error(), "incomplete") || !strings.Contains(err.Error(), "7 problems") {
		t.Fatalf("error %v", err)
	}
	names, err := b.dest.backups(t.Context())
	if err != nil || len(names) != 2 {
		t.Fatalf("an incomplete backup displaced a complete one: %v, %v", names, err)
	}
	if m, err := choose(t.Context(), VerifyConfig{}, b.dest); err != nil || m.Name != complete {
		t.Errorf("by default %s is restored (%v), not the complete %s", m.Name, err, complete)
	}
	if err := b.verify(t, "BACKUP_NAME="+names[1]); err == nil || !strings.Contains(err.Error(), "intact but incomplete: 7") {
		t.Errorf("verify: %v", err)
	}
	other := realRedis(t)
	if err := b.restore(t, other, "BACKUP_NAME="+names[1]); err == nil || other.DBSize(t.Context()).Val() != 1201 {
		t.Errorf("restore: %v, %d keys", err, other.DBSize(t.Context()).Val())
	}
}

// old stores a backup of n days ago with nothing in it.
func (b *bench) old(t *testing.T, days, unread int) string {
	t.Helper()
	at := time.Now().UTC().AddDate(0, 0, -days)
	m := manifest{Version: manifestVersion, Name: at.Format(nameLayout), CreatedAt: at, Unread: unread}
	text, err := m.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{manifestFile: text, archiveFile: []byte("x")} {
		if err := b.dest.put(t.Context(), m.Name+"/"+file, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	return m.Name
}

func TestRetentionKeepsTheLatestCompleteBackups(t *testing.T) {
	for _, scheme := range []string{"file", "s3"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBench(t, scheme)
			fill(t, b.redis)
			b.old(t, 50, 0)
			b.old(t, 40, 3)
			day30 := b.old(t, 30, 0)
			day20 := b.old(t, 20, 1) // incomplete, but among the kept
			day10 := b.old(t, 10, 0)
			if err := b.dest.put(t.Context(), "notes/README", strings.NewReader("not a backup")); err != nil {
				t.Fatal(err)
			}
			if err := b.run(t, "BACKUP_KEEP=3"); err != nil {
				t.Fatal(err)
			}
			names, err := b.dest.backups(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{day30, day20, day10}, names[:len(names)-1]); diff != "" || len(names) != 4 {
				t.Error(names, diff)
			}
			f, err := b.dest.open(t.Context(), "notes/README")
			if err != nil {
				t.Fatal("a file that is no backup was removed:", err)
			}
			f.Close()
		})
	}
}

func TestFailedRunLeavesNoBackup(t *testing.T) {
	for _, scheme := range []string{"file", "s3"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBench(t, scheme)
			if err := b.run(t, "REDIS_URL=redis://127.0.0.1:1"); err == nil {
				t.Fatal("no error without Redis")
			}
			if _, err := choose(t.Context(), VerifyConfig{}, b.dest); err == nil || !strings.Contains(err.Error(), "no complete backup") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestEmptyRedisIsNoBackup(t *testing.T) {
	b := newBench(t, "file")
	complete := b.old(t, 1, 0)
	if err := b.run(t, "BACKUP_KEEP=1"); err == nil || !strings.Contains(err.Error(), "lost its data") {
		t.Errorf("error %v", err)
	}
	if m, err := choose(t.Context(), VerifyConfig{}, b.dest); err != nil || m.Name != complete {
		t.Errorf("the last good backup is %s, %v", m.Name, err)
	}
}

func TestStateOfAnUnknownKindIsRefusedWhole(t *testing.T) {
	b := newBench(t, "file")
	var archive bytes.Buffer
	m := manifest{Version: manifestVersion, Name: "20260102T030405Z"}
	var err error
	m.Contents, err = writeArchive(&archive, []age.Recipient{b.identity.Recipient()}, func(add func(string, any) error) error {
		return errors.Join(add(kindRedis, redisRecord{Key: []byte("oracle:x")}), add("kubernetes", map[string]string{"kind": "ConfigMap"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newSum()
	s.Write(archive.Bytes())
	m.Archive.Bytes, m.Archive.SHA256 = s.n, s.hex()
	text, err := m.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{manifestFile: text, archiveFile: archive.Bytes()} {
		if err := b.dest.put(t.Context(), m.Name+"/"+file, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.restore(t, b.redis); err == nil || !strings.Contains(err.Error(), `"kubernetes"`) || b.redis.DBSize(t.Context()).Val() != 0 {
		t.Errorf("error %v, %d keys", err, b.redis.DBSize(t.Context()).Val())
	}
}

func TestPrefixesAreNotPatterns(t *testing.T) {
	b := newBench(t, "file")
	b.redis.MSet(t.Context(), "a*b:1", "", "a?b:1", "", "a[b]:1", "", `a\b:1`, "", "axb:1", "", "ab:1", "")
	if err := b.run(t, `BACKUP_REDIS_PREFIXES=a*b:,a?b:,a[b]:,a\b:,a*`); err != nil {
		t.Fatal(err)
	}
	m, err := readManifest(t.Context(), b.dest, b.only(t), nil)
	if err != nil || m.Contents[kindRedis].Records != 4 {
		t.Errorf("%d keys (%v), want the four of the literal prefixes, once each", m.Contents[kindRedis].Records, err)
	}
}

func TestMissingFileIsToldFromAFailure(t *testing.T) {
	for _, scheme := range []string{"file", "s3"} {
		t.Run(scheme, func(t *testing.T) {
			b := newBench(t, scheme)
			if _, err := b.dest.open(t.Context(), "20260102T030405Z/"+manifestFile); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v", err)
			}
			if err := b.dest.remove(t.Context(), "20260102T030405Z/"+manifestFile); err != nil {
				t.Errorf("removing: %v", err)
			}
		})
	}
}

func TestConfigNamesWhatIsWrongAndNoSecret(t *testing.T) {
	good := []string{"REDIS_URL=redis://r", "BACKUP_DESTINATION=file:///b", "BACKUP_AGE_RECIPIENT=age1x6lfxndqnwsnuwvm42ccczuc6kmj4w40vhh6k7fe2qmm0hkz7e7qn65h3f"}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"run, nothing set": {loadError[RunConfig](), []string{"BACKUP_DESTINATION", "REDIS_URL", "BACKUP_AGE_RECIPIENT"}},
		"run, all wrong": {loadError[RunConfig](append(good, "BACKUP_AGE_RECIPIENT=ssh", "BACKUP_KEEP=0", "BACKUP_SIGNING_KEY=hunter2", "BACKUP_TIMEOUT=0s", "BACKUP_S3_ACCESS_KEY=hunter2")...),
			[]string{"BACKUP_AGE_RECIPIENT", "BACKUP_KEEP", "BACKUP_SIGNING_KEY", "BACKUP_TIMEOUT", "BACKUP_S3_SECRET_KEY"}},
		"verify, nothing set": {loadError[VerifyConfig](), []string{"BACKUP_DESTINATION", "BACKUP_AGE_IDENTITY"}},
		"verify, all wrong": {loadError[VerifyConfig](append(good, "BACKUP_AGE_IDENTITY=hunter2", "BACKUP_NAME=../etc", "BACKUP_VERIFY_KEY=x")...),
			[]string{"BACKUP_AGE_IDENTITY", "BACKUP_NAME", "BACKUP_VERIFY_KEY"}},
		"restore, nothing set": {loadError[RestoreConfig](), []string{"BACKUP_DESTINATION", "REDIS_URL", "BACKUP_AGE_IDENTITY"}},
		"no such scheme":       {destinationError("ftp://x/y"), []string{"BACKUP_DESTINATION"}},
		"a relative directory": {destinationError("file://b"), []string{"BACKUP_DESTINATION"}},
		"no such directory":    {destinationError("file:///does/not/exist"), []string{"BACKUP_DESTINATION"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, want := range c.want {
				if c.err == nil || !strings.Contains(c.err.Error(), want) {
					t.Errorf("error %v does not say %s", c.err, want)
				}
			}
			if c.err != nil && strings.Contains(c.err.Error(), "hunter2") {
				t.Errorf("error shows a secret: %v", c.err)
			}
		})
	}
}

func loadError[T any](environ ...string) error {
	_, err := platform.Load[T](environ)
	return err
}

func destinationError(destination string) error {
	_, err := openDestination(context.Background(), StorageConfig{Destination: destination})
	return err
}

func FuzzReadArchive(f *testing.F) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	want, err := writeArchive(&whole, []age.Recipient{identity.Recipient()}, func(add func(string, any) error) error {
		return errors.Join(add("a", 1), add("b", "two"))
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Len()/2, byte(1))
	f.Add(whole.Len()-1, byte(255))
	f.Fuzz(func(t *testing.T, at int, flip byte) {
		if at < 0 || at >= whole.Len() || flip == 0 {
			return
		}
		damaged := bytes.Clone(whole.Bytes())
		damaged[at] ^= flip
		got, err := readArchive(bytes.NewReader(damaged), []age.Identity{identity}, func(line) error { return nil })
		if err == nil && !cmp.Equal(want, got) {
			t.Errorf("damage at %d went unnoticed and changed the contents: %v", at, got)
		}
		if _, err := readArchive(bytes.NewReader(damaged[:at]), []age.Identity{identity}, func(line) error { return nil }); err == nil {
			t.Errorf("an archive cut off at %d reads as whole", at)
		}
	})
}
