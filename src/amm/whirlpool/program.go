package whirlpool

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Whirlpool"

// Sizes and offsets of the accounts, in bytes, discriminators included.
const (
	poolLen   = 653
	mintAAt   = 101
	mintBAt   = 181
	oracleLen = 254

	arrayTicks    = 88
	fixedTickLen  = 113
	fixedArrayLen = 12 + arrayTicks*fixedTickLen + solana.PublicKeyLength
	// A dynamic array has a byte for each tick and tickLen more for an initialised one.
	dynamicTicksAt = 60
	tickLen        = 112
)

var (
	poolDiscriminator         = []byte{0x3f, 0x95, 0xd1, 0x0c, 0xe1, 0x80, 0x63, 0x09}
	oracleDiscriminator       = []byte{0x8b, 0xc2, 0x83, 0xb3, 0x8c, 0xb3, 0xe5, 0xf4}
	fixedArrayDiscriminator   = []byte{0x45, 0x61, 0xbd, 0xbe, 0x6e, 0x07, 0x42, 0xbb}
	dynamicArrayDiscriminator = []byte{0x11, 0xd8, 0xf6, 0x8e, 0xe1, 0xc7, 0xda, 0x38}

	swapData   = []byte{0xf8, 0xc6, 0x9e, 0x91, 0xe1, 0x75, 0x87, 0xc8}
	swapV2Data = []byte{0x2b, 0x04, 0xed, 0x0b, 0x1a, 0xc9, 0x1e, 0x62}
)

type program struct {
	id        solana.PublicKey
	addresses *pda.Cache
}

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program { return program{id, pda.New(id)} }

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: poolLen, Discriminator: poolDiscriminator, Mints: [2]uint64{mintAAt, mintBAt}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, hasOracle, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	keys := []solana.PublicKey{key, s.info.Mints[0], s.info.Mints[1]}
	if hasOracle {
		keys = append(keys, s.oracle)
	}
	low, high := s.reach()
	for start := low; start <= high; start += s.arraySpan() {
		keys = append(keys, p.array(key, start))
	}
	return keys, nil
}

// decodeState reads the pool's own account.
func (p program) decodeState(key solana.PublicKey, accounts amm.Accounts) (s *pool, hasOracle bool, err error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolDiscriminator)
	if n := r.Len(); n != poolLen {
		r.Fail("length", "%d bytes, want %d", n, poolLen)
	}
	s = &pool{
		info: amm.Info{
			Address: key,
			Program: p.id,
			Label:   Label,
			Mints:   [2]solana.PublicKey{r.Key(mintAAt, "token_mint_a"), r.Key(mintBAt, "token_mint_b")},
			Vaults:  [2]solana.PublicKey{r.Key(133, "token_vault_a"), r.Key(213, "token_vault_b")},
		},
		oracle:         p.addresses.Find("oracle", key, nil),
		tickSpacing:    int32(r.Uint16(41, "tick_spacing")),
		feeRate:        uint32(r.Uint16(45, "fee_rate")),
		liquidity:      readUint128(r, 49, "liquidity"),
		price:          readUint128(r, 65, "sqrt_price"),
		tick:           int32(r.Uint32(81, "tick_current_index")),
		rewardsUpdated: r.Uint64(261, "reward_last_updated_timestamp"),
	}
	hasOracle = int32(r.Uint16(43, "fee_tier_index_seed")) != s.tickSpacing
	switch {
	case s.tickSpacing == 0:
		r.Fail("tick_spacing", "is zero")
	case s.price.Less(minPrice) || maxPrice.Less(s.price):
		r.Fail("sqrt_price", "%v is not the price of any tick", s.price)
	case s.info.Mints[0].IsZero():
		r.Fail("token_mint_a", "is zero")
	case s.info.Mints[1].IsZero():
		r.Fail("token_mint_b", "is zero")
	case s.tick < minTick-1 || s.tick > maxTick: // one below the lowest where the price stands on it
		r.Fail("tick_current_index", "%d is out of range", s.tick)
	}
	return s, hasOracle, r.Err()
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, hasOracle, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	for i, mint := range s.info.Mints {
		if s.mints[i], err = token.DecodeMint(accounts, mint); err != nil {
			return nil, err
		}
		s.info.TokenPrograms[i], s.info.Decimals[i] = s.mints[i].Program, s.mints[i].Decimals
	}
	if hasOracle {
		if s.adaptive, err = p.decodeOracle(s, accounts); err != nil {
			return nil, err
		}
	}
	low, high := s.reach()
	for start := low; start <= high; start += s.arraySpan() {
		if err := p.decodeArray(s, start, accounts); err != nil {
			return nil, err
		}
	}
	s.next = clmath.After(s.ticks, s.tick)
	p.setWindows(s)
	return s, nil
}

