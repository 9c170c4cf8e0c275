package dlmm

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

func TestVectors(t *testing.T) {
	ammtest.Vectors{Program: New, Kinds: []string{"meteora-dlmm"}}.Run(t)
}

// The estimate of compute units decides which swaps are refused for them.
func TestComputeUnitsAreThoseRecorded(t *testing.T) {
	var file struct {
		Clock struct {
			Epoch uint64 `json:"epoch"`
			Time  int64  `json:"unix_timestamp"`
		} `json:"clock"`
		Pools []struct {
			ID       string           `json:"id"`
			Pool     solana.PublicKey `json:"pool"`
			Accounts []struct {
				Key   solana.PublicKey `json:"pubkey"`
				Owner solana.PublicKey `json:"owner"`
				Data  []byte           `json:"data"`
			} `json:"accounts"`
			Swaps []struct {
				In     solana.PublicKey `json:"in_mint"`
				Mode   string           `json:"mode"`
				Amount uint64           `json:"amount,string"`
				OK     bool             `json:"ok"`
				Units  int              `json:"cu"`
			} `json:"swaps"`
		} `json:"pools"`
	}
	ammtest.ReadFixture(t, "solana/vectors/vectors-meteora-dlmm.json.gz", &file)
	compared := 0
	for _, recorded := range file.Pools {
		accounts := amm.Accounts{}
		for _, a := range recorded.Accounts {
			accounts[a.Key] = &amm.Account{Owner: a.Owner, Data: a.Data}
		}
		decoded, err := ammtest.Decode(New(programID), recorded.Pool, accounts)
		if err != nil {
			t.Fatal(err)
		}
		p := decoded.(*pool)
		for _, r := range recorded.Swaps {
			if !r.OK {
				continue
			}
			var s swap
			err := s.begin(p, amm.Clock{Epoch: file.Clock.Epoch, UnixTimestamp: file.Clock.Time}, amm.Request{AToB: r.In == p.info.Mints[0], ExactOut: r.Mode == "exact_out", Amount: r.Amount})
			if err == nil {
				err = s.run()
			}
			if err != nil {
				t.Errorf("%s: %+v: %v", recorded.ID, r, err)
				continue
			}
			compared++
			if off := float64(s.spent)/float64(r.Units) - 1; math.Abs(off) > 0.06 || r.Units > 300_000 && math.Abs(off) > 0.04 {
				t.Errorf("%s: %+v: estimated at %d, off by %.1f%%", recorded.ID, r, s.spent, 100*off)
			}
		}
	}
	t.Logf("compared %d", compared)
}

func cases() []ammtest.Case {
	build := func(name string, s state) ammtest.Case {
		return ammtest.Case{
			Name: name, Program: New(programID), Pool: pairKey, Accounts: s.accounts(), Loose: true,
			Clock: amm.Clock{Epoch: 700, UnixTimestamp: now},
		}
	}
	plain := spread(20, 60)
	base := build("base fee", plain)
	base.After = plain.after
	return []ammtest.Case{
		base,
		build("variable fee in Y", plain.with(volatile, onlyY)),
		build("limit orders", plain.with(ordered)),
		build("everything", plain.with(volatile, ordered, taxed, func(s *state) { s.extended = true })),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{UnixTimestamp: now}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := spread(uint16(1+c%400), 30)
		s.factor, s.mode = uint16(c>>10), uint8(c>>26&1)
		for id, bin := range s.bins {
			n := a >> (uint32(id) % 48) % (1 << 40)
			bin.x, bin.y = min(bin.x, 1)*(bin.x+n), min(bin.y, 1)*(bin.y+n>>3)
			s.bins[id] = bin
		}
		if c>>27&1 == 1 {
			s = s.with(volatile)
			s.parameters.control, s.parameters.lastUpdate = c>>28%200_000, now-int64(c>>48%1000)
			s.parameters.anchorID += int32(b % 100)
		}
		return s.decode(t), false
	})
}

