package aggregate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at makes quotes of equal weight.
func at(prices ...float64) []Quote {
	quotes := make([]Quote, len(prices))
	for i, p := range prices {
		quotes[i] = Quote{Source: string(rune('a' + i)), Price: p, Weight: 1}
	}
	return quotes
}

func TestCombineVectors(t *testing.T) {
	for name, c := range map[string]struct {
		quotes     []Quote
		price      float64
		confidence float64
		used       []string
		degraded   []string
	}{
		"one without a confidence is not known to be sure": {at(10), 10, math.NaN(), []string{"a"}, []string{"1 of at least 2 sources"}},
		"one with its own":       {[]Quote{{"a", 10, 0.01, 1}}, 10, 0.01, []string{"a"}, []string{"1 of at least 2 sources"}},
		"two that agree":         {at(100, 100.1), 100.05, 0.05, []string{"a", "b"}, nil},
		"two that do not":        {at(100, 110), 105, 5, []string{"a", "b"}, []string{"confidence of 4.76 %, at most 1.00 % is sure"}},
		"three, the middle":      {at(100, 100.2, 100.1), 100.1, 0.1, []string{"a", "b", "c"}, nil},
		"four, between":          {at(100, 100.1, 100.2, 100.3), 100.15, 0.15, []string{"a", "b", "c", "d"}, nil},
		"one of three is out":    {at(100, 100.1, 110), 100.05, 0.05, []string{"a", "b"}, []string{"1 of 3 sources disagree"}},
		"one of four is out":     {at(100, 100.1, 110, 100.2), 100.1, 0.1, []string{"a", "b", "d"}, nil},
		"two of five are out":    {at(100, 100.1, 110, 110, 100.2), 100.1, 0.1, []string{"a", "b", "e"}, []string{"2 of 5 sources disagree"}},
		"half against half":      {at(100, 100, 110, 110), 105, 5, []string{"a", "b", "c", "d"}, []string{"confidence of 4.76 %, at most 1.00 % is sure"}},
		"the floor protects":     {at(100, 100, 100, 100.25), 100, 0.25, []string{"a", "b", "c", "d"}, nil},
		"but not beyond it":      {at(100, 100, 100, 100.26), 100, 0, []string{"a", "b", "c"}, nil},
		"a pair weighs the same": {[]Quote{{"a", 100, 0, 1}, {"b", 100.2, 0, 2}}, 100.1, 0.1, []string{"a", "b"}, nil},
		// Of three, k = 1: the weight 100 is capped to 0.99·2 of the least. 0.99·2+1+1 = 3.98, half of it is reached at b's 1+1.
		"no one outweighs two":   {[]Quote{{"a", 100, 0, 1}, {"b", 100.1, 0, 1}, {"c", 100.2, 0, 100}}, 100.1, 0.1, []string{"a", "b", "c"}, nil},
		"own confidences, wide":  {[]Quote{{"a", 100, 1, 1}, {"b", 100, 3, 1}, {"c", 100, 2, 1}}, 100, 2, []string{"a", "b", "c"}, []string{"confidence of 2.00 %, at most 1.00 % is sure"}},
		"nonsense is left aside": {append(at(100, 100.1, 100.2), Quote{"x", math.NaN(), 0, 1}), 100.1, 0.1, []string{"a", "b", "c"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Combine(c.quotes, 0, DefaultPolicy)
			if err != nil {
				t.Fatal(err)
			}
			if !near(got.Price, c.price) || !near(got.Confidence, c.confidence) {
				t.Errorf("%v ± %v, want %v ± %v", got.Price, got.Confidence, c.price, c.confidence)
			}
			if diff := cmp.Diff(c.used, got.Used); diff != "" {
				t.Error("used:", diff)
			}
			if diff := cmp.Diff(c.degraded, got.Degraded); diff != "" {
				t.Error("degraded:", diff)
			}
			if len(got.Used)+len(got.Rejected) != len(c.quotes) {
				t.Errorf("%d used and %d rejected of %d", len(got.Used), len(got.Rejected), len(c.quotes))
			}
		})
	}
}

func near(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(1, math.Abs(b))
}

func TestCombineRefusesWhatIsNoPrice(t *testing.T) {
	for _, q := range []Quote{{"a", 0, 0, 1}, {"a", -1, 0, 1}, {"a", math.NaN(), 0, 1}, {"a", math.Inf(1), 0, 1}, {"a", 1, -1, 1}, {"a", 1, math.NaN(), 1},
		{"a", 1, math.Inf(1), 1}, {"a", 1, 0, 0}, {"a", 1, 0, math.Inf(1)}, {"a", 1, 0, math.NaN()}} {
		if r, err := Combine([]Quote{q}, 0, DefaultPolicy); !errors.Is(err, ErrNoQuotes) || r.Rejected["a"] == "" {
			t.Errorf("%+v: %+v, %v", q, r, err)
		}
	}
	if _, err := Combine(nil, 0, DefaultPolicy); !errors.Is(err, ErrNoQuotes) {
		t.Errorf("nothing: %v", err)
	}
}

