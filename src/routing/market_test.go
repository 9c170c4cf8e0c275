package routing

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// testPool is a constant-product pool whose input fee rounds up.
type testPool struct {
	info     amm.Info
	reserves [2]uint64
	feeBps   uint64
}

func (p *testPool) Info() *amm.Info { return &p.info }

func (p *testPool) Quote(_ amm.Clock, req amm.Request) (amm.Quote, error) {
	in, out := p.reserves[0], p.reserves[1]
	if !req.AToB {
		in, out = out, in
	}
	q := amm.Quote{Request: req}
	if !req.ExactOut {
		q.In = req.Amount
		q.FeeIn, _ = ceilDiv(req.Amount, p.feeBps, 10000)
		net := req.Amount - q.FeeIn
		hi, lo := bits.Mul64(out, net)
		if in+net < in {
			return q, amm.ErrOverflow
		}
		q.Out, _ = bits.Div64(hi, lo, in+net)
		if q.Out == 0 {
			return q, amm.ErrZeroOutput
		}
		return q, nil
	}
	if req.Amount >= out {
		return q, amm.ErrInsufficientLiquidity
	}
	q.Out = req.Amount
	net, ok := ceilDiv(in, req.Amount, out-req.Amount)
	if ok {
		q.In, ok = ceilDiv(net, 10000, 10000-p.feeBps)
	}
	if !ok {
		return q, amm.ErrOverflow
	}
	return q, nil
}

// ceilDiv is a*b/c, rounded up, and whether it fits.
func ceilDiv(a, b, c uint64) (uint64, bool) {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, c)
	if r > 0 {
		q++
	}
	return q, q > 0 || r == 0
}

func (p *testPool) SpotPrice(aToB bool) float64 {
	if aToB {
		return float64(p.reserves[1]) / float64(p.reserves[0])
	}
	return float64(p.reserves[0]) / float64(p.reserves[1])
}

func (p *testPool) SwapInstruction(amm.Quote, amm.Swap) (solana.Instruction, error) { return nil, nil }

func (p *testPool) SwapAccounts(amm.Quote) int { return 14 }

func testKey(kind byte, i int) (key solana.PublicKey) {
	key[0] = kind
	binary.BigEndian.PutUint32(key[1:], uint32(i))
	return key
}

func mint(i int) solana.PublicKey { return testKey('m', i) }

func newPool(i, a, b int, ra, rb, feeBps uint64) *testPool {
	return &testPool{amm.Info{Address: testKey('p', i), Label: []string{"Alpha", "Beta", "Gamma"}[i%3], Mints: [2]solana.PublicKey{mint(a), mint(b)}},
		[2]uint64{ra, rb}, feeBps}
}

// randomMarket has some hubs that trade with many tokens, and prices that agree but for noise within the fees.
func randomMarket(r *rand.Rand, mints, pools int) []amm.Pool {
	price := make([]float64, mints)
	for i := range price {
		price[i] = math.Exp(r.NormFloat64() * 3)
	}
	hubs := max(2, mints/8)
	var all []amm.Pool
	for i := range pools {
		a, b := r.IntN(hubs), r.IntN(mints)
		for a == b {
			b = r.IntN(mints)
		}
		if r.IntN(2) == 0 {
			a, b = b, a
		}
		value := math.Exp(r.NormFloat64()*2) * 1e12
		fee := []uint64{1, 5, 25, 30, 100}[r.IntN(5)]
		noise := 1 + (r.Float64()-.5)*2*float64(fee)/10000
		all = append(all, newPool(i, a, b, uint64(value/price[a])+1000, uint64(value/price[b]*noise)+1000, fee))
	}
	return all
}

func newRand(t testing.TB, seed uint64) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(seed, 1))
}

func newGraph(pools []amm.Pool) *Graph {
	infos := make([]*amm.Info, len(pools))
	for i, p := range pools {
		infos[i] = p.Info()
	}
	return NewGraph(infos, pools, testClock)
}
