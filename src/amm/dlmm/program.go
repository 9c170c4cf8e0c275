package dlmm

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
const Label = "Meteora DLMM"

// maxArrays is how many bin arrays a path has at most: with them and a swap's other accounts a transaction without lookup tables is full.
const maxArrays = 10

// Sizes and offsets of the accounts, in bytes, discriminators included.
const (
	pairLen      = 904
	mintXAt      = 88
	mintYAt      = 120
	bitmapAt     = 584
	extensionLen = 1576

	arrayLen  = 10136
	arrayBins = 70
	binsAt    = 56
	binLen    = 144

	// The pair has a bit for each of the 512 bin arrays on either side of bin 0, and the extension one for the 12*512 beyond.
	pairArrays   = 512
	extraBitmaps = 12
	bitmapArrays = 512
	allArrays    = pairArrays + extraBitmaps*bitmapArrays
)

var (
	pairDiscriminator      = []byte{0x21, 0x0b, 0x31, 0x62, 0xb5, 0x65, 0xb1, 0x0d}
	arrayDiscriminator     = []byte{0x5c, 0x8e, 0x5c, 0xdc, 0x05, 0x94, 0x46, 0xb5}
	extensionDiscriminator = []byte{0x50, 0x6f, 0x7c, 0x71, 0x37, 0xed, 0x12, 0x05}

	swap2Data         = []byte{0x41, 0x4b, 0x3f, 0x4c, 0xeb, 0x5b, 0x5b, 0x88}
	swapExactOut2Data = []byte{0x2b, 0xd7, 0xf7, 0x84, 0x89, 0x3c, 0xf3, 0x51}
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
	return amm.Layout{Size: pairLen, Discriminator: pairDiscriminator, Mints: [2]uint64{mintXAt, mintYAt}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, bits, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	i := &s.info
	keys := []solana.PublicKey{key, i.Mints[0], i.Mints[1], i.Vaults[0], i.Vaults[1], s.extension}
	if _, loaded := accounts[s.extension]; !loaded {
		return keys, nil // it says where arrays are
	}
	if err := p.decodeExtension(s, bits, accounts); err != nil {
		return nil, err
	}
	for _, aToB := range [2]bool{true, false} {
		for _, a := range p.newPath(s, bits, aToB).arrays {
			if !slices.Contains(keys, a.key) { // the present one is on both
				keys = append(keys, a.key)
			}
		}
	}
	return keys, nil
}

// decodeState reads the pair's own account.
func (p program) decodeState(key solana.PublicKey, accounts amm.Accounts) (*pair, clmath.Bitmap, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(pairDiscriminator)
	if n := r.Len(); n != pairLen {
		r.Fail("length", "%d bytes, want %d", n, pairLen)
	}
	pairType, status, mode := r.Uint8(75, "pair_type"), r.Uint8(82, "status"), r.Uint8(36, "collect_fee_mode")
	power, activation := r.Uint8(34, "base_fee_power_factor"), r.Uint8(86, "activation_type")
	s := &pair{
		info: amm.Info{
			Address: key,
			Program: p.id,
			Label:   Label,
			Mints:   [2]solana.PublicKey{r.Key(mintXAt, "token_x_mint"), r.Key(mintYAt, "token_y_mint")},
			Vaults:  [2]solana.PublicKey{r.Key(152, "reserve_x"), r.Key(184, "reserve_y")},
		},
		oracle:          r.Key(552, "oracle"),
		extension:       p.addresses.Find("bitmap", key, nil),
		disabled:        status != 0,
		activates:       pairType == 1 || pairType == 2,
		activatesAtTime: activation == 1,
		activation:      r.Uint64(816, "activation_point"),
		active:          int32(r.Uint32(76, "active_id")),
		binStep:         r.Uint16(80, "bin_step"),
		feeOnlyY:        mode == 1,
		volatility: volatility{
			filterPeriod: int64(r.Uint16(10, "filter_period")),
			decayPeriod:  int64(r.Uint16(12, "decay_period")),
			reduction:    uint64(r.Uint16(14, "reduction_factor")),
			control:      uint64(r.Uint32(16, "variable_fee_control")),
			maximum:      uint64(r.Uint32(20, "max_volatility_accumulator")),
			lastUpdate:   r.Int64(56, "last_update_timestamp"),
			reference:    uint64(r.Uint32(44, "volatility_reference")),
			accumulator:  uint64(r.Uint32(40, "volatility_accumulator")),
			origin:       int32(r.Uint32(48, "index_reference")),
		},
	}
	s.baseFee = baseFee(r.Uint16(8, "base_factor"), s.binStep, power)
	switch function := r.Uint8(35, "function_type"); function {
	case 0: // undetermined: limit orders, unless there are rewards for liquidity
		s.takesOrders = r.Key(264, "reward_infos.mint").IsZero() && r.Key(264+144, "reward_infos.mint").IsZero()
	case 1:
	case 2:
		s.takesOrders = true
	default:
		r.Fail("function_type", "%d is no type of the program", function)
	}
	switch {
	case pairType > 3:
		r.Fail("pair_type", "%d is no type of the program", pairType)
	case status > 1:
		r.Fail("status", "%d is no status of the program", status)
	case mode > 1:
		r.Fail("collect_fee_mode", "%d is no mode of the program", mode)
	case activation > 1:
		r.Fail("activation_type", "%d is no type of the program", activation)
	case s.binStep == 0 || s.binStep > 10_000:
		r.Fail("bin_step", "%d basis points", s.binStep)
	case s.active < minBin || s.active > maxBin:
		r.Fail("active_id", "%d is out of range", s.active)
	}
	for i, field := range [2]string{"token_x", "token_y"} {
		if s.info.Mints[i].IsZero() || s.info.Vaults[i].IsZero() {
			r.Fail(field, "has a zero mint or reserve")
		}
		flag := r.Uint8(880+i, field+"_program_flag")
		switch flag {
		case 0:
			s.info.TokenPrograms[i] = solana.TokenProgramID
		case 1:
			s.info.TokenPrograms[i] = solana.Token2022ProgramID
		default:
			r.Fail(field+"_program_flag", "%d is no token program", flag)
		}
	}
	bits := clmath.Bitmap{First: -allArrays, Words: make([]uint64, 2*allArrays/64)}
	bits.Set(-pairArrays, r.Bytes(bitmapAt, 2*pairArrays/8, "bin_array_bitmap"))
	return s, bits, r.Err()
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
		reserve, err := token.DecodeAccount(accounts, s.info.Vaults[i])
		if err != nil {
			return nil, err
		}
		switch {
		case s.mints[i].Program != s.info.TokenPrograms[i]:
			return nil, &amm.DecodeError{Account: key, Field: "token_program_flag", Reason: "is not the program of mint " + mint.String()}
		case reserve.Mint != mint:
			return nil, &amm.DecodeError{Account: s.info.Vaults[i], Field: "mint", Reason: "is not " + mint.String()}
		}
		s.info.Decimals[i], s.reserves[i] = s.mints[i].Decimals, reserve.Amount
	}
	if err := p.decodeExtension(s, bits, accounts); err != nil {
		return nil, err
	}
	s.falling, s.rising = p.newPath(s, bits, true), p.newPath(s, bits, false)
	if err := s.decodeArrays(accounts); err != nil {
		return nil, err
	}
	s.next, _ = slices.BinarySearchFunc(s.bins, s.active+1, func(b bin, id int32) int { return int(b.id - id) })
	return s, nil
}

