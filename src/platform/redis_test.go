package platform

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/platform/processtest"
	"jupiter-dex-integration/src/platform/redistest"
)

// connect makes a client of environment variables.
func connect(t *testing.T, environ ...string) redis.UniversalClient {
	t.Helper()
	cfg, err := Load[struct{ RedisConfig }](environ)
	if err != nil {
		t.Fatal(err)
	}
	client, err := cfg.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestRedisClientFollowsTheSentinelsToTheNewPrimary(t *testing.T) {
	t.Parallel()
	servers := redistest.StartReplicated(t)
	client := connect(t, "REDIS_URL="+servers.URL)
	if err := client.Set(t.Context(), "price", "75", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Do(t.Context(), "wait", 1, 5000).Int(); err != nil || n != 1 {
		t.Fatalf("%d replicas have it: %v", n, err)
	}
	servers.Primary.Kill()
	begin := time.Now()
	processtest.Eventually(t, "writing goes on", func() bool { return client.Set(t.Context(), "size", "3", 0).Err() == nil })
	t.Logf("writing went on %v after the primary had died", time.Since(begin).Round(10*time.Millisecond))
	if got, err := client.Get(t.Context(), "price").Result(); err != nil || got != "75" {
		t.Errorf("the new primary has %q: %v", got, err)
	}
	if got := servers.Replica.Command(t, "get", "size"); got != "3" {
		t.Errorf("the replica has %v: something else was written to", got)
	}
}

func TestRedisClientFindsTheNodeOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	url, _, _ := strings.Cut(cluster.URL, "?") // one address is enough to learn of the others
	client := connect(t, "REDIS_URL="+url+"?addr="+cluster.Nodes[0].Address)
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, node := range cluster.Nodes {
		if n := node.Command(t, "dbsize"); n == int64(0) {
			t.Errorf("node %d has none of the keys", i)
		}
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func TestRedisClientTrustsOnlyItsOwnAuthority(t *testing.T) {
	t.Parallel()
	certificate, key := newPair(t, "redis")
	certFile, keyFile := file(t, string(certificate)), file(t, string(key))
	server := redistest.Start(t, "--port", "0", "--tls-port", "PORT", "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	if err := connect(t, "REDIS_URL=rediss://"+server.Address+"/0", "REDIS_CA_FILE="+certFile).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	if err := connect(t, "REDIS_URL=rediss://"+server.Address+"/0").Ping(t.Context()).Err(); err == nil {
		t.Error("a certificate that nobody vouches for was accepted")
	}
}

func TestRedisPasswordRotatesWithoutRestart(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireAuth("first")
	path := file(t, "first")
	client := connect(t, "REDIS_URL=redis://"+server.Addr(), "REDIS_PASSWORD_FILE="+path)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Close() // as a Redis that is restarted with its new password
	server.RequireAuth("second")
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the new password is used", func() bool { return client.Ping(t.Context()).Err() == nil })
}
