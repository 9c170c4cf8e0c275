package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
)

// saying is a source that says the same of every token.
type saying struct {
	id  string
	o   observation
	err error
}

func (s saying) name() string { return s.id }

func (s saying) observe(_ context.Context, mints []string) (map[string]observation, error) {
	observed := map[string]observation{}
	for _, mint := range mints {
		if s.o.Price != "" || s.o.Reason != "" {
			observed[mint] = s.o
		}
	}
	return observed, s.err
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func says(id, price string, ago time.Duration) saying {
	return saying{id: id, o: observation{Price: json.Number(price), Weight: 1, At: noon.Add(-ago), Slot: uint64(1000 - ago.Seconds())}}
}

func next(ru rules, last record, sources ...source) record {
	s := ask(context.Background(), sources, []string{wsol}, func() time.Time { return noon })
	return ru.next(wsol, sources, s.observed, last, noon)
}

var testRules = rules{aggregate.DefaultPolicy, agesOf(5 * time.Minute), map[string]float64{wsol: 100}}

func TestPriceKeepsTheDigitsOfTheSourceItCameFrom(t *testing.T) {
	r := next(testRules, record{}, says("a", "100.100000000000000000001", 0), says("b", "100.10", 20*time.Second), says("c", "99.9", time.Minute))
	if r.Price != "100.10" || r.Slot != 1000 || !r.ObservedAt.Equal(noon) || r.Confidence == nil || len(r.Degraded) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEverySourceAccountsForItself(t *testing.T) {
	r := next(testRules, record{}, says("a", "100", 0), says("b", "100.1", 0), says("c", "100.2", 0), says("wrong", "110", 0),
		says("nonsense", "-1", 0), saying{id: "silent"}, saying{id: "sorry", o: observation{Reason: "halted"}}, pegSource{testRules.pegs, func() time.Time { return noon }})
	got := map[string]string{}
	for _, q := range r.Sources {
		got[q.Name] = q.Reason
		if q.Used != (len(q.Name) == 1) {
			t.Errorf("%s used: %v", q.Name, q.Used)
		}
	}
	want := map[string]string{"a": "", "b": "", "c": "", "wrong": "9.84 % from the median, 0.52 % are allowed", "nonsense": `the price "-1" is not a positive number`,
		"silent": "it has no price for this token", "sorry": "halted", "peg": "only counts where no other source has a price"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPegCountsOnlyAloneAndIsWatched(t *testing.T) {
	peg := pegSource{testRules.pegs, func() time.Time { return noon }}
	if r := next(testRules, record{}, saying{id: "a"}, peg); r.Price != "100" || len(r.Degraded) == 0 {
		t.Errorf("the peg alone: %s, %v", r.Price, r.Degraded)
	}
	r := next(testRules, record{}, says("a", "95", 0), says("b", "95.1", 0), peg)
	if r.Price != "95.05" || len(r.Degraded) != 1 || !strings.Contains(r.Degraded[0], "4.95 % off its peg of 100") {
		t.Errorf("off the peg: %s, %v", r.Price, r.Degraded)
	}
}

func TestWithoutAnyQuoteTheLastGoodPriceStays(t *testing.T) {
	last := next(testRules, record{}, says("a", "100", 0), says("b", "100.1", 0))
	r := next(testRules, last, saying{id: "a", err: errors.New("down")}, saying{id: "b", o: observation{Reason: "halted"}})
	if r.Price != last.Price || r.ObservedAt != last.ObservedAt || len(r.Degraded) != 1 || !strings.Contains(r.Degraded[0], "no source") {
		t.Errorf("%+v", r)
	}
}

func TestJumpOfOneSourceIsHeldAndThenBelieved(t *testing.T) {
	last := next(testRules, record{}, says("a", "100", 0), says("b", "100.1", 0))
	held := next(testRules, last, says("a", "130", 0))
	if held.Price != last.Price || !strings.Contains(strings.Join(held.Degraded, ";"), "a jump to 130 waits to be confirmed") {
		t.Fatalf("%s, %v", held.Price, held.Degraded)
	}
	if r := next(testRules, held, says("a", "131", 0)); r.Price != "131" {
		t.Errorf("confirmed, and still %s: %v", r.Price, r.Degraded)
	}
	if r := next(testRules, last, says("a", "130", 0), says("b", "130.1", 0)); r.Price != "130.05" {
		t.Errorf("two sources agree, and still %s: %v", r.Price, r.Degraded)
	}
}

func TestStatesByAge(t *testing.T) {
	a := agesOf(5 * time.Minute)
	for age, want := range map[time.Duration]state{0: fresh, 7 * time.Minute: fresh, 8 * time.Minute: degraded, 15 * time.Minute: degraded, 16 * time.Minute: stale} {
		if got := a.state(record{ObservedAt: noon}, noon.Add(age)); got != want {
			t.Errorf("%v: %s, want %s", age, got, want)
		}
	}
	if got := a.state(record{ObservedAt: noon, Degraded: []string{"x"}}, noon); got != degraded {
		t.Errorf("with a reason: %s", got)
	}
}

func TestOneSourceDownDegradesNotFails(t *testing.T) {
	u := testUpdater(&fakeJupiter{}, nil, time.Minute, wsol)
	u.sources = []source{says("a", "100", 0), saying{id: "b", err: errors.New("connection refused")}}
	u.rules.policy.MinSources = 2
	if err := u.lead(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "b: connection refused") {
		t.Errorf("error %v", err)
	}
	health := u.sourceHealth()
	if health[0].Error != "" || health[0].Priced != 1 || health[0].LastSuccess.IsZero() || health[1].Error != "connection refused" || !health[1].LastSuccess.IsZero() {
		t.Errorf("%+v", health)
	}
	if u.book.usd(wsol) != "100" {
		t.Errorf("price %q", u.book.usd(wsol))
	}
}

func TestDetailSaysHowSureItIs(t *testing.T) {
	u := testUpdater(&fakeJupiter{}, nil, time.Hour, wsol, jup)
	u.sources = []source{
		saying{id: "a", o: observation{Price: "100", Weight: 1, At: time.Now()}},
		saying{id: "b", o: observation{Price: "100.2", Weight: 1, At: time.Now()}},
	}
	u.tokens = []string{wsol}
	if err := u.lead(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	u.sources = []source{saying{id: "a", o: observation{Reason: "halted"}}}
	u.tokens = []string{jup}
	if err := u.lead(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(newAPI(u))
	defer s.Close()

	code, body := get(t, s.URL+"/v1/prices/"+wsol)
	var d detail
	if err := json.Unmarshal(body, &d); err != nil || code != 200 {
		t.Fatal(code, string(body), err)
	}
	if d.Price != "100.1" || d.Confidence == nil || !strings.HasPrefix(*d.Confidence, "0.1") || d.State != fresh || d.EMA != "100.1" || len(d.Sources) != 2 || d.AgeMs < 0 {
		t.Errorf("%s", body)
	}
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/v1/prices/" + jup:  {404, "halted"},
		"/v1/prices/" + usdc: {404, "PRICE_TOKENS"},
		"/v1/prices/xyz":     {400, "base58"},
	} {
		code, body := get(t, s.URL+path)
		if e := jupiter.DecodeError(code, body); code != want.status || !strings.Contains(e.Message, want.text) || e.Code == "" {
			t.Errorf("%s: HTTP %d %s", path, code, body)
		}
	}

	// In Jupiter's shape a token without known decimals cannot be, and the reasons are there for whoever asks.
	resp, err := http.Get(s.URL + "/price/v3?missing=true&ids=" + strings.Join([]string{wsol, jup, usdc}, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Missing []struct{ ID, Reason string } }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Missing) != 3 {
		t.Fatalf("%+v, %v", answer, err)
	}
	for i, want := range []string{"decimals", "halted", "PRICE_TOKENS"} {
		if !strings.Contains(answer.Missing[i].Reason, want) {
			t.Errorf("%+v does not say %s", answer.Missing[i], want)
		}
	}

	_, body = get(t, s.URL+"/v1/sources")
	var sources struct{ Sources []sourceHealth }
	if err := json.Unmarshal(body, &sources); err != nil || len(sources.Sources) != 1 || sources.Sources[0].Name != "a" {
		t.Errorf("%s (%v)", body, err)
	}
}

func TestStateOfPricesIsInAHeader(t *testing.T) {
	u := testAPI(t, map[string]string{wsol: "75"}) // degraded
	s := httptest.NewServer(newAPI(u))
	defer s.Close()
	resp, err := http.Get(s.URL + "/price/v3?ids=" + wsol)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get(jupiter.PriceStateHeader); got != "degraded" {
		t.Errorf("%s: %q", jupiter.PriceStateHeader, got)
	}
}

func TestReplicaWithAWrongClockNeitherBlocksNorMisjudges(t *testing.T) {
	now := time.Now()
	c := &clock{}
	b := newBook(c, agesOf(time.Minute))
	c.set(now.Add(-time.Hour)) // Redis is right; this machine is an hour ahead
	if age := c.since(now.Add(-time.Hour)); age > time.Minute {
		t.Errorf("a price of this moment is %v old", age)
	}
	if err := b.merge(map[string]record{wsol: someRecord("75", now)}); err != nil { // from before the clock was known
		t.Fatal(err)
	}
	if err := b.merge(map[string]record{wsol: someRecord("76", now.Add(-time.Hour))}); err != nil || b.usd(wsol) != "76" {
		t.Errorf("a version from the future blocks the present: %s, %v", b.usd(wsol), err)
	}
}
