package dlmm

import (
	"encoding/binary"
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Meteora DLMM"

// Sizes and offsets of the accounts, in bytes, discriminators included.
const (
	pairLen      = 904
	mintXAt      = 88
	mintYAt      = 120
	extensionLen = 40 + 2*8*farWords
	binsAt       = 56
	binLen       = 144
	arrayBins    = 70
	arrayLen     = binsAt + arrayBins*binLen
)

var (
	pairDiscriminator      = []byte{0x21, 0x0b, 0x31, 0x62, 0xb5, 0x65, 0xb1, 0x0d}
	arrayDiscriminator     = []byte{0x5c, 0x8e, 0x5c, 0xdc, 0x05, 0x94, 0x46, 0xb5}
	extensionDiscriminator = []byte{0x50, 0x6f, 0x7c, 0x71, 0x37, 0xed, 0x12, 0x05}
)

// The program's bounds of bin ids.
const (
	minBin = -443636
	maxBin = 443636
)

// Modes of a pair; the highest of each kind too, as the program refuses what is above.
const (
	statusEnabled        = 0
	permissioned         = 1
	customizable         = 2
	lastPairType         = 3
	activationByTime     = 1
	functionUndetermined = 0
	functionLimitOrders  = 2
	feeOnlyY             = 1
)

// maxArrays is how many arrays on either side are loaded: more would not fit into a transaction beside a swap's other accounts.
const maxArrays = 10

type program struct {
	id, eventAuthority solana.PublicKey
	addresses          *pda.Cache
}

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program {
	return program{id, pda.Of(id, []byte("__event_authority")), pda.New(id)}
}

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: pairLen, Discriminator: pairDiscriminator, Mints: [2]uint64{mintXAt, mintYAt}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, marked, err := p.decodePair(key, accounts)
	if err != nil {
		return nil, err
	}
	extension := p.addresses.Find("bitmap", key, nil)
	if _, loaded := accounts[extension]; loaded {
		if err := p.decodeExtension(s, extension, accounts, marked); err != nil {
			return nil, err
		}
	}
	i := &s.info
	keys := []solana.PublicKey{key, i.Mints[0], i.Mints[1], i.Vaults[0], i.Vaults[1], extension}
	down, up := s.around(marked)
	for _, index := range down {
		keys = append(keys, p.array(key, index))
	}
	if len(down) > 0 && len(up) > 0 && down[0] == up[0] {
		up = up[1:]
	}
	for _, index := range up {
		keys = append(keys, p.array(key, index))
	}
	return keys, nil
}

// around is the arrays with liquidity from that of the active bin downwards and upwards, at most maxArrays of either.
func (s *pool) around(marked clmath.Bitmap) (down, up []int32) {
	at := arrayOf(s.active)
	if s.extension == s.info.Program && (at < -nearArrays || at >= nearArrays) {
		return nil, nil // the program fails for want of the extension
	}
	walk := func(at int32, up bool) (found []int32) {
		step := int32(-1)
		if up {
			step = 1
		}
		for index, ok := marked.Next(at, up); ok && len(found) < maxArrays; index, ok = marked.Next(index+step, up) {
			found = append(found, index)
		}
		return found
	}
	return walk(at, false), walk(at, true)
}

// arrayOf is the index of the array that a bin is in.
func arrayOf(id int32) int32 {
	index := id / arrayBins
	if id%arrayBins < 0 {
		index--
	}
	return index
}

// array is the address of an array of bins.
func (p program) array(pair solana.PublicKey, index int32) solana.PublicKey {
	return p.addresses.Find("bin_array", pair, binary.LittleEndian.AppendUint64(nil, uint64(int64(index))))
}

