package dlmm

import (
	"encoding/binary"
	"maps"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

var (
	programID = solana.MustPublicKeyFromBase58("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")

	pairKey, oracleKey = ammtest.Key(1), ammtest.Key(2)
	vaultKeys          = [2]solana.PublicKey{ammtest.Key(3), ammtest.Key(4)}
	mintKeys           = [2]solana.PublicKey{ammtest.Key(5), ammtest.Key(6)}
)

const now = 1_760_000_000

// content is what a bin holds.
type content struct {
	x, y, processed, open uint64
	ask                   bool
}

// state is a pair in the words of its users, from which the accounts are written.
type state struct {
	step, factor     uint16
	active           int32
	minID, maxID     int32
	bins             map[int32]content
	parameters       parameters
	function, mode   uint8
	pairType, status uint8
	activationType   uint8
	activation       uint64
	rewards          int
	mints            [2]*amm.Account
	reserves         [2]uint64
	extended         bool
	absent           map[int32]bool // arrays that are marked but do not exist
	noPrice          bool
}

// spread has bins around bin 30: X from there upwards, Y downwards. Its base fee is factor 10000 times the step times 10: 0.2% for a step of 20.
func spread(step uint16, width int32) state {
	s := state{
		step: step, factor: 10_000, active: 30, minID: minBin, maxID: maxBin, bins: map[int32]content{}, function: 1,
		mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}, reserves: [2]uint64{1 << 60, 1 << 60},
		parameters: parameters{filter: 30, decay: 600, reduction: 5000, maximum: 350_000, lastUpdate: now - 100, anchorID: 30},
	}
	for i := -width; i <= width; i++ {
		var c content
		if i >= 0 {
			c.x = 1_000_000 + uint64(i)*1_000
		}
		if i <= 0 {
			c.y = 2_000_000 - uint64(i)*1_000
		}
		s.bins[s.active+i] = c
	}
	return s
}

func (s state) with(changes ...func(*state)) state {
	s.bins = maps.Clone(s.bins)
	for _, change := range changes {
		change(&s)
	}
	return s
}

// volatile adds a variable fee, ordered limit orders, with bins that hold nothing else, and taxed transfer fees.
func volatile(s *state) {
	s.parameters.control, s.parameters.anchor, s.parameters.volatility = 40_000, 20_000, 120_000
	s.parameters.anchorID = s.active - 8
}

func onlyY(s *state) { s.mode = feeOnlyY }

func ordered(s *state) {
	s.function = functionLimitOrders
	for i := int32(0); i < 12; i += 3 {
		above, below := s.bins[s.active+i], s.bins[s.active-i]
		above.ask, above.processed, above.open = true, 30_001, 50_003
		below.ask, below.processed, below.open = i == 0, 20_003, 10_007
		if i == 6 {
			above.x, below.y, above.processed = 0, 0, 0
		}
		s.bins[s.active+i], s.bins[s.active-i] = above, below
	}
}

func taxed(s *state) {
	s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 77, 50_000), ammtest.MintWithFee(6, 10_000, 3)}
}

func (s state) accounts() amm.Accounts {
	le := binary.LittleEndian
	data := make([]byte, pairLen)
	copy(data, pairDiscriminator)
	p := s.parameters
	le.PutUint16(data[8:], s.factor)
	le.PutUint16(data[10:], uint16(p.filter))
	le.PutUint16(data[12:], uint16(p.decay))
	le.PutUint16(data[14:], uint16(p.reduction))
	le.PutUint32(data[16:], uint32(p.control))
	le.PutUint32(data[20:], uint32(p.maximum))
	le.PutUint32(data[24:], uint32(s.minID))
	le.PutUint32(data[28:], uint32(s.maxID))
	le.PutUint16(data[32:], 500)
	data[35], data[36] = s.function, s.mode
	le.PutUint32(data[40:], uint32(p.volatility))
	le.PutUint32(data[44:], uint32(p.anchor))
	le.PutUint32(data[48:], uint32(p.anchorID))
	le.PutUint64(data[56:], uint64(p.lastUpdate))
	data[75], data[82], data[86] = s.pairType, s.status, s.activationType
	le.PutUint32(data[76:], uint32(s.active))
	le.PutUint16(data[80:], s.step)
	copy(data[552:], oracleKey[:])
	le.PutUint64(data[816:], s.activation)
	for i := range s.rewards {
		data[264+144*i] = 1
	}
	accounts := amm.Accounts{pairKey: {Owner: programID, Data: data}}
	for i, mint := range s.mints {
		copy(data[mintXAt+32*i:], mintKeys[i][:])
		copy(data[152+32*i:], vaultKeys[i][:])
		if mint.Owner == solana.Token2022ProgramID {
			data[880+i] = 1
		}
		accounts[mintKeys[i]] = mint
		accounts[vaultKeys[i]] = ammtest.TokenAccount(mint.Owner, mintKeys[i], pairKey, s.reserves[i])
	}
	extension := make([]byte, extensionLen)
	copy(extension, extensionDiscriminator)
	copy(extension[8:], pairKey[:])
	for id, c := range s.bins {
		index := arrayOf(id)
		switch {
		case index >= nearArrays:
			setBit(extension[40:], index-nearArrays)
		case index < -nearArrays:
			setBit(extension[40+8*farWords:], -nearArrays-1-index)
		default:
			setBit(data[584:], index+nearArrays)
		}
		if !s.absent[index] {
			s.write(accounts, index, id, c)
		}
	}
	if s.extended {
		accounts[address([]byte("bitmap"), pairKey[:])] = &amm.Account{Owner: programID, Data: extension}
	}
	return accounts
}