// absent says whether the account does not exist for the program, which takes a bare transfer to its address as nothing.
func absent(accounts amm.Accounts, key solana.PublicKey) bool {
	account, loaded := accounts[key]
	return loaded && (account == nil || account.Owner == solana.SystemProgramID && len(account.Data) == 0)
}

// decodeExtension adds the arrays beyond the pair's own bitmap.
func (p program) decodeExtension(s *pair, bits clmath.Bitmap, accounts amm.Accounts) error {
	if absent(accounts, s.extension) {
		return nil
	}
	s.hasExtension = true
	r := accounts.Reader(s.extension, p.id)
	r.Discriminator(extensionDiscriminator)
	if n := r.Len(); n != extensionLen {
		r.Fail("length", "%d bytes, want %d", n, extensionLen)
	}
	if r.Key(8, "lb_pair") != s.info.Address {
		r.Fail("lb_pair", "belongs to another pair")
	}
	bits.Set(pairArrays, r.Bytes(40, extraBitmaps*bitmapArrays/8, "positive_bin_array_bitmap"))
	// The negative side counts downwards, its bits too.
	negative := r.Bytes(40+extraBitmaps*bitmapArrays/8, extraBitmaps*bitmapArrays/8, "negative_bin_array_bitmap")
	bits.SetDown(-pairArrays-1, negative)
	return r.Err()
}

