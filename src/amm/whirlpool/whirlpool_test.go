package whirlpool

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

func TestVectors(t *testing.T) {
	for _, kind := range []string{"orca-whirlpool", "orca-whirlpool-2026"} {
		variants := recordedVariants(t, kind)
		program := func(id solana.PublicKey) amm.Program { return recorded{New(id), variants} }
		ammtest.Vectors{Program: program, Kinds: []string{kind}}.Run(t)
	}
}

// recorded builds the swap instruction in the variant that was recorded for a pool, as both do for classic tokens.
type recorded struct {
	amm.Program
	v2 map[solana.PublicKey]bool
}

type recordedPool struct {
	*pool
	v2 bool
}

func recordedVariants(t *testing.T, kind string) map[solana.PublicKey]bool {
	var file struct {
		Pools []struct {
			Pool        solana.PublicKey `json:"pool"`
			Instruction struct {
				Data string `json:"data"`
			} `json:"example_instruction"`
		} `json:"pools"`
	}
	ammtest.ReadFixture(t, "solana/vectors/vectors-"+kind+".json.gz", &file)
	v2 := map[solana.PublicKey]bool{}
	for _, p := range file.Pools {
		data, err := hex.DecodeString(p.Instruction.Data)
		if err != nil {
			t.Fatal(err)
		}
		v2[p.Pool] = bytes.HasPrefix(data, swapV2Data)
	}
	return v2
}

func (r recorded) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	decoded, err := r.Program.Decode(key, accounts)
	if err != nil {
		return nil, err
	}
	return recordedPool{decoded.(*pool), r.v2[key]}, nil
}

func (p recordedPool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	return p.instruction(quote, swap, p.v2)
}

type officialCase struct {
	ID              int    `json:"testId"`
	Spacing         uint16 `json:"tickSpacing"`
	FeeRate         uint16 `json:"feeRate"`
	ProtocolFeeRate int64  `json:"protocolFeeRate"`
	Liquidity       string `json:"liquidity"`
	Tick            int32  `json:"currTickIndex"`
	Amount          uint64 `json:"tradeAmount,string"`
	ExactIn         bool   `json:"amountIsInput"`
	AToB            bool   `json:"aToB"`
	Want            struct {
		Exception    string `json:"exception"`
		A            uint64 `json:"amountA,string"`
		B            uint64 `json:"amountB,string"`
		Liquidity    string `json:"nextLiquidity"`
		Tick         int32  `json:"nextTickIndex"`
		Price        string `json:"nextSqrtPrice"`
		FeeGrowth    string `json:"nextFeeGrowthGlobal"`
		ProtocolFees string `json:"nextProtocolFee"`
	} `json:"expectation"`
}

// The program's own cases: three arrays without a tick, and the price of their end as the limit.
func TestOfficialCases(t *testing.T) {
	var file struct {
		Cases []officialCase `json:"cases"`
	}
	ammtest.ReadFixture(t, "solana/vectors/orca-whirlpool-official-cases.json.gz", &file)
	accepted := 0
	for _, c := range file.Cases {
		if c.check(t) {
			accepted++
		}
	}
	t.Logf("tried %d (accepted %d, refused %d)", len(file.Cases), accepted, len(file.Cases)-accepted)
}

