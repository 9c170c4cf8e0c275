package raydiumclmm

import (
	"encoding/binary"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Raydium CLMM"

// maxArrays is how many tick arrays a path has at most: with them and a swap's other accounts a transaction without lookup tables is full.
const maxArrays = 12

// Sizes and offsets of the accounts, in bytes, discriminators included.
const (
	poolLen      = 1544
	mint0At      = 73
	mint1At      = 105
	bitmapAt     = 904
	dynamicAt    = 1096
	dynamicLen   = 80
	configLen    = 117
	extensionLen = 1832

	arrayLen   = 10240
	arrayTicks = 60
	ticksAt    = 44
	tickLen    = 168

	statusNoSwap = 1 << 4
	// widestSpacing is the widest tick spacing with which some ticks are beyond the pool's own bitmap.
	widestSpacing = 14
)

var (
	poolDiscriminator      = []byte{0xf7, 0xed, 0xe3, 0xf5, 0xd7, 0xc3, 0xde, 0x46}
	configDiscriminator    = []byte{0xda, 0xf4, 0x21, 0x68, 0xcb, 0xcb, 0x2b, 0x6f}
	arrayDiscriminator     = []byte{0xc0, 0x9b, 0x55, 0xcd, 0x31, 0xf9, 0x81, 0x2a}
	extensionDiscriminator = []byte{0x3c, 0x96, 0x24, 0xdb, 0x61, 0x80, 0x8b, 0x99}

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
	return amm.Layout{Size: poolLen, Discriminator: poolDiscriminator, Mints: [2]uint64{mint0At, mint1At}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, bits, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	keys := []solana.PublicKey{key, s.config, s.info.Mints[0], s.info.Mints[1]}
	if s.tickSpacing <= widestSpacing {
		keys = append(keys, s.extension)
		if _, loaded := accounts[s.extension]; !loaded {
			return keys, nil // it says where arrays are
		}
	}
	extended, err := p.decodeExtension(s, bits, accounts)
	if err != nil {
		return nil, err
	}
	for _, aToB := range [2]bool{true, false} {
		for _, a := range p.newPath(s, bits, extended, aToB).arrays {
			if !slices.Contains(keys, a.key) { // the present one is on both
				keys = append(keys, a.key)
			}
		}
	}
	return keys, nil
}

// decodeState reads the pool's own account.
func (p program) decodeState(key solana.PublicKey, accounts amm.Accounts) (*pool, clmath.Bitmap, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolDiscriminator)
	if n := r.Len(); n != poolLen {
		r.Fail("length", "%d bytes, want %d", n, poolLen)
	}
	s := &pool{
		info: amm.Info{
			Address:  key,
			Program:  p.id,
			Label:    Label,
			Mints:    [2]solana.PublicKey{r.Key(mint0At, "token_mint_0"), r.Key(mint1At, "token_mint_1")},
			Vaults:   [2]solana.PublicKey{r.Key(137, "token_vault_0"), r.Key(169, "token_vault_1")},
			Decimals: [2]uint8{r.Uint8(233, "mint_decimals_0"), r.Uint8(234, "mint_decimals_1")},
		},
		config:      r.Key(9, "amm_config"),
		observation: r.Key(201, "observation_key"),
		extension:   p.addresses.Find("pool_tick_array_bitmap_extension", key, nil),
		tickSpacing: int32(r.Uint16(235, "tick_spacing")),
		liquidity:   readUint128(r, 237, "liquidity"),
		price:       readUint128(r, 253, "sqrt_price_x64"),
		tick:        int32(r.Uint32(269, "tick_current")),
		noSwap:      r.Uint8(389, "status")&statusNoSwap != 0,
		feeOn:       r.Uint8(390, "fee_on"),
		openTime:    r.Uint64(1080, "open_time"),
	}
	bits := newBitmap(r, bitmapAt)
	switch {
	case s.tickSpacing == 0:
		r.Fail("tick_spacing", "is zero")
	case s.price.Less(minPrice) || !s.price.Less(maxPrice):
		r.Fail("sqrt_price_x64", "%v is not the price of any tick", s.price)
	case s.tick < minTick || s.tick > maxTick:
		r.Fail("tick_current", "%d is out of range", s.tick)
	case s.feeOn > feeOnToken1:
		r.Fail("fee_on", "%d is no mode of the program", s.feeOn)
	case s.config.IsZero():
		r.Fail("amm_config", "is zero")
	case s.info.Mints[0].IsZero():
		r.Fail("token_mint_0", "is zero")
	case s.info.Mints[1].IsZero():
		r.Fail("token_mint_1", "is zero")
	}
	s.dynamic = s.readDynamic(r)
	return s, bits, r.Err()
}

// readDynamic is nil where all of the information is zero, which is how the program switches the dynamic fee off.
func (s *pool) readDynamic(r *amm.Reader) *volatility {
	d := r.Sub(dynamicAt, dynamicLen, "dynamic_fee_info")
	if !slices.ContainsFunc(r.Bytes(dynamicAt, dynamicLen, "dynamic_fee_info"), func(b byte) bool { return b != 0 }) {
		return nil
	}
	v := &volatility{
		filterPeriod: uint64(d.Uint16(0, "filter_period")),
		decayPeriod:  uint64(d.Uint16(2, "decay_period")),
		reduction:    uint64(d.Uint16(4, "reduction_factor")),
		control:      uint64(d.Uint32(6, "dynamic_fee_control")),
		maximum:      uint64(d.Uint32(10, "max_volatility_accumulator")),
		origin:       int32(d.Uint32(14, "tick_spacing_index_reference")),
		reference:    uint64(d.Uint32(18, "volatility_reference")),
		accumulator:  uint64(d.Uint32(22, "volatility_accumulator")),
		lastUpdate:   d.Uint64(26, "last_update_timestamp"),
	}
	// What the program checks when it writes these, as far as its arithmetic relies on them.
	switch {
	case v.reduction > reductionUnit:
		r.Fail("reduction_factor", "%d is more than %d", v.reduction, reductionUnit)
	case v.maximum*uint64(s.tickSpacing) >= 1<<32:
		r.Fail("max_volatility_accumulator", "%d overflows with tick spacing %d", v.maximum, s.tickSpacing)
	case v.origin < minTick-1 || v.origin > maxTick:
		r.Fail("tick_spacing_index_reference", "%d is out of range", v.origin)
	}
	return v
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, bits, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	for i, mint := range s.info.Mints {
		if s.mints[i], err = token.DecodeMint(accounts, mint); err != nil {
			return nil, err
		}
		s.info.TokenPrograms[i] = s.mints[i].Program
	}
	if err := p.decodeConfig(s, accounts); err != nil {
		return nil, err
	}
	extended, err := p.decodeExtension(s, bits, accounts)
	if err != nil {
		return nil, err
	}
	s.falling, s.rising = p.newPath(s, bits, extended, true), p.newPath(s, bits, extended, false)
	if err := s.decodeArrays(accounts); err != nil {
		return nil, err
	}
	s.next = clmath.After(s.ticks, s.tick)
	return s, nil
}

func (p program) decodeConfig(s *pool, accounts amm.Accounts) error {
	r := accounts.Reader(s.config, p.id)
	r.Discriminator(configDiscriminator)
	if n := r.Len(); n != configLen {
		r.Fail("length", "%d bytes, want %d", n, configLen)
	}
	if s.feeRate = r.Uint32(47, "trade_fee_rate"); s.feeRate >= clmath.RateUnit {
		r.Fail("trade_fee_rate", "%d is not less than %d", s.feeRate, clmath.RateUnit)
	}
	return r.Err()
}

// absent says whether the account does not exist for the program, which takes a bare transfer to its address as nothing.
func absent(accounts amm.Accounts, key solana.PublicKey) bool {
	account, loaded := accounts[key]
	return loaded && (account == nil || account.Owner == solana.SystemProgramID && len(account.Data) == 0)
}

// decodeExtension adds the arrays beyond the pool's own bitmap, if there can be any, and says whether they are known.
func (p program) decodeExtension(s *pool, bits clmath.Bitmap, accounts amm.Accounts) (known bool, err error) {
	if s.tickSpacing > widestSpacing || absent(accounts, s.extension) {
		return s.tickSpacing > widestSpacing, nil
	}
	r := accounts.Reader(s.extension, p.id)
	r.Discriminator(extensionDiscriminator)
	if n := r.Len(); n != extensionLen {
		r.Fail("length", "%d bytes, want %d", n, extensionLen)
	}
	if r.Key(8, "pool_id") != s.info.Address {
		r.Fail("pool_id", "belongs to another pool")
	}
	readExtension(bits, r, 40)
	return true, r.Err()
}

// newPath lists the arrays with initialised ticks: the present one, if it has any, and the next in the direction.
func (p program) newPath(s *pool, bits clmath.Bitmap, extended, aToB bool) path {
	span := arrayTicks * s.tickSpacing
	number := floorDiv(s.tick, span)
	lowest, highest := floorDiv(minTick, span), floorDiv(maxTick, span)
	to := path{end: amm.ErrInsufficientLiquidity}
	if !extended && (number < -poolArrays || number >= poolArrays) {
		return to // the program refuses every swap
	}
	for step := int32(1); ; number += step {
		var ok bool
		if number, ok = bits.Next(number, !aToB); !ok || number < lowest || number > highest {
			return to
		}
		if len(to.arrays) == maxArrays {
			to.end = amm.ErrArraysMissing
			return to
		}
		start := number * span
		to.arrays = append(to.arrays, array{
			start:    start,
			key:      p.addresses.Find("tick_array", s.info.Address, binary.BigEndian.AppendUint32(nil, uint32(start))),
			extended: number < -poolArrays || number >= poolArrays,
		})
		if aToB {
			step = -1
		}
	}
}

// decodeArrays reads the ticks of both paths' arrays, as far as these exist, in ascending order.
func (s *pool) decodeArrays(accounts amm.Accounts) error {
	for _, to := range []*path{&s.falling, &s.rising} {
		if i := slices.IndexFunc(to.arrays, func(a array) bool { return absent(accounts, a.key) }); i >= 0 {
			to.arrays, to.end = to.arrays[:i], amm.ErrArraysMissing
		}
	}
	arrays := slices.Clone(s.falling.arrays)
	slices.Reverse(arrays)
	present := floorDiv(s.tick, arrayTicks*s.tickSpacing) * arrayTicks * s.tickSpacing
	for _, a := range s.rising.arrays {
		if a.start != present { // which is on both paths
			arrays = append(arrays, a)
		}
	}
	for _, a := range arrays {
		if err := s.decodeArray(a, accounts); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(s.orders, func(n uint64) bool { return n > 0 }) {
		s.orders = nil
	}
	return nil
}

// decodeArray appends the initialised ticks of one array, and the orders at each.
func (s *pool) decodeArray(a array, accounts amm.Accounts) error {
	r := accounts.Reader(a.key, s.info.Program)
	r.Discriminator(arrayDiscriminator)
	if n := r.Len(); n != arrayLen {
		r.Fail("length", "%d bytes, want %d", n, arrayLen)
	}
	if r.Key(8, "pool_id") != s.info.Address {
		r.Fail("pool_id", "belongs to another pool")
	}
	if got := int32(r.Uint32(40, "start_tick_index")); got != a.start {
		r.Fail("start_tick_index", "%d, want %d", got, a.start)
	}
	before := len(s.ticks)
	for i := range int32(arrayTicks) {
		at := ticksAt + int(i)*tickLen
		liquid := !readUint128(r, at+20, "tick.liquidity_gross").IsZero()
		unfilled, partFilled := r.Uint64(at+124, "tick.orders_amount"), r.Uint64(at+132, "tick.part_filled_orders_remaining")
		if !liquid && unfilled|partFilled == 0 {
			continue
		}
		t := clmath.Tick{Index: a.start + i*s.tickSpacing}
		if liquid {
			t.Net = readUint128(r, at+4, "tick.liquidity_net")
		}
		switch index := int32(r.Uint32(at, "tick.tick")); {
		case index != t.Index || index < minTick || index > maxTick:
			r.Fail("tick.tick", "%d at the place of %d", index, t.Index)
		case unfilled+partFilled < unfilled:
			r.Fail("tick.orders_amount", "the orders' sum overflows")
		default:
			t.Price = sqrtPrice(t.Index)
			s.ticks, s.orders = append(s.ticks, t), append(s.orders, unfilled+partFilled)
		}
	}
	if len(s.ticks) == before {
		r.Fail("ticks", "none is initialised, which the pool's bitmap says")
	}
	return r.Err()
}

func readUint128(r *amm.Reader, at int, field string) clmath.Uint128 {
	lo, hi := r.Uint128(at, field)
	return clmath.Uint128{Hi: hi, Lo: lo}
}