// small has 1000 X and 500 Y at price 1, and above it 1000 X at 1.01. The base fee is 1%.
func small() state {
	s := spread(100, 0)
	s.active, s.parameters.anchorID = 0, 0
	s.bins = map[int32]content{0: {x: 1000, y: 500}, 1: {x: 1000}}
	return s
}

func TestQuoteByHand(t *testing.T) {
	inY := small().with(onlyY)
	orders := small().with(func(s *state) {
		s.function = functionLimitOrders
		s.bins[0] = content{x: 10, y: 500, processed: 20, open: 30, ask: true}
	})
	undetermined := orders.with(func(s *state) { s.function = functionUndetermined })
	rewarded := undetermined.with(func(s *state) { s.rewards = 1 })
	varied := small().with(func(s *state) {
		s.parameters.control, s.parameters.anchor, s.parameters.lastUpdate = 10_000, 10_000, now
	})
	fees := small().with(func(s *state) {
		s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	})
	single := inY.with(func(s *state) { s.bins[0], s.bins[-1] = content{y: 1}, content{y: 500} })
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		{"X for Y", small(), amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1}},
		{"X for Y, fee in Y", inY, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeOut: 1}},
		{"Y for X, fee in Y", inY, amm.Request{Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1}},
		// 1000 X for 1000 Y and ceil(1000/99) = 11; of the 202 left 3 are fee, and 199/1.01 = 197.03
		{"into the second bin", small(), amm.Request{Amount: 1213}, amm.Quote{In: 1213, Out: 1197, FeeIn: 14, Steps: 1}},
		// 197 at 1.01 cost 198.97, up 199, and ceil(199/99) = 3
		{"exact out into the second bin", small(), amm.Request{ExactOut: true, Amount: 1197}, amm.Quote{In: 1213, Out: 1197, FeeIn: 14, Steps: 1}},
		{"exact out, all of a bin", small(), amm.Request{ExactOut: true, Amount: 1000}, amm.Quote{In: 1011, Out: 1000, FeeIn: 11}},
		// 100 and ceil(100/99) = 2: ceil(102*0.01) = 2 are fee
		{"exact out, fee in Y", inY, amm.Request{AToB: true, ExactOut: true, Amount: 100}, amm.Quote{In: 102, Out: 100, FeeOut: 2}},
		// The first bin's only Y is all fee, and its 1 X is taken all the same; then 99 and ceil(99/99) = 1, for a little more than 101 at 1/1.01
		{"exact out through a bin that is all fee", single, amm.Request{AToB: true, ExactOut: true, Amount: 99}, amm.Quote{In: 103, Out: 99, FeeOut: 2, Steps: 1}},
		// 10 of the makers, 20 and 25 of the orders, as 55 are left of 56
		{"limit orders", orders, amm.Request{Amount: 56}, amm.Quote{In: 56, Out: 55, FeeIn: 1}},
		{"limit orders of an undetermined pair", undetermined, amm.Request{Amount: 56}, amm.Quote{In: 56, Out: 55, FeeIn: 1}},
		// 10 for 10 and 1, and in the next bin ceil(0.45) = 1 of 45, and 44/1.01 = 43.6
		{"no limit orders where liquidity is rewarded", rewarded, amm.Request{Amount: 56}, amm.Quote{In: 56, Out: 53, FeeIn: 2, Steps: 1}},
		{"limit orders on the other side", orders, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1}},
		// (10000 * 100)^2 * 10000 / 10^11 = 100000 of 10^9 more than 1%, so 1.01% of 1000 is 11
		{"variable fee", varied, amm.Request{Amount: 1000}, amm.Quote{In: 1000, Out: 989, FeeIn: 11}},
		// 1 of 100 is withheld, 1 is fee, 98 come out of which 2 are withheld
		{"transfer fees", fees, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 96, FeeIn: 1}},
		// 96 and ceil(2%) = 2 must come out, so 98 and ceil(98/99) = 1 arrive, of 100
		{"transfer fees, exact out", fees, amm.Request{AToB: true, ExactOut: true, Amount: 96}, amm.Quote{In: 100, Out: 96, FeeIn: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, tt.req)
			tt.want.Request, tt.want.Arrays = tt.req, 1
			if tt.s.bins[-1] != (content{}) {
				tt.want.Arrays = 2 // bin 0 is the lowest of its array
			}
			if err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	layered := small().with(func(s *state) {
		s.function, s.active = functionLimitOrders, 1
		s.bins = map[int32]content{1: {x: 50, processed: 50, open: 50, ask: true}} // at 1.01
	})
	gated := func(pairType, activationType uint8, activation uint64) state {
		return small().with(func(s *state) {
			s.pairType, s.activationType, s.activation = pairType, activationType, activation
		})
	}
	some := amm.Request{Amount: 100}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"disabled", small().with(func(s *state) { s.status = 1 }), some, amm.ErrSwapDisabled},
		{"opens at the slot", gated(permissioned, 0, 1000), some, nil},
		{"opens at a later slot", gated(permissioned, 0, 1001), some, amm.ErrNotOpen},
		{"opens at the second", gated(customizable, activationByTime, now), some, nil},
		{"opens at a later second", gated(customizable, activationByTime, now+1), some, amm.ErrNotOpen},
		{"permissionless pairs are open", gated(lastPairType, 0, 1001), some, nil},
		{"zero in", small(), amm.Request{}, amm.ErrZeroAmount},
		{"zero out", small(), amm.Request{ExactOut: true}, amm.ErrZeroAmount},
		{"all of it is fee", small(), amm.Request{Amount: 1}, amm.ErrZeroOutput},
		{"all of it is withheld", small().with(taxed), amm.Request{Amount: 3}, amm.ErrZeroAmount},
		{"all of the output is withheld", small().with(taxed), amm.Request{AToB: true, Amount: 5}, amm.ErrZeroOutput},
		{"more than there is", small(), amm.Request{Amount: 1_000_000}, amm.ErrInsufficientLiquidity},
		{"more than there is, exact out", small(), amm.Request{AToB: true, ExactOut: true, Amount: 501}, amm.ErrInsufficientLiquidity},
		{"beyond the pair's last bin", small().with(func(s *state) { s.maxID = 0 }), amm.Request{Amount: 1213}, amm.ErrInsufficientLiquidity},
		{"the reserve is short", small().with(func(s *state) { s.reserves[0] = 98 }), some, amm.ErrInsufficientLiquidity},
		{"the reserve suffices", small().with(func(s *state) { s.reserves[0] = 99 }), some, nil},
		{"the other reserve is full", small().with(func(s *state) { s.reserves[1] = math.MaxUint64 - 99 }), some, amm.ErrOverflow},
		// 51 cost 51.51, up 52, of which the first layer takes 50.5, up 51, and the second gives floor(1/1.01) = 0
		{"layers give less than was asked for", layered, amm.Request{ExactOut: true, Amount: 51}, amm.ErrInsufficientLiquidity},
		{"what decays overflows", small().with(func(s *state) { s.parameters.volatility = 1 << 30 }), some, amm.ErrOverflow},
		{"a bin without a price", small().with(func(s *state) { s.noPrice = true }), some, amm.ErrOverflow},
		{"an array is not there", small().with(func(s *state) { s.absent = map[int32]bool{0: true} }), some, amm.ErrArraysMissing},
		{"a bin that costs more than 64 bits", small().with(func(s *state) {
			s.bins[0] = content{x: math.MaxUint64}
			s.bins[1] = content{}
			s.active = 1
			s.bins[1] = content{x: math.MaxUint64}
		}), some, amm.ErrOverflow},
	}
	for _, tt := range tests {
		_, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now, Slot: 1000}, tt.req)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSwapsThroughTooManyBinsAreRefused(t *testing.T) {
	p := spread(1, 400).decode(t)
	for _, tt := range []struct {
		req  amm.Request
		want error
	}{
		{amm.Request{Amount: 270_000_000}, nil},
		{amm.Request{Amount: 450_000_000}, amm.ErrComputeBudget},
		{amm.Request{ExactOut: true, Amount: 450_000_000}, amm.ErrComputeBudget},
	} {
		if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.req, err, tt.want)
		}
	}
}