// honest returns n quotes within noise (a ratio) of price, with weights between 1 and 100.
func honest(r *rand.Rand, n int, price, noise float64) []Quote {
	quotes := make([]Quote, n)
	for i := range quotes {
		quotes[i] = Quote{Source: fmt.Sprint(i), Price: price * (1 + noise*(2*r.Float64()-1)), Weight: 1 + 99*r.Float64()}
	}
	return quotes
}

// priceOf draws prices from those of meme coins to those of bitcoin.
func priceOf(r *rand.Rand) float64 { return math.Pow(10, 15*r.Float64()-9) }

func TestOneWrongOfFourMovesThePriceByAtMostOneBasisPoint(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		quotes := honest(r, 4, priceOf(r), 0.00005) // honest sources within 1 bps of one another
		before, err := Combine(quotes, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		liar := r.IntN(4)
		quotes[liar].Price *= 1 + 0.10*float64(1-2*r.IntN(2))
		quotes[liar].Weight = 1e6
		after, err := Combine(quotes, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		if moved := ratio(after.Price, before.Price); moved > 0.0001 {
			t.Fatalf("moved by %v: %+v", moved, quotes)
		}
		if after.Rejected[quotes[liar].Source] == "" {
			t.Fatalf("the liar was believed: %+v", quotes)
		}
	}
}

func TestTwoColludingOfFiveMoveThePriceByAtMostFiftyBasisPointsAndAreNoticed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		price := priceOf(r)
		quotes := honest(r, 5, price, 0.0020)
		lie := 0.02 + r.Float64()
		if r.IntN(2) == 0 {
			lie = -0.02 - 0.9*r.Float64()
		}
		for _, i := range r.Perm(5)[:2] {
			quotes[i].Price, quotes[i].Weight = price*(1+lie), 1e6
		}
		got, err := Combine(quotes, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		if moved := ratio(got.Price, price); moved > 0.0050 {
			t.Fatalf("moved by %v: %+v", moved, quotes)
		}
		if len(got.Degraded) == 0 {
			t.Fatalf("passed as sure: %+v", quotes)
		}
	}
}

func TestPriceLiesWithinTheHonestMajority(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		n := 3 + r.IntN(6)
		quotes := honest(r, n, priceOf(r), 0.01)
		low, high := math.Inf(1), 0.0
		liars := (n - 1) / 2
		for i := range quotes {
			if i < liars {
				quotes[i].Price, quotes[i].Weight = priceOf(r), priceOf(r)
			} else {
				low, high = min(low, quotes[i].Price), max(high, quotes[i].Price)
			}
		}
		got, err := Combine(quotes, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		if got.Price < low*(1-1e-12) || got.Price > high*(1+1e-12) {
			t.Fatalf("%v is outside %v..%v: %+v", got.Price, low, high, quotes)
		}
	}
}

func TestSplitSourcesFollowTheLastPrice(t *testing.T) {
	for name, c := range map[string]struct {
		quotes []Quote
		last   float64
		price  float64
		used   int
	}{
		"two disagree, one is where it was": {at(100, 110), 99.8, 100, 1},
		"the other way round":               {at(100, 110), 112, 110, 1},
		"half against half":                 {at(100, 100.2, 110, 110.2), 110, 110.1, 2},
		"a majority needs no past":          {at(100, 100.1, 100.2, 110), 110, 100.1, 3},
		"agreement needs no past":           {at(100, 100.2), 50, 100.1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Combine(c.quotes, c.last, DefaultPolicy)
			if err != nil || !near(got.Price, c.price) || len(got.Used) != c.used || len(got.Used)+len(got.Rejected) != len(c.quotes) {
				t.Errorf("%+v, %v", got, err)
			}
			if c.used*2 <= len(c.quotes) && len(got.Degraded) == 0 {
				t.Error("passed as sure")
			}
		})
	}
}

func TestOneLiarOfTwoIsNeverFollowedFromAKnownPrice(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 20000 {
		price := priceOf(r)
		quotes := honest(r, 2, price, 0.001)
		quotes[0].Price, quotes[0].Weight = price*(1.03+r.Float64()), 1e6
		got, err := Combine(quotes, price*(1+0.005*(2*r.Float64()-1)), DefaultPolicy)
		if err != nil || got.Price != quotes[1].Price || len(got.Degraded) == 0 {
			t.Fatalf("%+v, %v of %+v", got, err, quotes)
		}
	}
}

func TestOrderAndScaleDoNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 5000 {
		quotes := honest(r, 1+r.IntN(7), 1, 0.02)
		want, err := Combine(quotes, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := slices.Clone(quotes)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			shuffled[i].Price *= 1024 // exact
		}
		got, err := Combine(shuffled, 0, DefaultPolicy)
		if err != nil {
			t.Fatal(err)
		}
		if !near(got.Price/1024, want.Price) || !near(got.Confidence/1024, want.Confidence) || !cmp.Equal(got.Used, want.Used) {
			t.Fatalf("%+v and %+v", got, want)
		}
	}
}

