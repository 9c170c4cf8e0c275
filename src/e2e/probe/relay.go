package main

import (
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// A Use says when an API key was seen.
type Use struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Calls int       `json:"calls"`
}

// newRelay passes everything on to target, but for GET /keys, which lists the values of x-api-key that have come by.
func newRelay(target string) (http.Handler, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	uses := map[string]*Use{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		json.NewEncoder(w).Encode(uses)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		mu.Lock()
		use := uses[r.Header.Get("X-Api-Key")]
		if use == nil {
			use = &Use{First: now}
			uses[r.Header.Get("X-Api-Key")] = use
		}
		use.Last = now
		use.Calls++
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	})
	return mux, nil
}