func TestVolatilityAges(t *testing.T) {
	p := parameters{
		base: 2_000_000, binStep: 20, filter: 10, decay: 100, reduction: 5000, control: 40_000, maximum: 350_000, active: 33,
		lastUpdate: 1000, anchor: 7_000, volatility: 60_000, anchorID: 30,
	}
	for _, tt := range []struct {
		now      int64
		anchorID int32
		anchor   uint64
	}{
		{900, 30, 7_000}, // a clock behind counts as no time
		{1009, 30, 7_000},
		{1010, 33, 30_000},
		{1099, 33, 30_000},
		{1100, 33, 0},
	} {
		f, err := p.at(tt.now)
		if err != nil || f.anchorID != tt.anchorID || f.anchor != tt.anchor {
			t.Errorf("at %d: %+v, %v, want %+v", tt.now, f, err, tt)
		}
	}
	f, _ := p.at(1009)
	for id, want := range map[int32]uint64{
		25:     2_519_840,  // 5 bins away: (57000*20)^2 * 40000 / 10^11 = 519840
		30_000: 21_600_000, // at most 350000: 7000000^2 * 40000 / 10^11
	} {
		if rate, great := f.rate(id); rate != want || great {
			t.Errorf("bin %d: rate %d, %t, want %d", id, rate, great, want)
		}
	}
	p.maximum, p.binStep = math.MaxUint32, oneInBps-1
	if rate, great := f.rate(maxBin); rate != maxRate || !great {
		t.Errorf("rate %d, %t, want the highest", rate, great)
	}
}

