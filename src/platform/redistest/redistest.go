// Package redistest runs real redis-server processes for tests: one, several with sentinels, or a cluster. It knows nothing
// of what is stored in them.
package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/platform/processtest"
)

// Server is a redis-server process on a loopback port.
type Server struct {
	Address string
	// URL is as REDIS_URL takes it.
	URL string
	*processtest.Process
}

// Start runs a server until the test ends. It keeps nothing on disk; args are added to its command line, where PORT is
// replaced by the server's port.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	port := processtest.Port(t)
	s := &Server{Address: "127.0.0.1:" + port, URL: "redis://127.0.0.1:" + port}
	all := []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir()}
	for _, arg := range args {
		all = append(all, strings.ReplaceAll(arg, "PORT", port))
	}
	s.run(t, all)
	return s
}

// run starts the process and waits until it answers, be it with an error.
func (s *Server) run(t testing.TB, args []string) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			t.Fatal("redis-server is required (REQUIRE_REDIS=1) and is not installed")
		}
		t.Skip("redis-server is not installed")
	}
	s.Process = processtest.Start(t, nil, path, args...)
	processtest.Eventually(t, "redis-server answers at "+s.Address, func() bool {
		conn, err := net.Dial("tcp", s.Address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Command runs a command on the server and fails the test on an error.
func (s *Server) Command(t testing.TB, args ...any) any {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: s.Address})
	defer rdb.Close()
	v, err := rdb.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// Replicated is a primary and its replica, watched by three sentinels that replace a dead primary after half a second.
type Replicated struct {
	// URL is of the sentinels, as REDIS_URL takes it.
	URL              string
	Primary, Replica *Server
}

// StartReplicated runs all five processes until the test ends.
func StartReplicated(t testing.TB) *Replicated {
	t.Helper()
	r := &Replicated{Primary: Start(t)}
	host, port, _ := strings.Cut(r.Primary.Address, ":")
	r.Replica = Start(t, "--replicaof", host, port)
	processtest.Eventually(t, "the replica follows", func() bool {
		info, ok := r.Replica.Command(t, "info", "replication").(string)
		return ok && strings.Contains(info, "master_link_status:up")
	})
	sentinels := make([]*Server, 3)
	for i := range sentinels {
		own, dir := processtest.Port(t), t.TempDir()
		s := &Server{Address: "127.0.0.1:" + own}
		config := filepath.Join(dir, "sentinel.conf") // a sentinel writes to it
		text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor prices %s %s 2\n"+
			"sentinel down-after-milliseconds prices 500\nsentinel failover-timeout prices 3000\n", own, dir, host, port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.run(t, []string{config, "--sentinel"})
		sentinels[i] = s
	}
	processtest.Eventually(t, "the sentinels know each other and the replica", func() bool {
		for _, s := range sentinels {
			text := fmt.Sprint(s.Command(t, "sentinel", "master", "prices"))
			if !strings.Contains(text, "num-other-sentinels:2") || !strings.Contains(text, "num-slaves:1") {
				return false
			}
		}
		return true
	})
	r.URL = fmt.Sprintf("redis://%s/0?master_name=prices&addr=%s&addr=%s", sentinels[0].Address, sentinels[1].Address, sentinels[2].Address)
	return r
}

// Cluster is three nodes with a third of the slots each.
type Cluster struct {
	// URL is as REDIS_URL takes it.
	URL   string
	Nodes []*Server
}

// StartCluster runs the nodes until the test ends.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	slots := []int{0, 5461, 10923, 16384}
	for i := range 3 {
		bus := processtest.Port(t) // usually 10,000 above the other port, which need not be free
		s := Start(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		s.Command(t, "cluster", "addslotsrange", slots[i], slots[i+1]-1)
		s.Command(t, "cluster", "set-config-epoch", i+1)
		c.Nodes = append(c.Nodes, s)
		if i > 0 {
			host, port, _ := strings.Cut(s.Address, ":")
			c.Nodes[0].Command(t, "cluster", "meet", host, port, bus)
		}
	}
	processtest.Eventually(t, "every node knows all slots", func() bool {
		for _, s := range c.Nodes {
			info, _ := s.Command(t, "cluster", "info").(string)
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3") {
				return false
			}
		}
		return true
	})
	c.URL = fmt.Sprintf("redis://%s?addr=%s&addr=%s", c.Nodes[0].Address, c.Nodes[1].Address, c.Nodes[2].Address)
	return c
}
