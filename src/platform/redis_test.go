package platform

import (
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func TestRedisPasswordRotatesWithoutRestart(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireAuth("first")
	path := file(t, "first")
	cfg, err := Load[struct{ RedisConfig }]([]string{"REDIS_URL=redis://" + server.Addr(), "REDIS_PASSWORD_FILE=" + path})
	if err != nil {
		t.Fatal(err)
	}
	client, err := cfg.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = client.Ping(t.Context()).Err(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