// absent says whether the account does not exist for the program, which takes a bare transfer to its address as nothing.
func absent(accounts amm.Accounts, key solana.PublicKey) bool {
	account, loaded := accounts[key]
	return loaded && (account == nil || account.Owner == solana.SystemProgramID && len(account.Data) == 0)
}

// decodeOracle is nil if there is no oracle, as the program then takes the static fee alone.
func (p program) decodeOracle(s *pool, accounts amm.Accounts) (*oracle, error) {
	if absent(accounts, s.oracle) {
		return nil, nil
	}
	r := accounts.Reader(s.oracle, p.id)
	r.Discriminator(oracleDiscriminator)
	if n := r.Len(); n != oracleLen {
		r.Fail("length", "%d bytes, want %d", n, oracleLen)
	}
	if r.Key(8, "whirlpool") != s.info.Address {
		r.Fail("whirlpool", "belongs to another pool")
	}
	o := &oracle{
		tradeEnable:    r.Uint64(40, "trade_enable_timestamp"),
		filterPeriod:   uint64(r.Uint16(48, "filter_period")),
		decayPeriod:    uint64(r.Uint16(50, "decay_period")),
		reduction:      uint64(r.Uint16(52, "reduction_factor")),
		control:        uint64(r.Uint32(54, "adaptive_fee_control_factor")),
		maxVolatility:  uint64(r.Uint32(58, "max_volatility_accumulator")),
		groupSize:      int32(r.Uint16(62, "tick_group_size")),
		lastReference:  r.Uint64(82, "last_reference_update_timestamp"),
		lastMajorSwap:  r.Uint64(90, "last_major_swap_timestamp"),
		reference:      uint64(r.Uint32(98, "volatility_reference")),
		groupReference: int32(r.Uint32(102, "tick_group_index_reference")),
		volatility:     uint64(r.Uint32(106, "volatility_accumulator")),
	}
	// What the program checks when it writes these, as far as its arithmetic relies on them.
	switch {
	case o.groupSize == 0:
		r.Fail("tick_group_size", "is zero")
	case o.reduction > reductionUnit:
		r.Fail("reduction_factor", "%d is more than %d", o.reduction, reductionUnit)
	case o.maxVolatility*uint64(o.groupSize) >= 1<<32:
		r.Fail("max_volatility_accumulator", "%d overflows in groups of %d ticks", o.maxVolatility, o.groupSize)
	case o.reference > o.maxVolatility:
		r.Fail("volatility_reference", "%d is more than the maximum %d", o.reference, o.maxVolatility)
	case o.volatility > o.maxVolatility:
		r.Fail("volatility_accumulator", "%d is more than the maximum %d", o.volatility, o.maxVolatility)
	case o.groupReference < floorDiv(minTick-1, o.groupSize) || o.groupReference > maxTick/o.groupSize:
		r.Fail("tick_group_index_reference", "%d is out of range", o.groupReference)
	}
	return o, r.Err()
}

// decodeArray adds the initialised ticks of the array that begins at start, if it exists.
func (p program) decodeArray(s *pool, start int32, accounts amm.Accounts) error {
	key := p.array(s.info.Address, start)
	if absent(accounts, key) {
		return nil
	}
	r := accounts.Reader(key, p.id)
	dynamic := r.Len() != fixedArrayLen
	poolAt := fixedArrayLen - solana.PublicKeyLength
	if dynamic {
		poolAt = 12
		r.Discriminator(dynamicArrayDiscriminator)
	} else {
		r.Discriminator(fixedArrayDiscriminator)
	}
	if r.Key(poolAt, "whirlpool") != s.info.Address {
		r.Fail("whirlpool", "belongs to another pool")
	}
	if got := int32(r.Uint32(8, "start_tick_index")); got != start {
		r.Fail("start_tick_index", "%d, want %d", got, start)
	}
	if !dynamic {
		for i := range arrayTicks {
			if at := 12 + i*fixedTickLen; r.Bool(at, "tick.initialized") {
				s.addTick(r, start, i, at+1)
			}
		}
		return r.Err()
	}
	lo, hi := r.Uint128(44, "tick_bitmap")
	at := dynamicTicksAt
	for i := range arrayTicks {
		initialised := r.Bool(at, "tick tag")
		bit := lo
		if i >= 64 {
			bit = hi
		}
		if initialised != (bit>>(i%64)&1 == 1) {
			r.Fail("tick_bitmap", "disagrees with tick %d", i)
		}
		at++
		if initialised {
			s.addTick(r, start, i, at)
			at += tickLen
		}
	}
	return r.Err()
}

// addTick reads the net liquidity at offset at, and checks that all of the tick is there.
func (s *pool) addTick(r *amm.Reader, start int32, i, at int) {
	index := start + int32(i)*s.tickSpacing
	if index < minTick || index > maxTick {
		r.Fail("tick.initialized", "tick %d is out of range", index)
	}
	r.Bytes(at, tickLen, "tick")
	if t := (clmath.Tick{Index: index, Net: readUint128(r, at, "tick.liquidity_net")}); r.Err() == nil {
		t.Price = sqrtPrice(index)
		s.ticks = append(s.ticks, t)
	}
}

