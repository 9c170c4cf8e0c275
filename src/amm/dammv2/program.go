package dammv2

import (
	"encoding/binary"
	"math"

	"github.com/gagliardetto/solana-go"
	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Meteora DAMM v2"

// Size and offsets of Pool, in bytes, discriminator included.
const (
	poolLen  = 1112
	baseAt   = 8
	mintAAt  = 168
	mintBAt  = 200
	vaultAAt = 232
	vaultBAt = 264
)

var (
	poolDiscriminator = []byte{0xf1, 0x9a, 0x6d, 0x04, 0x11, 0xb1, 0x6d, 0xbc}

	swap2 = []byte{0x41, 0x4b, 0x3f, 0x4c, 0xeb, 0x5b, 0x5b, 0x88}
)

// Modes of swap2.
const (
	swapExactIn  = 0
	swapExactOut = 2
)

type program struct{ id, authority, eventAuthority solana.PublicKey }

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program {
	return program{id, pda.Of(id, []byte("pool_authority")), pda.Of(id, []byte("__event_authority"))}
}

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: poolLen, Discriminator: poolDiscriminator, Mints: [2]uint64{mintAAt, mintBAt}}
}

// Watch leaves the vaults out: the program keeps its own account of what they hold.
func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, err := p.decodePool(key, accounts)
	if err != nil {
		return nil, err
	}
	return []solana.PublicKey{key, s.info.Mints[0], s.info.Mints[1]}, nil
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, err := p.decodePool(key, accounts)
	if err != nil {
		return nil, err
	}
	for i, mint := range s.info.Mints {
		if s.mints[i], err = token.DecodeMint(accounts, mint); err != nil {
			return nil, err
		}
		s.info.TokenPrograms[i], s.info.Decimals[i] = s.mints[i].Program, s.mints[i].Decimals
	}
	return s, nil
}

// decodePool reads the pool's own account.
func (p program) decodePool(key solana.PublicKey, accounts amm.Accounts) (*pool, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolDiscriminator)
	s := &pool{
		info: amm.Info{
			Address: key,
			Program: p.id,
			Label:   Label,
			Mints:   [2]solana.PublicKey{r.Key(mintAAt, "token_a_mint"), r.Key(mintBAt, "token_b_mint")},
			Vaults:  [2]solana.PublicKey{r.Key(vaultAAt, "token_a_vault"), r.Key(vaultBAt, "token_b_vault")},
		},
		authority:       p.authority,
		eventAuthority:  p.eventAuthority,
		protocolPercent: uint64(atMost(r, 48, "protocol_fee_percent", 100)),
		compoundingBps:  uint64(r.Uint16(54, "compounding_fee_bps")),
		curve: curve{
			liquidity: uint128(r, 360, "liquidity"),
			min:       uint128(r, 424, "sqrt_min_price"),
			max:       uint128(r, 440, "sqrt_max_price"),
			price:     uint128(r, 456, "sqrt_price"),
		},
		activation:     r.Uint64(472, "activation_point"),
		activationType: atMost(r, 480, "activation_type", activationByTime),
		disabled:       r.Uint8(481, "pool_status") != 0,
		collect:        atMost(r, 484, "collect_fee_mode", collectCompounding),
		maxRate:        maxRates[atMost(r, 486, "fee_version", uint8(len(maxRates)-1))],
		reserves:       [2]uint64{r.Uint64(680, "token_a_amount"), r.Uint64(688, "token_b_amount")},
	}
	if s.compoundingBps > oneInBps {
		r.Fail("compounding_fee_bps", "%d is more than 10000", s.compoundingBps)
	}
	for i, fields := range [2][2]string{{"protocol_a_fee", "total_protocol_a_fee"}, {"protocol_b_fee", "total_protocol_b_fee"}} {
		s.protocolRoom[i] = math.MaxUint64 - max(r.Uint64(392+8*i, fields[0]), r.Uint64(600+8*i, fields[1]))
	}
	s.base.decode(r, s.curve.price)
	untracked := atMost(r, 696, "layout_version", 1) == 0
	r.Bytes(704, poolLen-704, "reward_infos")
	accumulator := s.volatility.decode(r)
	step, control := r.Uint16(72, "bin_step"), r.Uint32(68, "variable_fee_control")
	if err := r.Err(); err != nil {
		return nil, err
	}
	if s.volatility.tracked {
		var ok bool
		if s.dynamic, ok = dynamicRate(accumulator, step, control); !ok {
			return nil, &amm.UnsupportedError{Account: key, Feature: "dynamic fee", Reason: "its rate overflows in every swap"}
		}
	}
	if untracked && s.collect != collectCompounding {
		// A pool that is older than the account of its reserves gets it, from the price, in its next swap.
		c, ok := &s.curve, [2]bool{}
		s.reserves[0], ok[0] = c.amountA(c.price, c.max, true)
		s.reserves[1], ok[1] = c.amountB(c.min, c.price, true)
		if !ok[0] || !ok[1] {
			return nil, &amm.UnsupportedError{Account: key, Feature: "layout version 0", Reason: "its reserves overflow in every swap"}
		}
	}
	return s, nil
}