// newPath lists the arrays with liquidity: the present one, if it has any, and the next in the direction.
func (p program) newPath(s *pair, bits clmath.Bitmap, aToB bool) path {
	number := floorDiv(s.active, arrayBins)
	to := path{end: amm.ErrInsufficientLiquidity}
	if !s.hasExtension && (number < -pairArrays || number >= pairArrays) {
		return to // the program refuses every swap
	}
	step := int32(1)
	if aToB {
		step = -1
	}
	for ; ; number += step {
		var ok bool
		if number, ok = bits.Next(number, !aToB); !ok {
			return to
		}
		if len(to.arrays) == maxArrays {
			to.end = amm.ErrArraysMissing
			return to
		}
		to.arrays = append(to.arrays, array{number, p.addresses.Find("bin_array", s.info.Address, binary.LittleEndian.AppendUint64(nil, uint64(int64(number))))})
	}
}

// decodeArrays reads the bins of both paths' arrays, as far as these exist, in ascending order.
func (s *pair) decodeArrays(accounts amm.Accounts) error {
	for _, to := range []*path{&s.falling, &s.rising} {
		if i := slices.IndexFunc(to.arrays, func(a array) bool { return absent(accounts, a.key) }); i >= 0 {
			to.arrays, to.end = to.arrays[:i], amm.ErrArraysMissing
		}
	}
	arrays := slices.Clone(s.falling.arrays)
	slices.Reverse(arrays)
	for _, a := range s.rising.arrays {
		if a.index != floorDiv(s.active, arrayBins) { // which is on both paths
			arrays = append(arrays, a)
		}
	}
	for _, a := range arrays {
		if err := s.decodeArray(a, accounts); err != nil {
			return err
		}
	}
	return nil
}

// decodeArray appends the bins of one array that are not empty.
func (s *pair) decodeArray(a array, accounts amm.Accounts) error {
	r := accounts.Reader(a.key, s.info.Program)
	r.Discriminator(arrayDiscriminator)
	if n := r.Len(); n != arrayLen {
		r.Fail("length", "%d bytes, want %d", n, arrayLen)
	}
	if r.Key(24, "lb_pair") != s.info.Address {
		r.Fail("lb_pair", "belongs to another pair")
	}
	if got := r.Int64(8, "index"); got != int64(a.index) {
		r.Fail("index", "%d, want %d", got, a.index)
	}
	for i := range int32(arrayBins) {
		at := binsAt + int(i)*binLen
		b := bin{
			id: a.index*arrayBins + i, x: r.Uint64(at, "bin.amount_x"), y: r.Uint64(at+8, "bin.amount_y"),
		}
		if s.takesOrders {
			b.open, b.processed = r.Uint64(at+112, "bin.open_order_amount"), r.Uint64(at+128, "bin.processed_order_remaining_amount")
			b.ask = r.Uint8(at+140, "bin.limit_order_ask_side") != 0
		}
		if b.x|b.y|b.open|b.processed == 0 {
			continue
		}
		lo, hi := r.Uint128(at+16, "bin.price")
		if b.price = (clmath.Uint128{Hi: hi, Lo: lo}); b.price.IsZero() { // not yet stored, which the first swap does
			var ok bool
			if b.price, ok = price(b.id, s.binStep); !ok {
				r.Fail("bin.price", "bin %d has none", b.id)
			}
		}
		if b.id < minBin || b.id > maxBin {
			r.Fail("bin", "%d is out of range", b.id)
		}
		s.bins = append(s.bins, b)
	}
	return r.Err()
}

// floorDiv rounds down, also below zero. d must be positive.
func floorDiv(n, d int32) int32 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}