func TestBaseFeeIsBounded(t *testing.T) {
	for _, tt := range []struct {
		factor, step uint16
		power        uint8
		want         uint64
	}{
		{10_000, 20, 0, 2_000_000},
		{100, 20, 2, 2_000_000},
		{0, 20, maxPower, 0},
		{1, 1, maxPower, maxRate},
		{math.MaxUint16, 400, 0, maxRate},
	} {
		accounts := spread(tt.step, 1).with(func(s *state) { s.factor = tt.factor }).accounts()
		accounts[pairKey].Data[34] = tt.power
		decoded, err := ammtest.Decode(New(programID), pairKey, accounts)
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded.(*pool).base; got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestArraysFollowTheBitmaps(t *testing.T) {
	full := content{x: 1, y: 1}
	far := small().with(func(s *state) {
		s.step = 1
		s.bins = map[int32]content{5: full, -70 * 512: full, -70*513 - 1: full, 70*512 - 1: full, 70 * 512: full, 443_000: full, -443_000: full}
	})
	extended := far.with(func(s *state) { s.extended = true })
	for _, tt := range []struct {
		name     string
		s        state
		down, up []int32
	}{
		{"of the pair alone", far, []int32{0, -512}, []int32{0, 511}},
		{"with the extension", extended, []int32{0, -512, -514, -6329}, []int32{0, 511, 512, 6328}},
		{"from above the pair's", extended.with(func(s *state) { s.active = 70 * 600 }), []int32{512, 511, 0, -512, -514, -6329}, []int32{6328}},
		{"from below the pair's", extended.with(func(s *state) { s.active = -70 * 600 }), []int32{-6329}, []int32{-514, -512, 0, 511, 512, 6328}},
		{"from above it without the extension", far.with(func(s *state) { s.active = 70 * 600 }), nil, nil},
	} {
		p := tt.s.decode(t)
		for i, want := range [2][]int32{tt.down, tt.up} {
			var keys []solana.PublicKey
			for _, index := range want {
				keys = append(keys, arrayKey(index))
			}
			if got := p.sides[i].arrays; !slices.Equal(got, keys) {
				t.Errorf("%s: side %d has %v, want %v", tt.name, i, got, keys)
			}
		}
	}
}

func TestAnExtensionIsPassedToBeWritten(t *testing.T) {
	for _, extended := range []bool{false, true} {
		p := spread(20, 60).with(func(s *state) { s.extended = extended }).decode(t)
		quote, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1000})
		if err != nil {
			t.Fatal(err)
		}
		instruction, err := p.SwapInstruction(quote, amm.Swap{})
		if err != nil {
			t.Fatal(err)
		}
		want := solana.Meta(programID)
		if extended {
			want = solana.Meta(address([]byte("bitmap"), pairKey[:])).WRITE()
		}
		if got := instruction.Accounts()[1]; *got != *want {
			t.Errorf("extended %t: %+v, want %+v", extended, got, want)
		}
	}
}

