package backup

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
)

// An archive is age(gzip(lines)), each line a JSON record. Records of different kinds of state share the stream, so that
// whatever else the tier comes to keep needs no other format.
type line struct {
	// Kind says whose record this is, for example "redis".
	Kind string `json:"kind"`
	// Value is as the exporter of that kind wrote it.
	Value json.RawMessage `json:"value"`
}

// maxLine bounds what reading one record can take: Redis's own limit for a value, in base64, and room.
const maxLine = 768 << 20

// contents is what an archive holds of one kind. SHA256 is over its lines, in their order, newlines included.
type contents struct {
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// tally counts and hashes the lines of an archive by kind.
type tally map[string]*kindTally

type kindTally struct {
	records int
	bytes   int64
	sum     hash.Hash
}

func (t tally) add(kind string, line []byte) {
	k := t[kind]
	if k == nil {
		k = &kindTally{sum: sha256.New()}
		t[kind] = k
	}
	k.records++
	k.bytes += int64(len(line))
	k.sum.Write(line)
}

func (t tally) contents() map[string]contents {
	all := make(map[string]contents, len(t))
	for kind, k := range t {
		all[kind] = contents{k.records, k.bytes, hex.EncodeToString(k.sum.Sum(nil))}
	}
	return all
}

// writeArchive writes what export gives it to w. export calls add once per record.
func writeArchive(w io.Writer, recipients []age.Recipient, export func(add func(kind string, value any) error) error) (map[string]contents, error) {
	encrypted, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	compressed := gzip.NewWriter(encrypted)
	counted := tally{}
	err = export(func(kind string, value any) error {
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding a record of %s: %w", kind, err)
		}
		text, err := json.Marshal(line{kind, raw})
		if err != nil {
			return fmt.Errorf("encoding a record of %s: %w", kind, err)
		}
		text = append(text, '\n')
		counted.add(kind, text)
		_, err = compressed.Write(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if err := encrypted.Close(); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return counted.contents(), nil
}

// readArchive decrypts r and gives each record to use. It returns what it has read, which a caller compares with the
// manifest: a stream that decrypts and ends well may still be another backup's.
func readArchive(r io.Reader, identities []age.Identity, use func(line) error) (map[string]contents, error) {
	plain, err := age.Decrypt(r, identities...)
	if err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	expanded, err := gzip.NewReader(plain)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	counted := tally{}
	lines := bufio.NewReaderSize(expanded, 64<<10)
	for {
		text, err := readLine(lines)
		if err == io.EOF {
			return counted.contents(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("reading the archive: a record is not JSON: %w", err)
		}
		counted.add(l.Kind, text)
		if err := use(l); err != nil {
			return nil, err
		}
	}
}

// readLine returns the next line with its newline, io.EOF at the end, an error for one that is cut off or too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case err == nil:
			return text, nil
		case len(text) > maxLine:
			return nil, errors.New("a record is too long")
		case err == io.EOF && len(text) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}
