package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// API is what a handler must tell so that it can be broken in character.
type API struct {
	// Endpoints names the calls in a request: one, or several for a batch. The names must be few.
	Endpoints func(r *http.Request, body []byte) []string
	// Refuse answers with the API's error of that status.
	Refuse func(w http.ResponseWriter, r *http.Request, status int)
}

// maxPeek is how much of a body is read to name its calls.
const maxPeek = 1 << 20

// Wrap puts the faults in front of next.
func (f *Faults) Wrap(api API, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxPeek))
		if err != nil {
			return // the client is gone
		}
		// Only a request whose body has been read tells when its client goes.
		r.Body = readCloser{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		endpoints := api.Endpoints(r, body)
		answer := &counter{ResponseWriter: w}
		defer func() { f.count(endpoints, answer.status) }()
		delay, fault, released := f.strike(endpoints)
		if !wait(r, delay, released) {
			return
		}
		if fault == nil {
			next.ServeHTTP(answer, r)
			return
		}
		switch fault.Kind {
		case Status:
			api.Refuse(answer, r, fault.Status)
		case Hang:
			select {
			case <-r.Context().Done():
			case <-released:
			}
			panic(http.ErrAbortHandler)
		case Reset:
			reset(w)
		case Truncate:
			whole := record(next, r)
			whole.header.Set("Content-Length", strconv.Itoa(whole.body.Len()))
			whole.send(answer, whole.body.Len()/2)
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case Malformed:
			whole := record(next, r)
			whole.header.Del("Content-Length")
			whole.send(answer, whole.body.Len()/2)
		case ContentType:
			answer.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(answer, "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>")
		}
	})
}

type readCloser struct {
	io.Reader
	io.Closer
}

// reset breaks the connection so that the client sees ECONNRESET, or the stream of an HTTP/2 connection.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// counter notes the status of an answer.
type counter struct {
	http.ResponseWriter
	status int
}

func (c *counter) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap lets a websocket take the connection over.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// recording is an answer that has not been sent.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func record(h http.Handler, r *http.Request) *recording {
	rec := &recording{header: make(http.Header)}
	h.ServeHTTP(rec, r)
	return rec
}

func (r *recording) Header() http.Header         { return r.header }
func (r *recording) WriteHeader(status int)      { r.status = status }
func (r *recording) Write(p []byte) (int, error) { return r.body.Write(p) }

// send gives the answer's first n bytes.
func (r *recording) send(w http.ResponseWriter, n int) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
	w.Write(r.body.Bytes()[:n])
}

// Admin serves /admin/faults (GET lists, PUT replaces by a JSON array of faults, DELETE clears) and /admin/calls (GET
// counts, DELETE starts anew).
func (f *Faults) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, f.List()) })
	mux.HandleFunc("DELETE /admin/faults", func(w http.ResponseWriter, _ *http.Request) {
		f.Clear()
		answer(w, http.StatusOK, f.List())
	})
	mux.HandleFunc("PUT /admin/faults", func(w http.ResponseWriter, r *http.Request) {
		var faults []Fault
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPeek))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&faults)
		if err == nil {
			err = f.Set(faults...)
		}
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"error": fmt.Sprintf("a JSON array of faults is wanted: %v", err)})
			return
		}
		answer(w, http.StatusOK, f.List())
	})
	mux.HandleFunc("GET /admin/calls", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, f.Calls()) })
	mux.HandleFunc("DELETE /admin/calls", func(w http.ResponseWriter, _ *http.Request) {
		f.ResetCalls()
		answer(w, http.StatusOK, f.Calls())
	})
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