func (s state) write(accounts amm.Accounts, index, id int32, c content) {
	le := binary.LittleEndian
	key := arrayKey(index)
	if accounts[key] == nil {
		data := make([]byte, arrayLen)
		copy(data, arrayDiscriminator)
		le.PutUint64(data[8:], uint64(int64(index)))
		copy(data[24:], pairKey[:])
		accounts[key] = &amm.Account{Owner: programID, Data: data}
	}
	data := accounts[key].Data[binsAt+int(id-index*arrayBins)*binLen:]
	le.PutUint64(data, c.x)
	le.PutUint64(data[8:], c.y)
	if !s.noPrice {
		price := binPrice(id, s.step)
		le.PutUint64(data[16:], price.Lo)
		le.PutUint64(data[24:], price.Hi)
	}
	le.PutUint64(data[40:], 1) // liquidity_supply
	le.PutUint64(data[112:], c.open)
	le.PutUint64(data[120:], c.processed)
	le.PutUint64(data[128:], c.processed)
	if c.ask {
		data[140] = 1
	}
}

// binPrice is (1 + step/10000)^id in units of 2^-64, rounded down.
func binPrice(id int32, step uint16) clmath.Uint128 {
	power := big.NewInt(int64(max(id, -id)))
	up := new(big.Int).Exp(big.NewInt(oneInBps+int64(step)), power, nil)
	down := new(big.Int).Exp(big.NewInt(oneInBps), power, nil)
	if id < 0 {
		up, down = down, up
	}
	price := up.Quo(up.Lsh(up, 64), down)
	return clmath.Uint128{Hi: new(big.Int).Rsh(price, 64).Uint64(), Lo: price.And(price, new(big.Int).SetUint64(1<<64-1)).Uint64()}
}

func setBit(bits []byte, n int32) { bits[n/8] |= 1 << (n % 8) }

func arrayKey(index int32) solana.PublicKey {
	return address([]byte("bin_array"), pairKey[:], binary.LittleEndian.AppendUint64(nil, uint64(int64(index))))
}

func address(seeds ...[]byte) solana.PublicKey {
	key, _, err := solana.FindProgramAddress(seeds, programID)
	if err != nil {
		panic(err)
	}
	return key
}

func (s state) decode(t testing.TB) *pool {
	t.Helper()
	decoded, err := ammtest.Decode(New(programID), pairKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*pool)
}

// after is the accounts as a swap leaves them, for a pair without orders and volatility.
func (s state) after(accounts amm.Accounts, _ *amm.Info, quote amm.Quote) amm.Accounts {
	decoded, err := ammtest.Decode(New(programID), pairKey, accounts)
	if err != nil {
		panic(err)
	}
	p := decoded.(*pool)
	side, left := p.side(quote.AToB), quote.In
	moved := s.with(func(s *state) {
		for i := 0; left > 0; i++ {
			b := &side.bins[i]
			t, err := side.sell(b, left, p.base)
			if err != nil {
				panic(err)
			}
			left -= t.in
			c := s.bins[b.id]
			if in, out := t.in-t.fee, t.out; quote.AToB {
				c.x, c.y = c.x+in, c.y-out
			} else {
				c.x, c.y = c.x-out, c.y+in
			}
			s.bins[b.id], s.active = c, b.id
		}
	})
	return moved.accounts()
}