// decode reads the base fee; price is the pool's present one.
func (f *baseFee) decode(r *amm.Reader, price clmath.Uint128) {
	f.cliff = r.Uint64(baseAt, "cliff_fee_numerator")
	f.mode = atMost(r, baseAt+8, "base_fee_mode", modeMarketCapExponential)
	switch f.mode {
	case modeTimeLinear, modeTimeExponential:
		f.periods = uint64(r.Uint16(baseAt+14, "number_of_period"))
		f.length = r.Uint64(baseAt+16, "period_frequency")
		f.reduction = r.Uint64(baseAt+24, "reduction_factor")
	case modeRateLimiter:
		f.duration = uint64(r.Uint32(baseAt+16, "max_limiter_duration"))
		f.limiter = limiter{
			cliff:       f.cliff,
			increment:   ratePerBps * uint64(r.Uint16(baseAt+14, "fee_increment_bps")),
			max:         ratePerBps * uint64(r.Uint32(baseAt+20, "max_fee_bps")),
			referenceIn: r.Uint64(baseAt+24, "reference_amount"),
		}
		f.limiter.off = f.duration|f.limiter.increment|f.limiter.max|f.limiter.referenceIn == 0
	default:
		f.periods = uint64(r.Uint16(baseAt+14, "number_of_period"))
		step := r.Uint32(baseAt+16, "sqrt_price_step_bps")
		f.duration = uint64(r.Uint32(baseAt+20, "scheduler_expiration_duration"))
		f.reduction = r.Uint64(baseAt+24, "reduction_factor")
		start := uint128(r, 152, "init_sqrt_price")
		switch {
		case step == 0:
			r.Fail("sqrt_price_step_bps", "0 with a schedule by price")
		case start.IsZero():
			r.Fail("init_sqrt_price", "0 with a schedule by price")
		default:
			f.passed = risen(start, price, step, f.periods)
		}
	}
}

// risen is by how many steps of basis points the price has risen since the start, at most most: (price-start) * 10000 / start / step.
func risen(start, price clmath.Uint128, step uint32, most uint64) uint64 {
	delta, up := price.Sub(start)
	if !up {
		return 0
	}
	n, d := wide(delta), wide(start)
	n.Mul(&n, &uint256.Int{oneInBps})
	n.Div(&n, &d)
	n.Div(&n, &uint256.Int{uint64(step)})
	if !n.IsUint64() {
		return most
	}
	return min(n.Uint64(), most)
}

// decode gives the volatility accumulator.
func (v *volatility) decode(r *amm.Reader) uint64 {
	v.tracked = r.Uint8(56, "dynamic_fee.initialized") != 0
	if !v.tracked {
		return 0
	}
	v.filter = uint64(r.Uint16(74, "filter_period"))
	v.updated = r.Uint64(80, "last_update_timestamp")
	v.reference = uint128(r, 104, "sqrt_price_reference")
	// With a unit of at least 16 bits the program's measure of a move, the number of units times 20000, fits its 128 bits.
	if unit := uint128(r, 88, "bin_step_u128"); unit.Hi == 0 && unit.Lo < 1<<16 {
		r.Fail("bin_step_u128", "%d is too small", unit.Lo)
	}
	accumulator, reference := uint128(r, 120, "volatility_accumulator"), uint128(r, 136, "volatility_reference")
	if accumulator.Hi|reference.Hi != 0 {
		r.Fail("volatility_accumulator", "it or its reference is beyond 64 bits")
	}
	return accumulator.Lo
}

func uint128(r *amm.Reader, offset int, field string) clmath.Uint128 {
	lo, hi := r.Uint128(offset, field)
	return clmath.Uint128{Hi: hi, Lo: lo}
}

// atMost reads a number that the program does not take beyond limit, and gives 0 after a failure.
func atMost(r *amm.Reader, offset int, field string, limit uint8) uint8 {
	v := r.Uint8(offset, field)
	if v > limit {
		r.Fail(field, "%d is unknown to the program, whose last is %d", v, limit)
		return 0
	}
	return v
}

// limits says whether a swap can meet the rate limiter, for which the program wants to see the transaction's instructions: it refuses a second
// swap in the same pool.
func (p *pool) limits(aToB bool) bool {
	return p.base.mode == modeRateLimiter && !p.base.limiter.off && !aToB
}

// SwapAccounts counts different ones: the user, the user's two token accounts, the two authorities and the program with the pool's.
func (p *pool) SwapAccounts(quote amm.Quote) int {
	n := 12
	if p.info.TokenPrograms[0] != p.info.TokenPrograms[1] {
		n++
	}
	if p.limits(quote.AToB) {
		n++
	}
	return n
}

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	mode := byte(swapExactIn)
	if quote.ExactOut {
		mode = swapExactOut
	}
	data := binary.LittleEndian.AppendUint64(swap2[:8:8], quote.Amount)
	data = binary.LittleEndian.AppendUint64(data, swap.Threshold)
	data = append(data, mode)
	accounts := solana.AccountMetaSlice{
		solana.Meta(p.authority),
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(p.info.Vaults[0]).WRITE(),
		solana.Meta(p.info.Vaults[1]).WRITE(),
		solana.Meta(p.info.Mints[0]),
		solana.Meta(p.info.Mints[1]),
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(p.info.TokenPrograms[0]),
		solana.Meta(p.info.TokenPrograms[1]),
		solana.Meta(p.info.Program), // no account for a referrer's share of the fee
		solana.Meta(p.eventAuthority),
		solana.Meta(p.info.Program),
	}
	if p.limits(quote.AToB) {
		accounts = append(accounts, solana.Meta(solana.SysVarInstructionsPubkey))
	}
	return solana.NewInstruction(p.info.Program, accounts, data), nil
}
