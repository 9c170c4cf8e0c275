package oracle

import (
	"encoding/json"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
)

func TestHistoryIsBoundedAndKeepsTheLatestDay(t *testing.T) {
	h := newHistory(time.Second) // faster than the resolution
	begin := noon.Add(-72 * time.Hour)
	for at := begin; at.Before(noon); at = at.Add(20 * time.Second) {
		h.append(h.bucket(at), map[string]float64{wsol: float64(at.Unix())})
	}
	points := h.points(wsol, begin)
	if len(points) != 24*60+1 || cap(h.series[wsol]) > h.maxBytes() {
		t.Errorf("%d points in %d bytes", len(points), cap(h.series[wsol]))
	}
	for i, p := range points {
		if want := noon.Add(-time.Minute * time.Duration(len(points)-i)); !p.At.Equal(want) || p.Price != float64(want.Unix()) {
			t.Fatalf("point %d is %v, want %v", i, p, want)
		}
	}
	if got := h.points(wsol, noon.Add(-90*time.Second)); len(got) != 2 {
		t.Errorf("%d points: the one in the time and the one before it", len(got))
	}
	if got := h.points(usdc, begin); len(got) != 0 {
		t.Errorf("an unknown token has %v", got)
	}
}

func TestMergedHistoriesLoseNothingAndRepeatNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var a, b []byte
		want := map[uint32]bool{}
		for bucket := uint32(0); bucket < 50; bucket++ {
			inA, inB := r.IntN(2) == 0, r.IntN(2) == 0
			if inA {
				a = append(a, point(bucket, 1)...)
			}
			if inB {
				b = append(b, point(bucket, 2)...)
			}
			if inA || inB {
				want[bucket] = true
			}
		}
		b = append(b, 1, 2, 3) // a point cut short is none
		got := union(a, b)
		if len(got) != len(want)*pointSize {
			t.Fatalf("%d points of %d", len(got)/pointSize, len(want))
		}
		for i, last := 0, int64(-1); i < len(want); i++ {
			bucket, _ := pointAt(got, i)
			if !want[bucket] || int64(bucket) <= last {
				t.Fatalf("bucket %d after %d", bucket, last)
			}
			last = int64(bucket)
		}
	}
}