// decodePair reads the pair's own account.
func (p program) decodePair(key solana.PublicKey, accounts amm.Accounts) (*pool, clmath.Bitmap, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(pairDiscriminator)
	if n := r.Len(); n != pairLen {
		r.Fail("length", "%d bytes, want %d", n, pairLen)
	}
	s := &pool{
		info: amm.Info{
			Address: key,
			Program: p.id,
			Label:   Label,
			Mints:   [2]solana.PublicKey{r.Key(mintXAt, "token_x_mint"), r.Key(mintYAt, "token_y_mint")},
			Vaults:  [2]solana.PublicKey{r.Key(152, "reserve_x"), r.Key(184, "reserve_y")},
		},
		eventAuthority: p.eventAuthority,
		extension:      p.id,
		oracle:         r.Key(552, "oracle"),
		parameters: parameters{
			control:    uint64(r.Uint32(16, "variable_fee_control")),
			binStep:    uint64(r.Uint16(80, "bin_step")),
			maximum:    uint64(r.Uint32(20, "max_volatility_accumulator")),
			filter:     int64(r.Uint16(10, "filter_period")),
			decay:      int64(r.Uint16(12, "decay_period")),
			reduction:  uint64(r.Uint16(14, "reduction_factor")),
			active:     int32(r.Uint32(76, "active_id")),
			lastUpdate: r.Int64(56, "last_update_timestamp"),
			volatility: uint64(r.Uint32(40, "volatility_accumulator")),
			anchor:     uint64(r.Uint32(44, "volatility_reference")),
			anchorID:   int32(r.Uint32(48, "index_reference")),
		},
		disabled:   r.Uint8(82, "status") != statusEnabled,
		activation: r.Uint64(816, "activation_point"),
		minID:      int32(r.Uint32(24, "min_bin_id")),
		maxID:      int32(r.Uint32(28, "max_bin_id")),
	}
	s.base = uint64(r.Uint16(8, "base_factor")) * s.binStep * 10
	power := r.Uint8(34, "base_fee_power_factor")
	for range power {
		s.base = min(s.base*10, maxRate)
	}
	s.base = min(s.base, maxRate)

	pairType := r.Uint8(75, "pair_type")
	s.gated = pairType == permissioned || pairType == customizable
	activationType := r.Uint8(86, "activation_type")
	s.byTime = activationType == activationByTime
	function := r.Uint8(35, "function_type")
	rewards := 0
	for i := range 2 {
		if !r.Key(264+144*i, "reward_infos.mint").IsZero() {
			rewards++
		}
	}
	s.limitOrders = function == functionLimitOrders || function == functionUndetermined && rewards == 0
	feeMode := r.Uint8(36, "collect_fee_mode")
	s.sides[0] = side{xToY: true, feeOnOutput: feeMode == feeOnlyY}
	share := r.Uint16(32, "protocol_share")
	for i, field := range [2]string{"token_mint_x_program_flag", "token_mint_y_program_flag"} {
		s.info.TokenPrograms[i] = solana.TokenProgramID
		if r.Bool(880+i, field) {
			s.info.TokenPrograms[i] = solana.Token2022ProgramID
		}
	}
	if share == 0 {
		s.perBin += unitsNoProtocolFee
	}
	if s.limitOrders {
		s.perBin += unitsLimitOrders
	} else {
		s.perBin += rewards * unitsReward
	}
	marked := markPair(r)
	// The program refuses every swap beyond these.
	switch {
	case s.info.Mints[0].IsZero():
		r.Fail("token_x_mint", "is zero")
	case s.info.Mints[1].IsZero():
		r.Fail("token_y_mint", "is zero")
	case s.binStep == 0 || s.binStep >= oneInBps:
		r.Fail("bin_step", "%d is not between 0 and %d", s.binStep, oneInBps)
	case s.minID < minBin || s.maxID > maxBin:
		r.Fail("min_bin_id", "%d to %d is beyond the bins that have a price", s.minID, s.maxID)
	case s.active < s.minID || s.active > s.maxID:
		r.Fail("active_id", "%d is not between %d and %d", s.active, s.minID, s.maxID)
	case s.anchorID < minBin || s.anchorID > maxBin:
		r.Fail("index_reference", "%d has no price", s.anchorID)
	case power > maxPower:
		r.Fail("base_fee_power_factor", "%d overflows", power)
	case s.lastUpdate < 0:
		r.Fail("last_update_timestamp", "%d is before 1970", s.lastUpdate)
	case share > oneInBps:
		r.Fail("protocol_share", "%d is more than %d", share, oneInBps)
	case pairType > lastPairType:
		r.Fail("pair_type", "%d is no type of the program", pairType)
	case activationType > activationByTime:
		r.Fail("activation_type", "%d is no type of the program", activationType)
	case function > functionLimitOrders:
		r.Fail("function_type", "%d is no type of the program", function)
	case feeMode > feeOnlyY:
		r.Fail("collect_fee_mode", "%d is no mode of the program", feeMode)
	}
	return s, marked, r.Err()
}

// decodeExtension adds what the extension marks, if there is one.
func (p program) decodeExtension(s *pool, key solana.PublicKey, accounts amm.Accounts, marked clmath.Bitmap) error {
	if absent(accounts, key) {
		return nil
	}
	r := accounts.Reader(key, p.id)
	r.Discriminator(extensionDiscriminator)
	if n := r.Len(); n != extensionLen {
		r.Fail("length", "%d bytes, want %d", n, extensionLen)
	}
	if r.Key(8, "lb_pair") != s.info.Address {
		r.Fail("lb_pair", "belongs to another pair")
	}
	s.extension = key
	markExtension(marked, r)
	return r.Err()
}

