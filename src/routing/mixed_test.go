package routing

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/dlmm"
	"jupiter-dex-integration/src/amm/saber"
)

// rangePool is a concentrated pool: liquidity that is constant between each two of some square-root prices.
type rangePool struct {
	info      amm.Info
	price     clmath.Uint128
	bounds    []clmath.Uint128 // rising
	liquidity []clmath.Uint128 // below the bound of the same place and above the one before
	rate      uint32
}

func fixed(v float64) clmath.Uint128 {
	hi := math.Floor(v / (1 << 64))
	return clmath.Uint128{Hi: uint64(hi), Lo: uint64(v - hi*(1<<64))}
}

// newRangePool holds some of valueB on the B side of a price of B per A: most of it near the price.
func newRangePool(i, a, b int, price, valueB float64, feeBps uint64) *rangePool {
	root := math.Sqrt(price)
	p := &rangePool{info: newPool(i, a, b, 1, 1, 0).info, price: fixed(root * (1 << 64)), rate: uint32(feeBps * 100)}
	p.info.Label = "Range"
	depth := map[float64]float64{.5: 0, .9: 1, .99: 2, 1.01: 8, 1.1: 2, 2: 1}
	for _, at := range []float64{.5, .9, .99, 1.01, 1.1, 2} {
		p.bounds = append(p.bounds, fixed(root*math.Sqrt(at)*(1<<64)))
		p.liquidity = append(p.liquidity, fixed(depth[at]*valueB/root))
	}
	return p
}

func (p *rangePool) Info() *amm.Info { return &p.info }

func (p *rangePool) Quote(_ amm.Clock, req amm.Request) (amm.Quote, error) {
	q := amm.Quote{Request: req}
	d := clmath.Direction{AToB: req.AToB, ExactOut: req.ExactOut}
	at := 0
	for !p.price.Less(p.bounds[at]) {
		at++
	}
	price, rest := p.price, req.Amount
	for rest > 0 {
		if at == 0 || at == len(p.bounds) {
			return q, amm.ErrInsufficientLiquidity
		}
		target := p.bounds[at]
		if req.AToB {
			target = p.bounds[at-1]
		}
		s, err := d.Step(price, target, p.liquidity[at], rest, p.rate)
		if err != nil {
			return q, err
		}
		q.In, q.Out, q.FeeIn = q.In+s.In+s.Fee, q.Out+s.Out, q.FeeIn+s.Fee
		if req.ExactOut {
			rest -= s.Out
		} else {
			rest -= s.In + s.Fee
		}
		if price = s.Price; price != target {
			if req.ExactOut && rest > 0 {
				return q, amm.ErrOverflow
			}
			break
		}
		q.Steps++
		if at++; req.AToB {
			at -= 2
		}
	}
	if q.Out == 0 {
		return q, amm.ErrZeroOutput
	}
	return q, nil
}

func (p *rangePool) SpotPrice(aToB bool) float64 {
	root := p.price.Float() / (1 << 64)
	if aToB {
		return root * root
	}
	return 1 / (root * root)
}

func (*rangePool) SwapInstruction(amm.Quote, amm.Swap) (solana.Instruction, error) { return nil, nil }
func (*rangePool) SwapAccounts(amm.Quote) int                                      { return 17 }

// newStablePool is a pool of Saber's program, by its account layout; see package saber.
func newStablePool(tb testing.TB, address solana.PublicKey, mints [2]solana.PublicKey, reserves [2]uint64, amp, feeBps uint64) amm.Pool {
	tb.Helper()
	program := solana.PublicKey{'s'}
	authority, nonce, err := solana.FindProgramAddress([][]byte{address[:]}, program)
	if err != nil {
		tb.Fatal(err)
	}
	data := make([]byte, 395)
	data[0], data[2] = 1, nonce
	for at, v := range map[int]uint64{3: amp, 11: amp, 331: 1, 339: 2, 363: feeBps, 371: 10_000} {
		binary.LittleEndian.PutUint64(data[at:], v)
	}
	accounts := amm.Accounts{address: {Owner: program, Data: data}}
	for i := range 2 {
		vault := address
		vault[0] = byte('v' + i)
		copy(data[107+32*i:], vault[:])
		copy(data[203+32*i:], mints[i][:])
		accounts[mints[i]] = ammtest.Mint(6)
		accounts[vault] = ammtest.TokenAccount(solana.TokenProgramID, mints[i], authority, reserves[i])
	}
	pool, err := ammtest.Decode(saber.New(program), address, accounts)
	if err != nil {
		tb.Fatal(err)
	}
	return pool
}