func TestCandles(t *testing.T) {
	var points []aggregate.Point
	for i, usd := range []float64{10, 12, 9, 11, 20, 21} {
		points = append(points, aggregate.Point{At: noon.Add(time.Duration(i) * time.Minute), Price: usd})
	}
	got := candles(points, noon.Add(time.Minute), noon.Add(5*time.Minute), 2*time.Minute)
	want := []candle{
		{noon, "12", "12", "12", "12", 1},
		{noon.Add(2 * time.Minute), "9", "11", "9", "11", 2},
		{noon.Add(4 * time.Minute), "20", "20", "20", "20", 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryRequests(t *testing.T) {
	u := testAPI(t, map[string]string{wsol: "75"})
	now := time.Now()
	for i := range 120 {
		u.history.append(u.history.bucket(now.Add(time.Duration(i-120)*time.Minute)), map[string]float64{wsol: 100 + float64(i)})
	}
	s := httptest.NewServer(newAPI(u))
	defer s.Close()
	for query, want := range map[string]string{
		"": "",
		"from=" + now.Add(-time.Hour).UTC().Format(time.RFC3339): "",
		"from=1767323045&to=1767326645&step=60":                  "",
		"from=2026-01-02T04:00:00Z&to=2026-01-02T03:00:00Z":      "must be before",
		"from=1767323045&to=1767323045":                          "must be before",
		"from=yesterday":                                         "from:",
		"to=-5":                                                  "to:",
		"from=99999999999999":                                    "from:",
		"step=0":                                                 "step:",
		"step=48h":                                               "step:",
		"step=x":                                                 "step:",
		"from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&step=10s":         "more than 1500 points",
		"from=" + url.QueryEscape("2026-01-01T00:00:00+02:00") + "&step=24h": "",
	} {
		code, body := get(t, s.URL+"/v1/prices/"+wsol+"/history?"+query)
		if e := jupiter.DecodeError(code, body); want != "" && (code != 400 || e.Code != jupiter.CodeInvalidRequest || !strings.Contains(e.Message, want)) || want == "" && code != 200 {
			t.Errorf("%s: HTTP %d %s", query, code, body)
		}
	}
	_, body := get(t, s.URL+"/v1/prices/"+wsol+"/history?step=1h")
	var answer struct{ Candles []candle }
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Candles) < 2 || len(answer.Candles) > 3 {
		t.Errorf("%s (%v)", body, err)
	}
	_, body = get(t, s.URL+"/v1/prices/"+wsol)
	var d detail
	if err := json.Unmarshal(body, &d); err != nil || d.TWAP == nil || !strings.HasPrefix(*d.TWAP, "189.") && !strings.HasPrefix(*d.TWAP, "190.") {
		t.Errorf("the average of 160..219 over the last hour is 189.5 to 190.5: %s (%v)", body, err)
	}
	if code, _ := get(t, s.URL+"/v1/prices/"+usdc+"/history"); code != 404 {
		t.Errorf("an unknown token: HTTP %d", code)
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("2026-01-02T03:04:05Z", "1767326645", "5m")
	f.Add("0", "253402300799", "1s")
	f.Fuzz(func(t *testing.T, from, to, step string) {
		begin, end, width, err := parseRange(from, to, step, noon, time.Minute)
		if err == nil && (!begin.Before(end) || width < time.Second || end.Sub(begin)/width > maxCandles) {
			t.Errorf("%v..%v by %v", begin, end, width)
		}
	})
}

func TestHistoryIsSharedAndSurvivesRedis(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75"})
		rdb := piped.client(t)
		a, b := testUpdater(source, rdb, time.Minute, wsol), testUpdater(source, piped.client(t), time.Minute, wsol)
		stopA := start(t, a)
		defer start(t, b)()
		advance(30 * time.Minute)
		n := len(a.history.points(wsol, time.Time{}))
		if m := len(b.history.points(wsol, time.Time{})); n < 26 || m != n {
			t.Fatalf("%d and %d points after half an hour", n, m)
		}
		late := testUpdater(source, piped.client(t), time.Minute, wsol)
		defer start(t, late)()
		synctest.Wait()
		if m := len(late.history.points(wsol, time.Time{})); m != n {
			t.Errorf("a server that has just begun has %d points of %d", m, n)
		}
		// Redis is away for ten minutes, in which each replica goes on alone, and comes back empty.
		stopA()
		piped.setDown(true)
		advance(10 * time.Minute)
		piped.FlushAll()
		piped.setDown(false)
		advance(3 * time.Second)
		series, err := newStore(piped.client(t), "mainnet").loadHistory(t.Context(), []string{wsol})
		if m := len(series[wsol]) / pointSize; err != nil || m < n+8 {
			t.Errorf("Redis has %d points after its return (%v), %d before and ten minutes without it", m, err, n)
		}
		// Away again, but with its memory.
		piped.setDown(true)
		advance(10 * time.Minute)
		piped.setDown(false)
		advance(3 * time.Second)
		series, err = newStore(piped.client(t), "mainnet").loadHistory(t.Context(), []string{wsol})
		if m := len(series[wsol]) / pointSize; err != nil || m < n+16 {
			t.Errorf("Redis has %d points (%v)", m, err)
		}
	})
}

func TestStoredHistoryIsBounded(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		for i := range 10 {
			o := outcome{bucket: uint32(1000 + 60*i), prices: map[string]float64{wsol: float64(i)}}
			for range 2 { // a second update within the resolution adds nothing
				if _, err := s.commit(t.Context(), mustBegin(t, s, 0).Fence, o, 0, 4*pointSize); err != nil {
					t.Fatal(err)
				}
			}
		}
		series, err := s.loadHistory(t.Context(), []string{wsol, usdc})
		if err != nil || len(series) != 1 || len(series[wsol]) != 4*pointSize {
			t.Fatalf("%v, %v", series, err)
		}
		for i := range 4 {
			if bucket, usd := pointAt(series[wsol], i); bucket != uint32(1000+60*(6+i)) || usd != float64(6+i) {
				t.Errorf("point %d: %v at %d", i, usd, bucket)
			}
		}
		if ttl := s.rdb.TTL(t.Context(), s.history+wsol).Val(); ttl <= historySpan || ttl > 2*historySpan {
			t.Errorf("expires in %v", ttl)
		}
	})
}
