package ratelimit

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
)

func perMinute(n int64) limiter.Rate { return limiter.Rate{Period: time.Minute, Limit: n} }

func TestIntervalNeverAdmitsMoreThanTheRate(t *testing.T) {
	for _, limit := range []int64{1, 7, 59, 60, 1000, 9000, 333333, 60e6, 1e12} {
		g := newGCRA(perMinute(limit), 10)
		if n := int64(time.Minute / g.interval); n > limit || g.interval%time.Microsecond != 0 {
			t.Errorf("%d per minute: an interval of %v admits %d", limit, g.interval, n)
		}
	}
}

func TestTake(t *testing.T) {
	now := time.Unix(1000, 0)
	g := gcra{interval: time.Second, burst: 8}
	for _, tt := range []struct {
		name        string
		tat         time.Time
		least, most int64
		want        decision
		wantTAT     time.Time
	}{
		{"a new key", time.Time{}, 1, 1, decision{1, 7, 0}, now.Add(time.Second)},
		{"ahead of use, a quarter at most", time.Time{}, 1, 5, decision{2, 6, 0}, now.Add(2 * time.Second)},
		{"what is needed at any rate", time.Time{}, 6, 6, decision{6, 2, 0}, now.Add(6 * time.Second)},
		{"the last", now.Add(7 * time.Second), 1, 5, decision{1, 0, 0}, now.Add(8 * time.Second)},
		{"none left", now.Add(7500 * time.Millisecond), 1, 1, decision{0, 0, 500 * time.Millisecond}, now.Add(7500 * time.Millisecond)},
		{"not enough left", now.Add(6 * time.Second), 4, 4, decision{0, 2, 2 * time.Second}, now.Add(6 * time.Second)},
		{"a question", now.Add(3 * time.Second), 0, 0, decision{0, 5, 0}, now.Add(3 * time.Second)},
		{"the clock was set back", now.Add(time.Hour), 1, 1, decision{0, 0, time.Second}, now.Add(8 * time.Second)},
	} {
		tat, got := g.take(tt.tat, now, tt.least, tt.most)
		if got != tt.want || !tat.Equal(tt.wantTAT) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, tat, tt.want, tt.wantTAT)
		}
	}
}

// In any window the algorithm admits at most burst + window/interval, and a caller who waits as told is admitted.
func FuzzTake(f *testing.F) {
	f.Add(uint64(1), int64(1000), int64(100))
	f.Add(uint64(2), int64(1), int64(1))
	f.Add(uint64(3), int64(60000), int64(7))
	f.Fuzz(func(t *testing.T, seed uint64, limit, burst int64) {
		if limit < 1 || limit > 1e6 || burst < 1 || burst > 1e4 {
			t.Skip()
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		g := newGCRA(perMinute(limit), burst)
		now, tat := time.Unix(0, 0), time.Time{}
		var times []time.Time
		for range 300 {
			now = now.Add(time.Duration(rnd.Int64N(int64(g.interval) * 2)))
			least := 1 + rnd.Int64N(3)
			var d decision
			tat, d = g.take(tat, now, least, least+rnd.Int64N(5))
			for range d.granted {
				times = append(times, now)
			}
			if d.wait > 0 && least <= burst {
				if _, after := g.take(tat, now.Add(d.wait), least, least); after.granted != least {
					t.Fatalf("refused again after the wait it asked for: %+v", after)
				}
			}
		}
		if over := worstExcess(times, g); over > burst {
			t.Errorf("a window admitted %d beyond its rate, the burst is %d", over, burst)
		}
	})
}

// worstExcess is the greatest number of admissions in any window beyond what the rate alone admits in it.
func worstExcess(times []time.Time, g gcra) int64 {
	var worst int64
	for i := range times {
		for j := i; j < len(times); j++ {
			worst = max(worst, int64(j-i+1)-int64(times[j].Sub(times[i])/g.interval))
		}
	}
	return worst
}

func TestScriptDecidesAsTheAlgorithm(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	script := redis.NewScript(takeScript)
	for _, g := range []gcra{newGCRA(perMinute(1000), 100), newGCRA(perMinute(7), 1), newGCRA(perMinute(1e6), 33)} {
		now, tat := time.Unix(1_800_000_000, 0), time.Time{}
		for range 500 {
			step := time.Duration(rnd.Int64N(int64(g.interval) * 3)).Truncate(time.Microsecond)
			server.FastForward(step) // ages the keys
			now = now.Add(step)
			server.SetTime(now)
			least := rnd.Int64N(4)
			most := least + rnd.Int64N(8)
			var want decision
			tat, want = g.take(tat, now, least, most)
			answer, err := script.Run(t.Context(), client, []string{"k", "hold"}, g.interval.Microseconds(), g.burst, least, most).Int64Slice()
			if err != nil {
				t.Fatal(err)
			}
			if got := (decision{answer[0], answer[1], time.Duration(answer[2]) * time.Microsecond}); got != want {
				t.Fatalf("%+v, least %d, most %d: the script says %+v, the algorithm %+v", g, least, most, got, want)
			}
		}
		server.FlushAll()
	}
}
