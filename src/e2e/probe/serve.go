package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"jupiter-dex-integration/src/e2e/load"
)

// server asks what it is told: POST /ask sends one load.Request and gives its answer back; PUT /load starts a load.Load, GET /load reports,
// DELETE /load stops it and reports.
type server struct {
	mu      sync.Mutex
	running *load.Generator
}

func newServer() *server { return &server{} }

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /ask", ask)
	mux.HandleFunc("PUT /load", func(w http.ResponseWriter, r *http.Request) {
		var wanted load.Load
		if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil || wanted.Rate <= 0 || len(wanted.Requests) == 0 {
			http.Error(w, fmt.Sprintf("not a load: %v", err), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running != nil {
			http.Error(w, "a load is running", http.StatusConflict)
			return
		}
		s.running = load.Start(wanted)
	})
	mux.HandleFunc("GET /load", func(w http.ResponseWriter, r *http.Request) { s.report(w, (*load.Generator).Report) })
	mux.HandleFunc("DELETE /load", func(w http.ResponseWriter, r *http.Request) {
		s.report(w, (*load.Generator).Stop)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running = nil
	})
	return mux
}

func (s *server) report(w http.ResponseWriter, of func(*load.Generator) load.Report) {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running == nil {
		http.Error(w, "no load is running", http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(of(running))
}

func ask(w http.ResponseWriter, r *http.Request) {
	var wanted load.Request
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request, err := wanted.HTTP(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response, err := (&http.Client{Timeout: load.Timeout}).Do(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	// In an envelope: the API server's proxy, which this goes through, has statuses of its own.
	json.NewEncoder(w).Encode(load.Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)})
}
