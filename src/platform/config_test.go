package platform

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type testConfig struct {
	ServerConfig
	Count  int           `env:"COUNT" envDefault:"3"`
	Pause  time.Duration `env:"PAUSE" envDefault:"1s"`
	Tokens []string      `env:"TOKENS"`
	URL    string        `env:"URL"`
	Key    Secret        `env:"KEY"`
	Nested struct {
		On bool `env:"ON"`
	}
}

func (c testConfig) Validate() error {
	if c.Count < 0 {
		return errors.New("COUNT must not be negative")
	}
	return nil
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadReadsVariablesFilesAndDefaults(t *testing.T) {
	cfg, err := Load[testConfig]([]string{"COUNT_FILE=" + file(t, "7\n"), "TOKENS=a,b", "KEY_FILE=" + file(t, " s3cret\n"), "ON=true", "LISTEN_ADDRESS=:1", "UNRELATED=x"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Count != 7 || cfg.Pause != time.Second || len(cfg.Tokens) != 2 || cfg.Key.Value() != "s3cret" || !cfg.Nested.On || cfg.ListenAddress != ":1" || cfg.MetricsAddress != ":9090" {
		t.Errorf("got %+v", cfg)
	}
}

func TestLoadErrorsNameEveryVariable(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	for _, tt := range []struct {
		name    string
		environ []string
		want    []string
	}{
		{"not a number", []string{"COUNT=many"}, []string{"COUNT", "many"}},
		{"several", []string{"COUNT=many", "PAUSE=5", "ON=maybe", "URL_FILE=" + absent}, []string{"COUNT", "PAUSE", "ON", "URL_FILE"}},
		{"secret file absent", []string{"KEY_FILE=" + absent}, []string{"KEY", absent}},
		{"both forms", []string{"KEY=a", "KEY_FILE=" + absent}, []string{"KEY and KEY_FILE"}},
		{"validated", []string{"COUNT=-1"}, []string{"COUNT must not be negative"}},
	} {
		_, err := Load[testConfig](tt.environ)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not name %q", tt.name, err, want)
			}
		}
	}
}

func TestPrintShowsEveryValueButNoSecret(t *testing.T) {
	cfg, err := Load[testConfig]([]string{"KEY=s3cret", "TOKENS=a,b", "URL=redis://user:hunter2@redis:6379/0"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Print(&out, cfg); err != nil {
		t.Fatal(err)
	}
	want := `OTEL_EXPORTER_OTLP_ENDPOINT=
OTEL_TRACES_SAMPLER_ARG=1
LISTEN_ADDRESS=:8080
METRICS_ADDRESS=:9090
SHUTDOWN_DELAY=0s
DRAIN_TIMEOUT=35s
TLS_CERT=
TLS_KEY=
COUNT=3
PAUSE=1s
TOKENS=a,b
URL=redis://user:xxxxx@redis:6379/0
KEY=********
ON=false
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNamesListsVariablesAndSecretFiles(t *testing.T) {
	want := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER_ARG", "LISTEN_ADDRESS", "METRICS_ADDRESS", "SHUTDOWN_DELAY", "DRAIN_TIMEOUT", "TLS_CERT", "TLS_CERT_FILE", "TLS_KEY", "TLS_KEY_FILE", "COUNT", "PAUSE", "TOKENS", "URL", "KEY", "KEY_FILE", "ON"}
	if diff := cmp.Diff(want, Names(&testConfig{})); diff != "" {
		t.Error(diff)
	}
}

func TestSecretFollowsItsFile(t *testing.T) {
	path := file(t, "first\n")
	synctest.Test(t, func(t *testing.T) {
		cfg, err := Load[testConfig]([]string{"KEY_FILE=" + path})
		if err != nil {
			t.Fatal(err)
		}
		copied := cfg.Key
		// A Kubernetes Secret volume replaces the file, and the new one may be older.
		replace := func(content string) {
			next := path + ".next"
			if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(next, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, path); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when, want string) {
			t.Helper()
			if got := copied.Value(); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		replace("second")
		expect("within the second", "first")
		time.Sleep(secretRecheck)
		expect("after it", "second")
		replace("third!")
		time.Sleep(secretRecheck)
		expect("again", "third!")
		replace("")
		time.Sleep(secretRecheck)
		expect("emptied", "third!")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(secretRecheck)
		expect("removed", "third!")
		replace("fourth")
		time.Sleep(secretRecheck)
		expect("back", "fourth")
	})
}

func TestSecretIsNotLogged(t *testing.T) {
	var out bytes.Buffer
	s := NewSecret("s3cret")
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "text", s.String())
	if strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "********") {
		t.Error(out.String())
	}
	if empty := NewSecret(""); empty.String() != "" {
		t.Error("an unset secret looks set")
	}
}

func TestRedisClientKeepsPasswordsOutOfErrors(t *testing.T) {
	for _, url := range []string{"redis://:hunter2@host:port", "http://:hunter2@host", "redis://:hunter2@host/?pool_size=3",
		"redis://:hunter2@host/?master_name=m&addr=h", "redis://:hunter2@host/?addr=h"} {
		_, err := RedisConfig{RedisURL: url}.Client()
		if err == nil || !strings.Contains(err.Error(), "REDIS_URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := (RedisConfig{RedisURL: "rediss://host", RedisCA: "none"}).Client(); err == nil || !strings.Contains(err.Error(), "REDIS_CA") {
		t.Errorf("no certificate in REDIS_CA: %v", err)
	}
	if c, err := (RedisConfig{}).Client(); c != nil || err != nil {
		t.Errorf("no URL gave %v, %v", c, err)
	}
}