// newBinPool is a pool of Meteora's DLMM program, by its account layouts; see package dlmm. It holds valueB on either side of a
// price of B per A, in equal parts in bins that are as wide as its fee.
func newBinPool(tb testing.TB, address solana.PublicKey, mints [2]solana.PublicKey, price, valueB float64, feeBps uint64) amm.Pool {
	tb.Helper()
	const width, arrayBins, binLen, nearArrays = 30, 70, 144, 512
	step := max(5, feeBps) // narrower bins of some prices would be in arrays that a pair's own bitmap does not reach
	active := int(math.Round(math.Log(price) / math.Log1p(float64(step)/10_000)))
	program := dlmm.New(solana.PublicKey{'d'})
	discriminator := sha256.Sum256([]byte("account:BinArray"))
	le := binary.LittleEndian

	pair := make([]byte, program.Layout().Size)
	copy(pair, program.Layout().Discriminator)
	le.PutUint16(pair[8:], 10_000) // base factor: the fee is the step
	le.PutUint16(pair[80:], uint16(step))
	for at, v := range map[int]int{24: active - width, 28: active + width, 48: active, 76: active} {
		le.PutUint32(pair[at:], uint32(int32(v)))
	}
	accounts := amm.Accounts{address: {Owner: program.ID(), Data: pair}}
	for i, side := range [2]float64{valueB / price, valueB} {
		vault := address
		vault[0] = byte('v' + i)
		copy(pair[88+32*i:], mints[i][:])
		copy(pair[152+32*i:], vault[:])
		accounts[mints[i]] = ammtest.Mint(6)
		accounts[vault] = ammtest.TokenAccount(solana.TokenProgramID, mints[i], address, uint64(side)+1)
	}
	for id := active - width; id <= active+width; id++ {
		index := int(math.Floor(float64(id) / arrayBins))
		key, _, err := solana.FindProgramAddress([][]byte{[]byte("bin_array"), address[:], le.AppendUint64(nil, uint64(int64(index)))}, program.ID())
		if err != nil {
			tb.Fatal(err)
		}
		if accounts[key] == nil {
			data := make([]byte, 56+arrayBins*binLen)
			copy(data, discriminator[:8])
			le.PutUint64(data[8:], uint64(int64(index)))
			copy(data[24:], address[:])
			accounts[key] = &amm.Account{Owner: program.ID(), Data: data}
			pair[584+(index+nearArrays)/8] |= 1 << ((index + nearArrays) % 8)
		}
		bin := accounts[key].Data[56+(id-index*arrayBins)*binLen:]
		at := fixed(math.Pow(1+float64(step)/10_000, float64(id)) * (1 << 64))
		if id >= active {
			le.PutUint64(bin, uint64(valueB/price/(width+1)))
		}
		if id <= active {
			le.PutUint64(bin[8:], uint64(valueB/(width+1)))
		}
		le.PutUint64(bin[16:], at.Lo)
		le.PutUint64(bin[24:], at.Hi)
		le.PutUint64(bin[40:], 1) // somebody's liquidity
	}
	pool, err := ammtest.Decode(program, address, accounts)
	if err != nil {
		tb.Fatal(err)
	}
	return pool
}

