package optimizer

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/chain"
)

func TestLegsCostMoreTheDearerPriorityIs(t *testing.T) {
	s := &service{maxRoutes: 5, feeMultiplier: 1.5}
	for _, tc := range []struct {
		paid uint64 // micro-lamports per compute unit
		want uint64 // 5000/5 and 150,000 units at 1.5 times that
	}{{0, 1000 + 150}, {1_000_000, 1000 + 225_000}, {1e15, 1000 + maxAutoLamports}} {
		s.unitPrice.Store(autoFee.price([]uint64{tc.paid}, s.feeMultiplier, unitsPerHop))
		if got := s.legLamports(); got != tc.want {
			t.Errorf("at %d a leg costs %d lamports, want %d", tc.paid, got, tc.want)
		}
	}
}

func TestCostsAreInTheTokenThatAPlanIsJudgedBy(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	ask := func(query string) detailedQuote {
		code, body := get(t, base+"/v1/quote?"+query)
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
		return decode[detailedQuote](t, body)
	}
	cost := func(q detailedQuote) uint64 {
		v, err := strconv.ParseUint(q.LegCost, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	whole := ask("inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000000")
	inSOL := cost(ask("inputMint=" + wsol + "&outputMint=" + usdc + "&amount=100000000&swapMode=ExactOut"))
	inUSDC := cost(whole)
	if want := float64(inSOL) * float64(whole.Quote.OutAmount) / 1e9; inSOL < 1000 || float64(inUSDC) < want*.95 || float64(inUSDC) > want*1.05+1 {
		t.Errorf("a leg costs %d lamports or %d units of USDC, of which 1 SOL gives %d", inSOL, inUSDC, whole.Quote.OutAmount)
	}
}

func TestNoPriceIsNoCost(t *testing.T) {
	s := &service{market: still{&chain.Snapshot{Slot: 1, Advanced: time.Now()}}}
	st, err := s.current()
	if err != nil {
		t.Fatal(err)
	}
	if got := st.legCost(5000, solana.PublicKey{1}); got != 0 {
		t.Errorf("a token without a price has a cost of %d", got)
	}
}
