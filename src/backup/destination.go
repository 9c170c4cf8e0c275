package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// destination keeps files under names of the form BACKUP/FILE.
type destination interface {
	// backups lists the names of all backups, whole or not, oldest first.
	backups(ctx context.Context) ([]string, error)
	// put stores r. What it returned an error for is not visible, or is overwritten by the next put.
	put(ctx context.Context, name string, r io.Reader) error
	// open returns an error that is fs.ErrNotExist for a file that is not there.
	open(ctx context.Context, name string) (io.ReadCloser, error)
	// remove deletes a file; one that is not there is no error.
	remove(ctx context.Context, name string) error
	io.Closer
}

func openDestination(ctx context.Context, c StorageConfig) (destination, error) {
	u, err := url.Parse(c.Destination)
	if err != nil {
		return nil, fmt.Errorf("BACKUP_DESTINATION: %w", err)
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && path.IsAbs(u.Path):
		root, err := os.OpenRoot(filepath.FromSlash(u.Path))
		if err != nil {
			return nil, fmt.Errorf("BACKUP_DESTINATION: %w", err)
		}
		return directory{root}, nil
	case u.Scheme == "s3" && u.Host != "":
		return openBucket(ctx, c, u.Host, strings.Trim(u.Path, "/"))
	}
	return nil, fmt.Errorf("BACKUP_DESTINATION: %q is neither s3://BUCKET/PREFIX nor file:///DIRECTORY", c.Destination)
}

// directory is a destination on a file system.
type directory struct{ root *os.Root }

func (d directory) Close() error { return d.root.Close() }

func (d directory) backups(context.Context) ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("listing the backups: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && namePattern.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d directory) put(_ context.Context, name string, r io.Reader) (err error) {
	if err := d.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	// A file is complete once it has its name.
	partial := name + ".partial"
	f, err := d.root.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(partial, name)
	}
	if err != nil {
		d.root.Remove(partial)
		return fmt.Errorf("storing %s: %w", name, err)
	}
	return nil
}

func (d directory) open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	return f, nil
}

func (d directory) remove(_ context.Context, name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	d.root.Remove(path.Dir(name)) // fails while it holds another file
	return nil
}

// bucket is a destination in an S3 bucket.
type bucket struct {
	client         *minio.Client
	bucket, prefix string
}

// partSize is the size of the parts of an upload, each held in memory.
const partSize = 8 << 20

func openBucket(ctx context.Context, c StorageConfig, name, prefix string) (destination, error) {
	endpoint, err := url.Parse(c.S3Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" || strings.Trim(endpoint.Path, "/") != "" {
		return nil, fmt.Errorf("BACKUP_S3_ENDPOINT: %q is not a URL like https://s3.example.com", c.S3Endpoint)
	}
	keys := credentials.NewIAM("")
	if c.S3AccessKey.Value() != "" {
		keys = credentials.NewStaticV4(c.S3AccessKey.Value(), c.S3SecretKey.Value(), "")
	}
	client, err := minio.New(endpoint.Host, &minio.Options{Creds: keys, Secure: endpoint.Scheme == "https", Region: c.S3Region, MaxRetries: 4})
	if err != nil {
		return nil, fmt.Errorf("BACKUP_S3_ENDPOINT: %w", err)
	}
	exists, err := client.BucketExists(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking for bucket %s: %w", name, err)
	}
	if !exists {
		return nil, fmt.Errorf("BACKUP_DESTINATION: there is no bucket %s at %s", name, c.S3Endpoint)
	}
	if prefix != "" {
		prefix += "/"
	}
	return bucket{client, name, prefix}, nil
}

func (bucket) Close() error { return nil }

func (b bucket) backups(ctx context.Context) ([]string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var names []string
	for object := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix}) {
		if object.Err != nil {
			return nil, fmt.Errorf("listing the backups: %w", object.Err)
		}
		if name, isDir := strings.CutSuffix(strings.TrimPrefix(object.Key, b.prefix), "/"); isDir && namePattern.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (b bucket) put(ctx context.Context, name string, r io.Reader) error {
	// Chunk signatures say less than the hash that is read back afterwards, and not every server takes them in parts.
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: partSize, DisableContentSha256: true, SendContentMd5: true}
	if _, err := b.client.PutObject(ctx, b.bucket, b.prefix+name, r, -1, opts); err != nil {
		return fmt.Errorf("storing %s: %w", name, err)
	}
	return nil
}

func (b bucket) open(ctx context.Context, name string) (io.ReadCloser, error) {
	object, err := b.client.GetObject(ctx, b.bucket, b.prefix+name, minio.GetObjectOptions{})
	if err == nil {
		_, err = object.Stat() // nothing is asked before the first read
	}
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	return object, nil
}

func (b bucket) remove(ctx context.Context, name string) error {
	if err := b.client.RemoveObject(ctx, b.bucket, b.prefix+name, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}