// mixedMarket is syntheticMarket with other curves in it: about a quarter of its pools are concentrated, a fifth have bins, and every
// tenth trades two of a few tokens of one price on a stable curve.
func mixedMarket(tb testing.TB, seed uint64, tokens, pools int) ([]amm.Pool, []float64) {
	tb.Helper()
	const pegged = 6
	all, price := syntheticMarket(seed, tokens, pools)
	for i := range pegged {
		price[tokens-1-i] = price[0]
	}
	r := rand.New(rand.NewPCG(seed, 5))
	peg := func(m int) int {
		if m == 0 {
			return 0
		}
		return tokens - m
	}
	for i, p := range all {
		ends := [2]int{mintIndex(p.Info().Mints[0]), mintIndex(p.Info().Mints[1])}
		value := 1e9 * math.Exp(r.NormFloat64())
		fee := p.(*testPool).feeBps
		noise := math.Exp((r.Float64()*2 - 1) * float64(fee) / 10000 * .9)
		switch {
		case i%10 == 0:
			a := r.IntN(pegged + 1)
			b := (a + 1 + r.IntN(pegged)) % (pegged + 1)
			units := uint64(value / price[0])
			all[i] = newStablePool(tb, testKey('p', i), [2]solana.PublicKey{mint(peg(a)), mint(peg(b))}, [2]uint64{units, units}, 100, 4)
		case i%5 == 1:
			all[i] = newBinPool(tb, testKey('p', i), [2]solana.PublicKey{mint(ends[0]), mint(ends[1])}, price[ends[0]]/price[ends[1]], value/price[ends[1]], fee)
		case i%3 == 0:
			all[i] = newRangePool(i, ends[0], ends[1], price[ends[0]]/price[ends[1]]*noise, value/price[ends[1]], fee)
		default:
			all[i] = newPool(i, ends[0], ends[1], uint64(value/price[ends[0]]), uint64(value/price[ends[1]]*noise), fee)
		}
	}
	return all, price
}

func TestMixedCurvesAreRoutedSoundly(t *testing.T) {
	pools, price := mixedMarket(t, 1, 30, 150)
	g := newGraph(pools)
	r := newRand(t, 9)
	used := map[string]int{}
	for range 60 {
		a, b := r.IntN(30), r.IntN(30)
		if a == b {
			continue
		}
		for _, exactOut := range []bool{false, true} {
			req := Request{Input: mint(a), Output: mint(b), Amount: uint64(math.Exp(r.Float64()*8) * 1e4 / price[a]), ExactOut: exactOut}
			if exactOut {
				req.Amount = uint64(float64(req.Amount) * price[a] / price[b])
			}
			p, err := g.Plan(req, testLimits)
			if err != nil {
				t.Fatalf("%+v: %v", req, err)
			}
			check(t, req, testLimits, p)
			for _, l := range p.Legs {
				used[l.Pool.Info().Label]++
			}
			if bound, err := g.Bound(req, testLimits.MaxHops, p); err == nil && !exactOut && float64(p.Out) > bound || err == nil && exactOut && float64(p.In) < bound {
				t.Errorf("%d for %d is beyond the bound %v", p.Out, p.In, bound)
			}
		}
	}
	for _, label := range []string{"Range", dlmm.Label, saber.Label, "Beta"} {
		if used[label] == 0 {
			t.Errorf("no plan goes through %s: %v", label, used)
		}
	}
}

// measure reports quantiles of the time per plan, and of the gap to the rigorous bound, which knows of no limits but hops.
func measure(b *testing.B, g *Graph, requests []Request, lim Limits) {
	var times []time.Duration
	plans := make([]Plan, len(requests))
	errs := make([]error, len(requests))
	b.ReportAllocs()
	for b.Loop() {
		for i, req := range requests {
			start := time.Now()
			plans[i], errs[i] = g.Plan(req, lim)
			times = append(times, time.Since(start))
		}
	}
	b.StopTimer()
	var gaps []float64
	for i, req := range requests {
		if errs[i] != nil {
			continue
		}
		if bound, err := g.Bound(req, lim.MaxHops, plans[i]); err == nil {
			gaps = append(gaps, (1-float64(plans[i].Out)/bound)*1e4)
		}
	}
	reportTimes(b, times)
	if slices.Sort(gaps); len(gaps) > 0 {
		b.ReportMetric(gaps[len(gaps)/2], "gap-p50-bps")
		b.ReportMetric(gaps[len(gaps)*9/10], "gap-p90-bps")
	}
	b.ReportMetric(float64(len(gaps))/float64(len(requests))*100, "%routed")
}

