package oracle

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
	"jupiter-dex-integration/src/oracle/pyth"
	"jupiter-dex-integration/src/platform"
)

// fakeChain answers from a map and counts.
type fakeChain struct {
	mu       sync.Mutex
	accounts map[solana.PublicKey]*amm.Account
	err      error
	calls    int
}

func (c *fakeChain) Accounts(_ context.Context, keys []solana.PublicKey) ([]*amm.Account, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if len(keys) > maxAccounts {
		return nil, errors.New("too many accounts")
	}
	found := make([]*amm.Account, len(keys))
	for i, key := range keys {
		found[i] = c.accounts[key]
	}
	return found, c.err
}

func (c *fakeChain) set(key solana.PublicKey, a *amm.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accounts[key] = a
}

func mintAccount(decimals uint8) *amm.Account {
	data := make([]byte, mintSize)
	data[mintDecimalsOffset] = decimals
	return &amm.Account{Owner: solana.TokenProgramID, Data: data}
}

// pullAccount is a PriceUpdateV2 of feed, by the documented offsets.
func pullAccount(feed byte, price int64, conf uint64, published time.Time) *amm.Account {
	data := make([]byte, 134)
	copy(data, []byte{0x22, 0xf1, 0x23, 0x63, 0x9d, 0x7e, 0xf4, 0xcd})
	data[40], data[41] = 1, feed
	le := binary.LittleEndian
	le.PutUint64(data[73:], uint64(price))
	le.PutUint64(data[81:], conf)
	exponent := int32(-8)
	le.PutUint32(data[89:], uint32(exponent))
	le.PutUint64(data[93:], uint64(published.Unix()))
	le.PutUint64(data[125:], 437157938)
	return &amm.Account{Owner: pyth.Programs[0], Data: data}
}

func key(b byte) solana.PublicKey { return solana.PublicKey{b, 1} }

func TestPythSourceBelievesOnlyWhatItShould(t *testing.T) {
	ours := [32]byte{7}
	good := func() *amm.Account { return pullAccount(7, 7506634976, 3000000, noon.Add(-30*time.Second)) }
	for name, c := range map[string]struct {
		account *amm.Account
		want    string // reason; "" for a price
	}{
		"a current price":           {good(), ""},
		"no account":                {nil, "does not exist"},
		"somebody else's account":   {&amm.Account{Owner: key(9), Data: good().Data}, "PRICE_PYTH_PROGRAMS"},
		"another feed":              {pullAccount(8, 7506634976, 3000000, noon), "has the price of feed 08"},
		"a node that lags":          {pullAccount(7, 7506634976, 3000000, noon.Add(-3*time.Minute)), "published 3m0s ago"},
		"a clock that is wrong":     {pullAccount(7, 7506634976, 3000000, noon.Add(time.Minute)), "a clock is wrong"},
		"publishers who are unsure": {pullAccount(7, 7506634976, 200000000, noon), "only sure to 2.66 %"},
		"bytes of something else":   {&amm.Account{Owner: pyth.Programs[1], Data: make([]byte, 165)}, "not a Pyth price account"},
	} {
		t.Run(name, func(t *testing.T) {
			chain := &fakeChain{accounts: map[solana.PublicKey]*amm.Account{key(1): c.account, solana.MustPublicKeyFromBase58(wsol): mintAccount(9)}}
			now := func() time.Time { return noon }
			s := &pythSource{map[string]feed{wsol: {key(1), &ours}}, pyth.Programs, chain, newMetrics(prometheus.NewRegistry()), now}
			observed, err := s.observe(t.Context(), []string{wsol, usdc})
			if err != nil {
				t.Fatal(err)
			}
			o := observed[wsol]
			if _, other := observed[usdc]; other || len(observed) != 1 {
				t.Errorf("%+v", observed)
			}
			if c.want == "" && (o.Price != "75.06634976" || o.Confidence != 0.03 || o.Slot != 437157938 || !o.At.Equal(noon.Add(-30*time.Second)) || o.Reason != "") {
				t.Errorf("%+v", o)
			}
			if c.want != "" && (o.Price != "" || !strings.Contains(o.Reason, c.want) || !strings.Contains(o.Reason, key(1).String())) {
				t.Errorf("%+v does not say %q", o, c.want)
			}
		})
	}
}