func (c officialCase) check(t *testing.T) (accepted bool) {
	span := arrayTicks * int32(c.Spacing)
	end := floorDiv(c.Tick, span)*span + 3*span - 1
	if c.AToB {
		end = floorDiv(c.Tick, span)*span - 2*span
	}
	end = min(max(end, minTick), maxTick)
	w := window{n: 3, end: clmath.Tick{Index: end, Price: sqrtPrice(end)}, last: end}
	p := &pool{tickSpacing: int32(c.Spacing), feeRate: uint32(c.FeeRate), falling: w, rising: w}
	liquidity, _ := new(big.Int).SetString(c.Liquidity, 10)
	words := new(big.Int).Rsh(liquidity, 64)
	s := swap{
		Direction: clmath.Direction{AToB: c.AToB, ExactOut: !c.ExactIn}, rest: c.Amount,
		price: sqrtPrice(c.Tick), liquidity: clmath.Uint128{Hi: words.Uint64(), Lo: new(big.Int).And(liquidity, big.NewInt(0).SetUint64(math.MaxUint64)).Uint64()},
	}
	err := s.run(p, now)
	if errors.Is(err, amm.ErrArraysMissing) && s.price == w.end.Price {
		err = nil // the limit price, where the case's swap may stop
	}
	if c.Want.Exception != "" || err != nil {
		if (err != nil) != (c.Want.Exception != "") {
			t.Errorf("case %d: error %v, want %q", c.ID, err, c.Want.Exception)
		}
		return false
	}
	a, b := c.Amount-s.rest, s.other
	if c.AToB != c.ExactIn {
		a, b = b, a
	}
	if a != c.Want.A || b != c.Want.B || bigOf(s.price).String() != c.Want.Price || bigOf(s.liquidity).String() != c.Want.Liquidity {
		t.Errorf("case %d: %d A, %d B, price %v, liquidity %v, want %+v", c.ID, a, b, s.price, s.liquidity, c.Want)
	}
	if tick := tickAt(s.price); tick != c.Want.Tick && !(c.AToB && s.price == w.end.Price && tick-1 == c.Want.Tick) {
		t.Errorf("case %d: tick %d, want %d", c.ID, tick, c.Want.Tick)
	}
	// One step, hence one fee: the protocol's share of it, and the rest for each unit of liquidity.
	fee := new(big.Int).SetUint64(s.fee)
	protocol := new(big.Int).Mul(fee, big.NewInt(c.ProtocolFeeRate))
	protocol.Quo(protocol, big.NewInt(10_000))
	growth := new(big.Int)
	if liquidity.Sign() > 0 {
		growth.Quo(growth.Lsh(fee.Sub(fee, protocol), 64), liquidity)
	}
	if protocol.String() != c.Want.ProtocolFees || growth.String() != c.Want.FeeGrowth {
		t.Errorf("case %d: protocol fee %s, growth %s, want %+v", c.ID, protocol, growth, c.Want)
	}
	return true
}

func cases() []ammtest.Case {
	clock := amm.Clock{Epoch: 700, UnixTimestamp: now}
	build := func(name string, s state) ammtest.Case {
		c := ammtest.Case{Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(), Clock: clock, Loose: true}
		if s.oracle == nil && s.mints[0].Owner == solana.TokenProgramID {
			c.After = s.after
		}
		return c
	}
	return []ammtest.Case{
		build("static fee", wide(8)),
		build("dynamic arrays", wide(64).with(func(s *state) { s.dynamic, s.sparse = true, true })),
		build("adaptive fee", wide(4).with(func(s *state) { s.oracle = adaptive(4) })),
		build("splash pool", wide(32896).with(func(s *state) {
			s.tick, s.positions = -1, []position{{-427648, 427648, 1 << 40}}
		})),
		build("transfer fees", wide(8).with(func(s *state) {
			s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 77, 50_000), ammtest.MintWithFee(6, 10_000, 3)}
		})),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{UnixTimestamp: now}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := wide(uint16(1 + c%128))
		s.feeRate = uint16(c >> 8)
		for i := range s.positions {
			s.positions[i].liquidity = (a>>(8*i))%(1<<50) + 1
		}
		s.tick += int32(b%200-100) * int32(s.spacing) / 3
		s.dynamic, s.sparse = c>>24&1 == 1, c>>25&1 == 1
		if c>>26&1 == 1 {
			s.oracle = adaptive(int32(s.spacing))
			s.oracle.control, s.oracle.maxVolatility = c>>27%100_000, c>>44%1_000_000
			s.oracle.groupReference = s.tick/s.oracle.groupSize + int32(b>>32%100)
			s.oracle.lastReference -= c >> 50 % 4000
			if s.oracle.maxVolatility < s.oracle.volatility {
				s.oracle.maxVolatility = s.oracle.volatility
			}
		}
		return s.decode(t), false
	})
}