var (
	solanaLimits = Limits{MaxRoutes: 5, MaxHops: 4, MaxAccounts: 64}
	freeLimits   = Limits{MaxRoutes: 200, MaxHops: 4, MaxAccounts: math.MaxInt}
)

func BenchmarkMixed(b *testing.B) {
	pools, price := mixedMarket(b, 1, 200, 1000)
	g := newGraph(pools)
	for i, size := range []string{"1e4", "1e6", "1e8"} { // of value; pools hold about 1e9 on each side
		value := math.Pow(100, float64(i+2))
		r := rand.New(rand.NewPCG(1, 6))
		var requests []Request
		for len(requests) < 40 {
			if a, o := r.IntN(200), r.IntN(200); a != o {
				requests = append(requests, Request{Input: mint(a), Output: mint(o), Amount: uint64(value/price[a]) + 1})
			}
		}
		b.Run(size+"/solana", func(b *testing.B) { measure(b, g, requests, solanaLimits) })
		b.Run(size+"/free", func(b *testing.B) { measure(b, g, requests, freeLimits) })
	}
}

// BenchmarkRecordedPools is over the recorded list of pools, with drawn reserves: constant-product ones by this package's pool, stable ones by Saber's.
func BenchmarkRecordedPools(b *testing.B) {
	var list struct {
		Pools []struct {
			Kind     string           `json:"kind"`
			Address  solana.PublicKey `json:"address"`
			MintA    solana.PublicKey `json:"mint_a"`
			MintB    solana.PublicKey `json:"mint_b"`
			ReserveA string           `json:"reserve_a"`
			ReserveB string           `json:"reserve_b"`
			Amp      uint64           `json:"amp"`
			Curve    int              `json:"curve_type"`
		} `json:"pools"`
	}
	ammtest.ReadFixture(b, "solana/lists/market-snapshot-synthetic-reserves.json.gz", &list)
	var pools []amm.Pool
	for i, p := range list.Pools {
		a, errA := strconv.ParseUint(p.ReserveA, 10, 64)
		z, errB := strconv.ParseUint(p.ReserveB, 10, 64)
		if errA != nil || errB != nil {
			b.Fatal(errA, errB)
		}
		if p.Kind == "saber-stable-swap" {
			pools = append(pools, newStablePool(b, p.Address, [2]solana.PublicKey{p.MintA, p.MintB}, [2]uint64{a, z}, p.Amp, 4))
			continue
		}
		if p.Curve != 0 {
			continue
		}
		pool := newPool(i, 0, 0, a, z, 25)
		pool.info.Address, pool.info.Mints = p.Address, [2]solana.PublicKey{p.MintA, p.MintB}
		pools = append(pools, pool)
	}
	g := newGraph(pools)
	b.Logf("%d pools, %d mints", len(pools), len(g.mints))
	hubs := g.Hubs(60)
	r := rand.New(rand.NewPCG(1, 7))
	var requests []Request
	for len(requests) < 60 {
		in, out := hubs[r.IntN(len(hubs))], hubs[r.IntN(len(hubs))]
		held := uint64(math.MaxUint64) // the smallest reserve of the input
		for _, p := range list.Pools {
			if p.MintA == in {
				a, _ := strconv.ParseUint(p.ReserveA, 10, 64)
				held = min(held, a)
			}
		}
		if in != out && held < math.MaxUint64 {
			requests = append(requests, Request{Input: in, Output: out, Amount: held/100 + 1})
		}
	}
	b.Run("solana", func(b *testing.B) { measure(b, g, requests, solanaLimits) })
	b.Run("free", func(b *testing.B) { measure(b, g, requests, freeLimits) })
}
