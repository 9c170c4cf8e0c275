package oracle

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"jupiter-dex-integration/src/oracle/aggregate"
)

const (
	historySpan = 24 * time.Hour
	// minResolution bounds memory: 1440 points of 12 bytes are 17 kB per token and day.
	minResolution = time.Minute
	// pointSize is that of a point, in memory and in Redis: Unix seconds u32, price f64, little endian.
	pointSize = 12
)

// history keeps a day of prices per token, at most one per resolution. It is safe for concurrent use.
type history struct {
	resolution time.Duration

	mu     sync.RWMutex
	series map[string][]byte // points, oldest first
}

func newHistory(updateInterval time.Duration) *history {
	return &history{resolution: max(minResolution, updateInterval), series: map[string][]byte{}}
}

// bucket is the time, in Unix seconds, that the points of an update at t are filed under.
func (h *history) bucket(t time.Time) uint32 {
	return uint32(t.Truncate(h.resolution).Unix())
}

// maxBytes is the size of a full series.
func (h *history) maxBytes() int { return pointSize * int(historySpan/h.resolution+1) }

func point(bucket uint32, usd float64) []byte {
	p := make([]byte, pointSize)
	binary.LittleEndian.PutUint32(p, bucket)
	binary.LittleEndian.PutUint64(p[4:], math.Float64bits(usd))
	return p
}

func pointAt(series []byte, i int) (bucket uint32, usd float64) {
	p := series[i*pointSize:]
	return binary.LittleEndian.Uint32(p), math.Float64frombits(binary.LittleEndian.Uint64(p[4:]))
}

// append files prices under bucket. A series that has a point of that time or later stays as it is.
func (h *history) append(bucket uint32, usd map[string]float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for mint, price := range usd {
		s := h.series[mint]
		if n := len(s) / pointSize; n > 0 {
			if last, _ := pointAt(s, n-1); last >= bucket {
				continue
			}
		}
		if len(s) >= h.maxBytes() {
			s = s[:copy(s, s[pointSize:])]
		} else if len(s) == cap(s) { // grown by hours, not doubled: most of the memory of the process is here
			s = append(make([]byte, 0, min(h.maxBytes(), len(s)+60*pointSize)), s...)
		}
		h.series[mint] = append(s, point(bucket, price)...)
	}
}

// merge adds the points of series as they are stored. It returns the series that now have more points than those.
func (h *history) merge(stored map[string][]byte) map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	for mint, s := range stored {
		u := union(h.series[mint], s)
		h.series[mint] = u[max(0, len(u)-h.maxBytes()):]
	}
	more := map[string][]byte{}
	for mint, s := range h.series {
		if len(s) > len(stored[mint]) {
			more[mint] = slices.Clone(s)
		}
	}
	return more
}

// union merges two series; of two points of one time it keeps a's.
func union(a, b []byte) []byte {
	merged := make([]byte, 0, max(len(a), len(b)))
	for len(a) >= pointSize || len(b) >= pointSize {
		switch {
		case len(b) < pointSize:
			merged, a = append(merged, a[:pointSize]...), a[pointSize:]
		case len(a) < pointSize:
			merged, b = append(merged, b[:pointSize]...), b[pointSize:]
		default:
			at, _ := pointAt(a, 0)
			bt, _ := pointAt(b, 0)
			if at <= bt {
				merged, a = append(merged, a[:pointSize]...), a[pointSize:]
			} else {
				merged = append(merged, b[:pointSize]...)
			}
			if bt <= at {
				b = b[pointSize:]
			}
		}
	}
	return merged
}

// forget drops the series of tokens that are no longer kept.
func (h *history) forget(mints []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, mint := range mints {
		delete(h.series, mint)
	}
}

// points returns the points of a token from from on, and the last one before.
func (h *history) points(mint string, from time.Time) []aggregate.Point {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.series[mint]
	n := len(s) / pointSize
	first := n
	for first > 0 {
		first--
		if bucket, _ := pointAt(s, first); int64(bucket) < from.Unix() {
			break
		}
	}
	points := make([]aggregate.Point, 0, n-first)
	for i := first; i < n; i++ {
		bucket, usd := pointAt(s, i)
		points = append(points, aggregate.Point{At: time.Unix(int64(bucket), 0).UTC(), Price: usd})
	}
	return points
}

// candle is what a token's price did during one step.
type candle struct {
	Time  time.Time `json:"time"`
	Open  string    `json:"open"`
	High  string    `json:"high"`
	Low   string    `json:"low"`
	Close string    `json:"close"`
	// Samples is how many prices it is made of.
	Samples int `json:"samples"`
}

// candles sums points up by steps, aligned to multiples of step, from from up to and without to. Steps without a price
// have none.
func candles(points []aggregate.Point, from, to time.Time, step time.Duration) []candle {
	all := []candle{}
	var begin time.Time
	var open, high, low, last float64
	samples := 0
	flush := func() {
		if samples > 0 {
			all = append(all, candle{begin, string(formatPrice(open)), string(formatPrice(high)), string(formatPrice(low)), string(formatPrice(last)), samples})
		}
	}
	for _, p := range points {
		if p.At.Before(from) || !p.At.Before(to) {
			continue
		}
		if at := p.At.Truncate(step); samples == 0 || !at.Equal(begin) {
			flush()
			begin, open, high, low, samples = at, p.Price, p.Price, p.Price, 0
		}
		high, low, last = max(high, p.Price), min(low, p.Price), p.Price
		samples++
	}
	flush()
	return all
}

// maxCandles bounds one answer.
const maxCandles = 1500

// parseRange reads from, to (RFC 3339 or Unix seconds) and step (a duration such as 5m, or seconds). Unset, they are the
// last day in steps of five minutes or the resolution of the history, whichever is longer.
func parseRange(from, to, step string, now time.Time, resolution time.Duration) (begin, end time.Time, width time.Duration, err error) {
	end, width = now, max(5*time.Minute, resolution)
	if to != "" {
		if end, err = parseTime(to); err != nil {
			return begin, end, width, fmt.Errorf("to: %w", err)
		}
	}
	begin = end.Add(-historySpan)
	if from != "" {
		if begin, err = parseTime(from); err != nil {
			return begin, end, width, fmt.Errorf("from: %w", err)
		}
	}
	if step != "" {
		if width, err = parseStep(step); err != nil {
			return begin, end, width, err
		}
	}
	switch {
	case !begin.Before(end):
		err = fmt.Errorf("from (%s) must be before to (%s)", begin.Format(time.RFC3339), end.Format(time.RFC3339))
	case end.Sub(begin)/width > maxCandles:
		err = fmt.Errorf("%v in steps of %v is more than %d points: ask for less time or a longer step", end.Sub(begin), width, maxCandles)
	}
	return begin, end, width, err
}

// maxUnixSeconds is the last second of the year 9999, beyond which RFC 3339 cannot write a time.
const maxUnixSeconds = 253402300799

func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		if seconds < 0 || seconds > maxUnixSeconds {
			return time.Time{}, fmt.Errorf("%d is not a Unix time in seconds", seconds)
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%.40q is neither a time such as 2026-01-02T03:04:05Z nor Unix seconds", text)
	}
	return t.UTC(), nil
}

func parseStep(text string) (time.Duration, error) {
	step, err := time.ParseDuration(text)
	if seconds, secErr := strconv.ParseInt(text, 10, 32); secErr == nil {
		step, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || step < time.Second || step > historySpan {
		return 0, fmt.Errorf("step: %.40q is not a duration from 1s to %v, such as 5m or 300", text, historySpan)
	}
	return step, nil
}