func TestPythSourceSaysThatTheNodeIsGone(t *testing.T) {
	chain := &fakeChain{err: errors.New("no Solana RPC node answered")}
	s := &pythSource{map[string]feed{wsol: {account: key(1)}}, pyth.Programs, chain, newMetrics(prometheus.NewRegistry()), time.Now}
	observed, err := s.observe(t.Context(), []string{wsol})
	if !errors.Is(err, chain.err) || !strings.Contains(observed[wsol].Reason, "no Solana RPC node") {
		t.Errorf("%+v, %v", observed, err)
	}
}

// fakeOptimizer trades at a price with a fee on each side.
type fakeOptimizer struct {
	*httptest.Server
	price, fee float64 // US dollars per token; ratio
	calls      atomic.Int64
	status     atomic.Int64
}

func newFakeOptimizer(t *testing.T, price, fee float64) *fakeOptimizer {
	f := &fakeOptimizer{price: price, fee: fee}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		q, err := jupiter.ParseQuoteRequest(r.URL.Query())
		if r.Header.Get("X-Price-Guard") != "off" {
			t.Error("the route-optimizer may refuse what it is asked, because the last price was another")
		}
		switch {
		case f.status.Load() != 0:
			jupiter.WriteError(w, jupiter.Errorf(int(f.status.Load()), "", "out of order"))
		case err != nil:
			jupiter.WriteError(w, err)
		case q.InputMint.String() == jup || q.OutputMint.String() == jup:
			jupiter.WriteError(w, jupiter.Errorf(400, jupiter.CodeNoRoutesFound, "No routes found"))
		default:
			out := float64(q.Amount) / 1e6 / f.price * 1e9 // USDC has 6 decimals, the token 9
			if q.OutputMint.String() == usdc {
				out = float64(q.Amount) / 1e9 * f.price * 1e6
			}
			jupiter.WriteJSON(w, 200, jupiter.Quote{InputMint: q.InputMint.String(), OutputMint: q.OutputMint.String(), InAmount: q.Amount,
				OutAmount: uint64(out * (1 - f.fee)), ContextSlot: 42})
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func testOptimizerSource(t *testing.T, f *fakeOptimizer) *optimizerSource {
	client, err := jupiter.NewClient(f.URL, nil, jupiter.NewTransport())
	if err != nil {
		t.Fatal(err)
	}
	chain := &fakeChain{accounts: map[solana.PublicKey]*amm.Account{}}
	for mint, places := range map[string]uint8{wsol: 9, usdc: 6, jup: 6} {
		chain.accounts[solana.MustPublicKeyFromBase58(mint)] = mintAccount(places)
	}
	b := newBook(&clock{}, agesOf(time.Minute))
	ru := rules{aggregate.DefaultPolicy, agesOf(time.Minute), map[string]float64{usdc: 1}}
	return &optimizerSource{client, usdc, []float64{100, 1000, 10000}, b, ru, &decimals{book: b, accounts: chain, read: map[string]uint8{}},
		newMetrics(prometheus.NewRegistry()), b.clock.now}
}

func TestOptimizerSourceMeasuresTheMiddleOfBuyingAndSelling(t *testing.T) {
	f := newFakeOptimizer(t, 75, 0.002)
	s := testOptimizerSource(t, f)
	observed, err := s.observe(t.Context(), []string{wsol, usdc, jup})
	if err != nil {
		t.Fatal(err)
	}
	o := observed[wsol]
	usd, err := parsePrice(o.Price)
	// Bought at 75/(1-fee), sold at 75·(1-fee): the middle is 75.00015, half of the spread 0.15.
	if err != nil || math.Abs(usd-75.00015) > 0.0001 || math.Abs(o.Confidence-0.15015) > 0.0001 || o.Slot != 42 {
		t.Errorf("%+v, %v", o, err)
	}
	if !strings.Contains(observed[jup].Reason, "No routes found") || observed[usdc].Price != "" {
		t.Errorf("%+v", observed)
	}
	if n := f.calls.Load(); n != 3*2+3 {
		t.Errorf("%d calls: two per size for a token that trades, one per size for one that does not", n)
	}
}

func TestOptimizerSourceConvertsThroughWhatTheStableCoinIsWorth(t *testing.T) {
	f := newFakeOptimizer(t, 75, 0)
	for price, want := range map[string]string{"0.99": "74.25", "0.95": ""} {
		s := testOptimizerSource(t, f)
		r := someRecord(price, time.Now())
		r.Decimals = nil // the mint itself says 6
		if err := s.book.merge(map[string]record{usdc: r}); err != nil {
			t.Fatal(err)
		}
		observed, err := s.observe(t.Context(), []string{wsol})
		if err != nil {
			t.Fatal(err)
		}
		o := observed[wsol]
		if want == "" {
			if o.Price != "" || !strings.Contains(o.Reason, "peg") {
				t.Errorf("through a coin of %s dollars: %+v", price, o)
			}
			continue
		}
		if usd, err := parsePrice(o.Price); err != nil || math.Abs(usd-74.25) > 0.0001 {
			t.Errorf("through a coin of %s dollars: %+v", price, o)
		}
	}
}

func TestOptimizerThatIsDownIsNotAskedForEveryToken(t *testing.T) {
	f := newFakeOptimizer(t, 75, 0)
	f.status.Store(503)
	s := testOptimizerSource(t, f)
	tokens := manyTokens(500)
	for _, mint := range tokens {
		s.decimals.read[mint] = 9
	}
	observed, err := s.observe(t.Context(), tokens)
	if err == nil || len(observed) != 500 {
		t.Errorf("%d observations, error %v", len(observed), err)
	}
	if n := f.calls.Load(); n > quoteFailures+concurrentQuotes {
		t.Errorf("%d calls", n)
	}
}

func TestSourcesNeedTheirConfiguration(t *testing.T) {
	account := key(1).String()
	for name, c := range map[string]struct {
		environ []string
		want    string
	}{
		"an unknown source":          {[]string{"PRICE_SOURCES=jupiter,oracle"}, "PRICE_SOURCES"},
		"one twice":                  {[]string{"PRICE_SOURCES=jupiter,jupiter"}, "PRICE_SOURCES"},
		"pyth without feeds":         {[]string{"PRICE_SOURCES=pyth", "SOLANA_RPC_URL=http://r"}, "PRICE_PYTH_FEEDS is empty"},
		"pyth without an RPC":        {[]string{"PRICE_SOURCES=pyth", "PRICE_PYTH_FEEDS=" + wsol + "=" + account}, "SOLANA_RPC_URL is empty"},
		"a feed without an account":  {[]string{"PRICE_SOURCES=pyth", "PRICE_PYTH_FEEDS=" + wsol}, "PRICE_PYTH_FEEDS"},
		"a feed id of 31 bytes":      {[]string{"PRICE_SOURCES=pyth", "PRICE_PYTH_FEEDS=" + wsol + "=" + account + ":" + strings.Repeat("ab", 31)}, "PRICE_PYTH_FEEDS"},
		"a program that is no key":   {[]string{"PRICE_SOURCES=pyth", "PRICE_PYTH_PROGRAMS=x"}, "PRICE_PYTH_PROGRAMS"},
		"optimizer without a URL":    {[]string{"PRICE_SOURCES=optimizer", "PRICE_PEGS=" + usdc + "=1"}, "ROUTE_OPTIMIZER_URL is empty"},
		"a quote token of no price":  {[]string{"PRICE_SOURCES=optimizer", "ROUTE_OPTIMIZER_URL=http://o"}, "PRICE_QUOTE_MINT"},
		"sizes that are no amounts":  {[]string{"PRICE_SOURCES=optimizer", "PRICE_QUOTE_SIZES=0,NaN"}, "PRICE_QUOTE_SIZES"},
		"a peg that is no price":     {[]string{"PRICE_PEGS=" + usdc + "=one"}, "PRICE_PEGS"},
		"agreement of nobody at all": {[]string{"PRICE_MIN_SOURCES=0"}, "PRICE_MIN_SOURCES"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := platform.Load[UpdateConfig](append([]string{"PRICE_TOKENS=" + wsol}, c.environ...))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// rpcOf is a JSON-RPC on a real socket that knows getMultipleAccounts.
func rpcOf(t *testing.T, accounts map[solana.PublicKey]*amm.Account) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			ID     any
			Method string
			Params []json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Method != "getMultipleAccounts" {
			http.Error(w, "not here", http.StatusBadRequest)
			return
		}
		var keys []solana.PublicKey
		json.Unmarshal(req.Params[0], &keys)
		values := make([]any, len(keys))
		for i, k := range keys {
			if a := accounts[k]; a != nil {
				values[i] = map[string]any{"owner": a.Owner, "lamports": 1, "data": []any{a.Data, "base64"}, "executable": false, "rentEpoch": 0}
			}
		}
		jupiter.WriteJSON(w, 200, map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": map[string]any{"context": map[string]any{"slot": 5}, "value": values}})
	}))
	t.Cleanup(s.Close)
	return s
}

func TestServerWithAllSources(t *testing.T) {
	t.Parallel()
	rpc := rpcOf(t, map[solana.PublicKey]*amm.Account{
		key(1): pullAccount(7, 7550000000, 3000000, time.Now()), solana.MustPublicKeyFromBase58(wsol): mintAccount(9), solana.MustPublicKeyFromBase58(usdc): mintAccount(6),
	})
	s := serve(t, "PRICE_SOURCES=jupiter,optimizer,pyth,peg", "PRICE_TOKENS="+wsol+","+usdc, "PRICE_PEGS="+usdc+"=1",
		"JUPITER_API_URL="+newUpstream(t, []byte(solPrice)).URL, "ROUTE_OPTIMIZER_URL="+newFakeOptimizer(t, 75.4, 0.001).URL,
		"SOLANA_RPC_URL="+rpc.URL, "PRICE_PYTH_FEEDS="+wsol+"="+key(1).String()+":07"+strings.Repeat("00", 31))
	var d detail
	eventually(t, "a price of three sources", func() bool {
		code, body := get(t, s.api+"/v1/prices/"+wsol)
		return code == 200 && json.Unmarshal(body, &d) == nil
	})
	used := 0
	for _, q := range d.Sources {
		if q.Used {
			used++
		}
	}
	if used != 3 || d.Price != "75.5" || d.State != fresh || d.Confidence == nil {
		t.Errorf("%+v", d)
	}
	if _, body := get(t, s.api+"/v1/prices/"+usdc); !strings.Contains(string(body), `"price":"1"`) || !strings.Contains(string(body), `"state":"degraded"`) {
		t.Errorf("the pegged token alone: %s", body)
	}
}

// Where Jupiter does not exist no source says how many decimals a token has, and without them it has no entry in /price/v3.
func TestDecimalsThatNoSourceKnowsAreReadFromTheMintOnce(t *testing.T) {
	chain := &fakeChain{accounts: map[solana.PublicKey]*amm.Account{solana.MustPublicKeyFromBase58(usdc): mintAccount(6)}}
	u := testUpdater(&fakeJupiter{}, nil, time.Minute, usdc)
	u.sources = []source{pegSource{map[string]float64{usdc: 1}, time.Now}}
	u.decimals.accounts = chain
	for range 2 {
		if err := u.lead(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if e := u.book.snapshot()[usdc]; e.v3 == nil || e.Decimals == nil || *e.Decimals != 6 {
		t.Errorf("no entry in Jupiter's shape: %+v", e)
	}
	if chain.calls != 1 {
		t.Errorf("%d calls: a mint does not change", chain.calls)
	}
}
