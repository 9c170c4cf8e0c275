package platform

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	secretFilePrefix = "file:"
	// secretRecheck bounds how long a rotated file goes unnoticed, and how often a hot path reads it.
	secretRecheck = time.Second
)

// Secret is a configuration value that is never printed or logged. Given as a file it follows the file: a rotated key is
// in use within a second, with no restart. The zero Secret is empty. Copies share the file.
type Secret struct {
	value string
	file  *secretFile
}

// NewSecret returns a fixed secret.
func NewSecret(value string) Secret { return Secret{value: value} }

type secretFile struct {
	path string

	mu      sync.Mutex
	value   string
	checked time.Time
}

// UnmarshalText takes the value itself, or "file:" and a path, which must be readable now.
func (s *Secret) UnmarshalText(text []byte) error {
	path, isFile := strings.CutPrefix(string(text), secretFilePrefix)
	if !isFile {
		s.value = string(text)
		return nil
	}
	s.file = &secretFile{path: path}
	return s.file.read()
}

// Value returns the present value. A file that has become unreadable or empty keeps its last value: a rotation that is half
// done must not take the service down.
func (s Secret) Value() string {
	if s.file == nil {
		return s.value
	}
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) >= secretRecheck {
		if err := f.read(); err != nil {
			slog.Warn("secret file cannot be read; the last value stays in use", "path", f.path, "error", err)
		}
	}
	return f.value
}

func (f *secretFile) read() error {
	f.checked = time.Now()
	value, err := readTrimmed(f.path)
	if err == nil && value == "" && f.value != "" {
		err = errors.New("it is empty")
	}
	if err == nil {
		f.value = value
	}
	return err
}

// String masks the secret.
func (s Secret) String() string {
	if s.Value() == "" {
		return ""
	}
	return "********"
}

// LogValue masks the secret in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func readTrimmed(path string) (string, error) {
	data, err := os.ReadFile(path)
	return strings.TrimSpace(string(data)), err
}
