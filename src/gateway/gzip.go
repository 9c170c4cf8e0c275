package gateway

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"jupiter-dex-integration/src/platform"
)

// compressFrom is the size from which compression pays: a common quote goes out in one packet either way, and compressing it
// takes longer than sending it.
const compressFrom = 4 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return w
}}

// compress sends large answers gzipped to those who accept it.
func compress(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !platform.AcceptsGzip(r.Header["Accept-Encoding"]) || r.Method == http.MethodHead {
			next(w, r)
			return
		}
		c := &compressor{ResponseWriter: w}
		next(c, r) // after a panic there is nothing to complete: the connection breaks off
		c.close()
	}
}

// compressor decides at the header, by the length that the answer states; an answer of no stated length is a long one.
type compressor struct {
	http.ResponseWriter
	gzip *gzip.Writer
}

func (c *compressor) WriteHeader(status int) {
	h := c.Header()
	length, err := strconv.Atoi(h.Get("Content-Length"))
	if h.Get("Content-Encoding") == "" && status == http.StatusOK && (err != nil || length >= compressFrom) {
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		h["Vary"] = append(slices.Clip(h["Vary"]), "Accept-Encoding") // what is there may be the cache's
		c.gzip = gzipWriters.Get().(*gzip.Writer)
		c.gzip.Reset(c.ResponseWriter)
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *compressor) Write(b []byte) (int, error) {
	if c.gzip != nil {
		return c.gzip.Write(b)
	}
	return c.ResponseWriter.Write(b)
}

func (c *compressor) close() {
	if c.gzip != nil {
		c.gzip.Close()
		gzipWriters.Put(c.gzip)
	}
}

// Unwrap is for http.ResponseController.
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }
