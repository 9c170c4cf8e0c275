package backup

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

const (
	nameLayout      = "20060102T150405Z"
	manifestVersion = 1
	archiveFile     = "archive.jsonl.gz.age"
	manifestFile    = "manifest.json"
)

// namePattern is what a backup is called; nothing else at a destination is ever listed or removed.
var namePattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)

// manifest says what a backup holds. It lies beside the archive, unencrypted: it names no key and no value.
type manifest struct {
	Version   int       `json:"version"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
	// Program is the commit that wrote the backup.
	Program string `json:"program"`
	Archive struct {
		Bytes  int64  `json:"bytes"`
		SHA256 string `json:"sha256"`
	} `json:"archive"`
	// Contents is by kind of state.
	Contents map[string]contents `json:"contents"`
	// Unread counts what could not be exported; the log of the run names it. 0 makes the backup complete.
	Unread int `json:"unread"`
}

// signedManifest is the manifest's file: the exact bytes that are signed, and their Ed25519 signature, if any.
type signedManifest struct {
	Manifest  json.RawMessage `json:"manifest"`
	Signature []byte          `json:"signature,omitempty"`
}

func (m manifest) encode(key ed25519.PrivateKey) ([]byte, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding the manifest: %w", err)
	}
	signed := signedManifest{Manifest: text}
	if key != nil {
		signed.Signature = ed25519.Sign(key, text)
	}
	return json.Marshal(signed)
}

var errSignature = errors.New("the manifest is not signed by BACKUP_VERIFY_KEY")

// decodeManifest reads a manifest of the backup called name. With a key it must be signed by that key.
func decodeManifest(text []byte, name string, key ed25519.PublicKey) (manifest, error) {
	var signed signedManifest
	var m manifest
	if err := json.Unmarshal(text, &signed); err != nil {
		return m, fmt.Errorf("the manifest of %s is not JSON: %w", name, err)
	}
	if key != nil && !ed25519.Verify(key, signed.Manifest, signed.Signature) {
		return m, fmt.Errorf("backup %s: %w", name, errSignature)
	}
	if err := json.Unmarshal(signed.Manifest, &m); err != nil {
		return m, fmt.Errorf("the manifest of %s cannot be read: %w", name, err)
	}
	if m.Version != manifestVersion {
		return m, fmt.Errorf("the manifest of %s has version %d; this program reads version %d", name, m.Version, manifestVersion)
	}
	if m.Name != name {
		return m, fmt.Errorf("the manifest of %s is that of %s", name, m.Name)
	}
	return m, nil
}

// differences says in which kinds what was read is not what the manifest promises.
func (m manifest) differences(got map[string]contents) error {
	kinds := maps.Clone(m.Contents)
	if kinds == nil {
		kinds = map[string]contents{}
	}
	maps.Copy(kinds, got)
	var errs []error
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if m.Contents[kind] != got[kind] {
			errs = append(errs, fmt.Errorf("backup %s: %s has %d records with hash %.12s, the manifest says %d with %.12s", m.Name, kind,
				got[kind].Records, got[kind].SHA256, m.Contents[kind].Records, m.Contents[kind].SHA256))
		}
	}
	return errors.Join(errs...)
}
