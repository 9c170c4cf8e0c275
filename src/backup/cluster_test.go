package backup

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/redistest"
)

func TestKeysOfAllNodesOfAClusterAreSavedAndRestored(t *testing.T) {
	open := func() redis.UniversalClient {
		rdb, err := platform.RedisConfig{RedisURL: redistest.StartCluster(t).URL}.ClientWaiting(replyTimeout)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}
	from, to := open(), open()
	const n = 500
	for i := range n {
		for _, prefix := range []string{"oracle:", "other:"} {
			if err := from.Set(t.Context(), fmt.Sprint(prefix, i), i, time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	saved := 0
	unread, err := exportRedis(t.Context(), from, []string{"oracle:"}, func(_ string, value any) error {
		saved++
		line, err := json.Marshal(value)
		if err != nil {
			return err
		}
		return restoreRedis(t.Context(), to, line, false)
	})
	if err != nil || len(unread) > 0 || saved != n {
		t.Fatalf("%d of %d keys: %v, %v", saved, n, unread, err)
	}
	for i := range n {
		if got, err := to.Get(t.Context(), fmt.Sprint("oracle:", i)).Result(); err != nil || got != fmt.Sprint(i) {
			t.Fatalf("key %d is %q: %v", i, got, err)
		}
	}
}
