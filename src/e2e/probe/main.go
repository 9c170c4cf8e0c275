// Command probe is what the end-to-end tests put into a cluster: a client that knows what it saw. It is part of no release.
//
//	probe serve                        a client to be told over HTTP what to ask, see server
//	probe connect AFTER HOST:PORT...   waits, tries each once, and prints a line of JSON for each
//	probe relay URL                    passes requests on to URL and remembers which API keys they had, see relay
//	probe s3 BUCKET                    an S3 server that keeps the bucket in memory
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const address = ":8080"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch {
	case command == "serve" && len(args) == 1:
		return serve(newServer().handler())
	case command == "connect" && len(args) > 1:
		after, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		time.Sleep(after)
		return connect(args[2:])
	case command == "relay" && len(args) == 2:
		handler, err := newRelay(args[1])
		if err != nil {
			return err
		}
		return serve(handler)
	case command == "s3" && len(args) == 2:
		backend := s3mem.New()
		if err := backend.CreateBucket(args[1]); err != nil {
			return err
		}
		return serve(gofakes3.New(backend).Server())
	}
	return fmt.Errorf("usage: probe serve | connect AFTER HOST:PORT... | relay URL | s3 BUCKET")
}

func serve(handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// An Attempt is how one connection went.
type Attempt struct {
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
}

// connectTimeout is long for a cluster's network and short for a dropped packet.
const connectTimeout = 3 * time.Second

func connect(addresses []string) error {
	attempts := make([]Attempt, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() {
			attempts[i].Address = address
			conn, err := net.DialTimeout("tcp", address, connectTimeout)
			if err != nil {
				attempts[i].Error = err.Error()
				return
			}
			conn.Close()
		})
	}
	wg.Wait()
	for _, attempt := range attempts {
		if err := json.NewEncoder(os.Stdout).Encode(attempt); err != nil {
			return err
		}
	}
	return nil
}