// absent says whether the account does not exist for the program, which takes a bare transfer to its address as nothing.
func absent(accounts amm.Accounts, key solana.PublicKey) bool {
	account, loaded := accounts[key]
	return loaded && (account == nil || account.Owner == solana.SystemProgramID && len(account.Data) == 0)
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, marked, err := p.decodePair(key, accounts)
	if err != nil {
		return nil, err
	}
	for i, mint := range s.info.Mints {
		if s.mints[i], err = token.DecodeMint(accounts, mint); err != nil {
			return nil, err
		}
		if s.mints[i].Program != s.info.TokenPrograms[i] {
			return nil, &amm.DecodeError{Account: key, Field: "token_program_flag", Reason: "is not the program of mint " + mint.String()}
		}
		s.info.Decimals[i] = s.mints[i].Decimals
		if s.reserves[i], err = token.Vault(accounts, s.info.Vaults[i], mint); err != nil {
			return nil, err
		}
	}
	if err := p.decodeExtension(s, p.addresses.Find("bitmap", key, nil), accounts, marked); err != nil {
		return nil, err
	}
	down, up := s.around(marked)
	if err := p.decodeSide(s, &s.sides[0], down, accounts); err != nil {
		return nil, err
	}
	if err := p.decodeSide(s, &s.sides[1], up, accounts); err != nil {
		return nil, err
	}
	return s, nil
}

// decodeSide reads the arrays in the order of a swap, up to the first that does not exist or that no transaction can pay for.
func (p program) decodeSide(s *pool, side *side, arrays []int32, accounts amm.Accounts) error {
	side.end = amm.ErrInsufficientLiquidity
	if len(arrays) == maxArrays {
		side.end = amm.ErrArraysMissing
	}
	way, least := 0, s.units(false, side.feeOnOutput)
	for i, index := range arrays {
		if i > 0 {
			way += unitsArray
		}
		key := p.array(s.info.Address, index)
		if absent(accounts, key) {
			side.end = amm.ErrArraysMissing
			break
		}
		r := accounts.Reader(key, p.id)
		r.Discriminator(arrayDiscriminator)
		if n := r.Len(); n != arrayLen {
			r.Fail("length", "%d bytes, want %d", n, arrayLen)
		}
		if r.Key(24, "lb_pair") != s.info.Address {
			r.Fail("lb_pair", "belongs to another pair")
		}
		if got := r.Int64(8, "index"); got != int64(index) {
			r.Fail("index", "%d, want %d", got, index)
		}
		if err := r.Err(); err != nil {
			return err
		}
		side.arrays = append(side.arrays, key)
		bins := r.Bytes(binsAt, arrayBins*binLen, "bins")
		low, high := index*arrayBins, index*arrayBins+arrayBins-1
		first, last, step := max(low, s.active), min(high, s.maxID), int32(1)
		if side.xToY {
			first, last, step = min(high, s.active), max(low, s.minID), -1
		}
		for id := first; id*step <= last*step; id += step {
			if !side.add(s, id, bins[binLen*(id-low):], way) {
				way += unitsEmptyBin
				continue
			}
			way = 0
			if least.spent += side.bins[len(side.bins)-1].least(least); least.spent > budget {
				side.end = amm.ErrComputeBudget
				return nil
			}
		}
	}
	return nil
}

// add takes over a bin if it has something to sell.
func (side *side) add(s *pool, id int32, data []byte, way int) bool {
	le := binary.LittleEndian
	makersAt, asks := 0, byte(1) // X, and orders that sell it
	if side.xToY {
		makersAt, asks = 8, 0
	}
	parts := [3]layer{{out: le.Uint64(data[makersAt:])}}
	if s.limitOrders && min(data[140], 1) == asks {
		parts[1].out, parts[2].out = le.Uint64(data[128:]), le.Uint64(data[112:])
	}
	if parts[0].out|parts[1].out|parts[2].out == 0 {
		return false
	}
	b := bin{id: id, way: uint32(way), array: uint8(len(side.arrays)), price: clmath.Uint128{Lo: le.Uint64(data[16:]), Hi: le.Uint64(data[24:])}}
	for i := range parts {
		l := &parts[i]
		if l.out != 0 {
			l.in = side.cost(l.out, b.price)
			b.out, b.in = saturatingAdd(b.out, l.out), saturatingAdd(b.in, l.in)
		}
	}
	if b.out != parts[0].out {
		side.layers = append(side.layers, parts)
		b.layered = uint16(len(side.layers))
	}
	b.units = side.unitsOf(&b, parts, le.Uint64(data[40:]) != 0)
	side.bins = append(side.bins, b)
	return true
}

func saturatingAdd(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return beyond
	}
	return sum
}