func TestMalformedAccountsNameTheField(t *testing.T) {
	s := spread(20, 10).with(ordered, func(s *state) { s.extended = true })
	array, extension := arrayKey(0), address([]byte("bitmap"), pairKey[:])
	le := binary.LittleEndian
	for _, tt := range []struct {
		field  string
		key    solana.PublicKey
		damage func(data []byte)
	}{
		{"discriminator", pairKey, func(d []byte) { d[0]++ }},
		{"min_bin_id", pairKey, func(d []byte) { le.PutUint32(d[28:], maxBin+1) }},
		{"protocol_share", pairKey, func(d []byte) { le.PutUint16(d[32:], oneInBps+1) }},
		{"base_fee_power_factor", pairKey, func(d []byte) { d[34] = maxPower + 1 }},
		{"function_type", pairKey, func(d []byte) { d[35] = 3 }},
		{"collect_fee_mode", pairKey, func(d []byte) { d[36] = 2 }},
		{"index_reference", pairKey, func(d []byte) { d[51] = 0x7f }},
		{"last_update_timestamp", pairKey, func(d []byte) { d[63] = 0x80 }},
		{"pair_type", pairKey, func(d []byte) { d[75] = 4 }},
		{"active_id", pairKey, func(d []byte) { d[79] = 0x7f }},
		{"bin_step", pairKey, func(d []byte) { d[80], d[81] = 0, 0 }},
		{"activation_type", pairKey, func(d []byte) { d[86] = 2 }},
		{"token_mint_x_program_flag", pairKey, func(d []byte) { d[880] = 2 }},
		{"token_program_flag", pairKey, func(d []byte) { d[881] = 1 }},
		{"mint", vaultKeys[0], func(d []byte) { d[0]++ }},
		{"lb_pair", extension, func(d []byte) { d[8]++ }},
		{"lb_pair", array, func(d []byte) { d[24]++ }},
		{"index", array, func(d []byte) { d[8]++ }},
	} {
		accounts := s.accounts()
		tt.damage(accounts[tt.key].Data)
		_, err := ammtest.Decode(New(programID), pairKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != tt.field || malformed.Account != tt.key {
			t.Errorf("error %v, want one about %s of %s", err, tt.field, tt.key)
		}
	}
}

func BenchmarkWithinABin(b *testing.B) { benchmark(b, amm.Request{AToB: true, Amount: 1_000_000}, 0) }

func BenchmarkExactOutWithinABin(b *testing.B) {
	benchmark(b, amm.Request{AToB: true, ExactOut: true, Amount: 1_000_000}, 0)
}

func BenchmarkAcross50Bins(b *testing.B) { benchmark(b, amm.Request{Amount: 58_500_000}, 50) }

func BenchmarkExactOutAcross50Bins(b *testing.B) {
	benchmark(b, amm.Request{ExactOut: true, Amount: 51_500_000}, 50)
}

func benchmark(b *testing.B, req amm.Request, steps uint16) {
	p, clock := spread(20, 70).with(volatile).decode(b), amm.Clock{UnixTimestamp: now}
	if quote, err := p.Quote(clock, req); err != nil || quote.Steps != steps {
		b.Fatal(quote, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Quote(clock, req); err != nil {
			b.Fatal(err)
		}
	}
}

// A pair with 5 arrays, as an update of one of its accounts is decoded.
func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), spread(20, 150).accounts()
	accounts[address([]byte("bitmap"), pairKey[:])] = nil
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(pairKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
