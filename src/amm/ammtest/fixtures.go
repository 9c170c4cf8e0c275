package ammtest

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Fixture is the path of a recorded file under the fixtures directory: FIXTURES_DIR, or else shared/fixtures beside the repository.
// Without the file the test is skipped, or fails when REQUIRE_FIXTURES is 1.
func Fixture(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = filepath.Join(repository(t), "..", "shared", "fixtures")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("REQUIRE_FIXTURES") == "1" {
			t.Fatalf("recorded data is required: %v", err)
		}
		t.Skipf("recorded data is not here: set FIXTURES_DIR to the directory that holds %s", name)
	} else if err != nil {
		t.Fatal(err)
	}
	return path
}

// ReadFixture decodes a recorded .json.gz file into v.
func ReadFixture(t testing.TB, name string, v any) {
	t.Helper()
	file, err := os.Open(Fixture(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := json.NewDecoder(unzipped).Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// repository is the nearest directory upwards with a go.mod.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("the test does not run inside the repository")
		}
		dir = parent
	}
}