func FuzzCombine(f *testing.F) {
	f.Add(1.0, 1.0, 1.0, 0.0, 1.0, 2.0, 0.0)
	f.Add(math.MaxFloat64, 1.0, 1.0, math.MaxFloat64, math.MaxFloat64, math.SmallestNonzeroFloat64, 1.0)
	f.Fuzz(func(t *testing.T, p1, p2, p3, conf, w1, w2, last float64) {
		quotes := []Quote{{"a", p1, conf, w1}, {"b", p2, 0, w2}, {"c", p3, conf, 1}}
		got, err := Combine(quotes, last, DefaultPolicy)
		if err != nil {
			return
		}
		if !(got.Price > 0) || math.IsInf(got.Price, 0) || got.Confidence < 0 || len(got.Used) == 0 {
			t.Errorf("%+v of %+v", got, quotes)
		}
	})
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestJumpsAreHeldUntilConfirmed(t *testing.T) {
	start := Track{Price: 100, At: noon, EMA: 100}
	for name, c := range map[string]struct {
		from    Track
		price   float64
		sources int
		after   time.Duration
		want    float64
		held    bool
	}{
		"a small move":                         {start, 109, 1, time.Minute, 109, false},
		"a jump that one source alone sees":    {start, 112, 1, time.Minute, 100, true},
		"a crash that one source alone sees":   {start, 80, 1, time.Minute, 100, true},
		"a jump that two sources see":          {start, 150, 2, time.Minute, 150, false},
		"a jump that the next update repeats":  {Track{Price: 100, At: noon, EMA: 100, Pending: 112}, 114, 1, time.Minute, 114, false},
		"a jump elsewhere is another jump":     {Track{Price: 100, At: noon, EMA: 100, Pending: 112}, 150, 1, time.Minute, 100, true},
		"back to where it was: a false alarm":  {Track{Price: 100, At: noon, EMA: 100, Pending: 112}, 101, 1, time.Minute, 101, false},
		"after a long silence anything is new": {start, 200, 1, time.Hour, 200, false},
		"the first price ever":                 {Track{}, 5, 1, 0, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, held := c.from.Advance(c.price, c.sources, c.from.At.Add(c.after), 15*time.Minute, DefaultPolicy)
			if got.Price != c.want || held != c.held || held != (got.Pending == c.price) || !held && got.Pending != 0 {
				t.Errorf("%+v, held %v", got, held)
			}
		})
	}
}

func TestEMAVectors(t *testing.T) {
	// A step from 100 to 105: after one period of an hour 1-1/e of it has come through, in however many updates.
	for _, steps := range []int{1, 4, 60} {
		track := Track{Price: 100, At: noon, EMA: 100}
		for i := range steps {
			track, _ = track.Advance(105, 2, noon.Add(time.Hour*time.Duration(i+1)/time.Duration(steps)), 2*time.Hour, DefaultPolicy)
		}
		if want := 100 + 5*0.6321205588285577; math.Abs(track.EMA-want) > 1e-9 {
			t.Errorf("in %d steps: %v, want %v", steps, track.EMA, want)
		}
	}
	late := Track{Price: 100, At: noon, EMA: 100}
	if got, _ := late.Advance(105, 2, noon.Add(-time.Minute), time.Hour, DefaultPolicy); got.EMA != 100 {
		t.Errorf("a clock that was set back moved the average to %v", got.EMA)
	}
}

func TestTWAPVectors(t *testing.T) {
	min := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	points := []Point{{min(0), 10}, {min(10), 20}, {min(40), 40}}
	for name, c := range map[string]struct {
		points   []Point
		from, to int
		want     float64
	}{
		"all of it: (10·10 + 20·30 + 40·20) / 60": {points, 0, 60, 25},
		"cut at both ends: (20·20 + 40·5) / 25":   {points, 20, 45, 24},
		"before the first does not count":         {points, -60, 10, 10},
		"after the last it goes on":               {points, 50, 60, 40},
		"nothing yet":                             {points, -20, -10, math.NaN()},
		"no points":                               {nil, 0, 60, math.NaN()},
		"no time":                                 {points, 10, 10, math.NaN()},
	} {
		t.Run(name, func(t *testing.T) {
			if got := TWAP(c.points, min(c.from), min(c.to)); !near(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPegBands(t *testing.T) {
	for price, want := range map[float64]Peg{1: PegHolds, 1.005: PegHolds, 0.9951: PegHolds, 0.994: PegStrained, 1.0199: PegStrained, 0.97: PegBroken, 1.03: PegBroken} {
		if got := CheckPeg(price, 1); got != want {
			t.Errorf("%v: %v, want %v", price, got, want)
		}
	}
}

func BenchmarkCombineFiveSources(b *testing.B) {
	quotes := honest(rand.New(rand.NewPCG(1, 1)), 5, 100, 0.01)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Combine(quotes, 0, DefaultPolicy); err != nil {
			b.Fatal(err)
		}
	}
}