func readUint128(r *amm.Reader, at int, field string) clmath.Uint128 {
	lo, hi := r.Uint128(at, field)
	return clmath.Uint128{Hi: hi, Lo: lo}
}

// array is the address of the tick array that begins at start.
func (p program) array(pool solana.PublicKey, start int32) solana.PublicKey {
	return p.addresses.Find("tick_array", pool, strconv.AppendInt(nil, int64(start), 10))
}

// arraySpan is how many ticks a tick array covers.
func (s *pool) arraySpan() int32 { return arrayTicks * s.tickSpacing }

// starts are the first and the last tick array of a swap in the direction, which can be the other way round where the range of ticks ends. A rising price
// on the present array's last place begins with the next array.
func (s *pool) starts(aToB bool) (first, last int32) {
	span := s.arraySpan()
	first = floorDiv(s.tick, span) * span
	if aToB {
		return first, max(first-2*span, floorDiv(minTick, span)*span)
	}
	if s.tick+s.tickSpacing >= first+span {
		first += span
	}
	return first, min(first+2*span, maxTick/span*span)
}

// reach is the lowest and the highest tick array of either direction.
func (s *pool) reach() (low, high int32) {
	_, low = s.starts(true)
	first, high := s.starts(false)
	return low, max(high, first-s.arraySpan())
}

func (p program) setWindows(s *pool) {
	span := s.arraySpan()
	first, last := s.starts(true)
	w := &s.falling
	for start := first; start >= last; start -= span {
		w.arrays[w.n] = p.array(s.info.Address, start)
		w.n++
	}
	w.end.Index, w.last = max(last, minTick), last
	w.end.Price = sqrtPrice(w.end.Index)

	first, last = s.starts(false)
	w = &s.rising
	for start := first; start <= last; start += span {
		w.arrays[w.n] = p.array(s.info.Address, start)
		w.n++
	}
	w.end.Index, w.last = min(last+span-1, maxTick), last+span-s.tickSpacing
	w.end.Price = sqrtPrice(w.end.Index)
}

// classic says that neither token is of Token-2022, so that the shorter first swap instruction will do.
func (p *pool) classic() bool {
	return p.info.TokenPrograms[0] == solana.TokenProgramID && p.info.TokenPrograms[1] == solana.TokenProgramID
}

// SwapAccounts counts different ones: the program, the user and the user's two accounts with the pool's.
func (p *pool) SwapAccounts(quote amm.Quote) int {
	n := 9 + p.window(quote.AToB).n
	switch {
	case p.classic():
		return n
	case p.info.TokenPrograms[0] == p.info.TokenPrograms[1]:
		return n + 3
	default:
		return n + 4
	}
}

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	return p.instruction(quote, swap, !p.classic())
}

func (p *pool) instruction(quote amm.Quote, swap amm.Swap, v2 bool) (solana.Instruction, error) {
	w := p.window(quote.AToB)
	if w.n == 0 {
		return nil, amm.ErrArraysMissing
	}
	userA, userB := swap.Source, swap.Destination
	if !quote.AToB {
		userA, userB = userB, userA
	}
	accounts := solana.AccountMetaSlice{
		solana.Meta(solana.TokenProgramID),
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(userA).WRITE(),
		solana.Meta(p.info.Vaults[0]).WRITE(),
		solana.Meta(userB).WRITE(),
		solana.Meta(p.info.Vaults[1]).WRITE(),
	}
	data := swapData
	if v2 {
		data = swapV2Data
		accounts = slices.Concat(solana.AccountMetaSlice{
			solana.Meta(p.info.TokenPrograms[0]),
			solana.Meta(p.info.TokenPrograms[1]),
			solana.Meta(solana.MemoProgramID),
			accounts[1],
			accounts[2],
			solana.Meta(p.info.Mints[0]),
			solana.Meta(p.info.Mints[1]),
		}, accounts[3:])
	}
	for i := range w.arrays {
		accounts = append(accounts, solana.Meta(w.arrays[min(i, w.n-1)]).WRITE())
	}
	oracle := solana.Meta(p.oracle)
	if v2 || p.adaptive != nil {
		oracle.WRITE()
	}
	accounts = append(accounts, oracle)

	data = binary.LittleEndian.AppendUint64(data[:8:8], quote.Amount)
	data = binary.LittleEndian.AppendUint64(data, swap.Threshold)
	data = append(data, make([]byte, 16)...) // no limit price
	data = append(data, flag(!quote.ExactOut), flag(quote.AToB))
	if v2 {
		data = append(data, 0) // no further accounts
	}
	return solana.NewInstruction(p.info.Program, accounts, data), nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
