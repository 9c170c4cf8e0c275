package dlmm

import (
	"encoding/binary"
	"maps"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

var (
	programID = solana.MustPublicKeyFromBase58("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")
	pairKey   = ammtest.Key(1)
	mintKeys  = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	vaultKeys = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
	oracleKey = ammtest.Key(6)
)

const now = 1_780_000_000

// state is a pair in the words of its users, from which the accounts are written.
type state struct {
	step          uint16
	factor        uint16
	active        int32
	bins          map[int32]bin
	volatility    volatility
	onlyY         bool
	function      uint8
	pairType      uint8
	atTime        bool
	activation    uint64
	status        uint8
	mints         [2]*amm.Account
	reserves      [2]uint64
	withExtension bool
	// stored says that bins hold their price, as they do after their first swap.
	stored bool
}

// spread has liquidity in every bin around the active one: X above and Y below, both in it. With a step of 20 its base fee is 0.2%.
func spread(step uint16, width int32) state {
	s := state{
		step: step, factor: 10_000, active: 30, bins: map[int32]bin{}, function: 1,
		mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}, reserves: [2]uint64{1 << 60, 1 << 60},
		volatility: volatility{filterPeriod: 30, decayPeriod: 600, reduction: 5000, maximum: 350_000, lastUpdate: now - 100, origin: 30},
	}
	for i := -width; i <= width; i++ {
		var b bin
		if i >= 0 {
			b.x = 1_000_000 + uint64(i)*1_000
		}
		if i <= 0 {
			b.y = 2_000_000 - uint64(i)*1_000
		}
		s.bins[s.active+i] = b
	}
	return s
}

func (s state) with(change func(*state)) state {
	s.bins = maps.Clone(s.bins)
	change(&s)
	return s
}

// varying adds a variable fee, and orders limit orders on some bins, without market makers on one.
func varying(s *state) {
	s.volatility.control, s.volatility.reference, s.volatility.accumulator = 40_000, 20_000, 120_000
	s.volatility.origin = s.active - 8
}

func orders(s *state) {
	s.function = 2
	for _, i := range []int32{0, 2, 3, 6} {
		above, below := s.bins[s.active+i], s.bins[s.active-i]
		above.ask, above.processed, above.open = true, 30_001, 50_003
		below.ask, below.processed, below.open = false, 20_003, uint64(i)*10_007
		if i == 3 {
			above.x, below.y, below.processed = 0, 0, 0
		}
		s.bins[s.active+i], s.bins[s.active-i] = above, below
	}
}

func (s state) accounts() amm.Accounts {
	le := binary.LittleEndian
	data := make([]byte, pairLen)
	copy(data, pairDiscriminator)
	v := s.volatility
	le.PutUint16(data[8:], s.factor)
	le.PutUint16(data[10:], uint16(v.filterPeriod))
	le.PutUint16(data[12:], uint16(v.decayPeriod))
	le.PutUint16(data[14:], uint16(v.reduction))
	le.PutUint32(data[16:], uint32(v.control))
	le.PutUint32(data[20:], uint32(v.maximum))
	data[35] = s.function
	if s.onlyY {
		data[36] = 1
	}
	le.PutUint32(data[40:], uint32(v.accumulator))
	le.PutUint32(data[44:], uint32(v.reference))
	le.PutUint32(data[48:], uint32(v.origin))
	le.PutUint64(data[56:], uint64(v.lastUpdate))
	data[75], data[82] = s.pairType, s.status
	le.PutUint32(data[76:], uint32(s.active))
	le.PutUint16(data[80:], s.step)
	if s.atTime {
		data[86] = 1
	}
	le.PutUint64(data[816:], s.activation)
	copy(data[552:], oracleKey[:])
	accounts := amm.Accounts{pairKey: {Owner: programID, Data: data}}
	for i := range 2 {
		copy(data[mintXAt+32*i:], mintKeys[i][:])
		copy(data[152+32*i:], vaultKeys[i][:])
		if s.mints[i].Owner == solana.Token2022ProgramID {
			data[880+i] = 1
		}
		accounts[mintKeys[i]] = s.mints[i]
		accounts[vaultKeys[i]] = ammtest.TokenAccount(s.mints[i].Owner, mintKeys[i], pairKey, s.reserves[i])
	}
	extension := make([]byte, extensionLen)
	copy(extension, extensionDiscriminator)
	copy(extension[8:], pairKey[:])
	for id, b := range s.bins {
		index := floorDiv(id, arrayBins)
		switch {
		case index >= pairArrays:
			setBit(extension[40:], index-pairArrays)
		case index < -pairArrays:
			setBit(extension[40+extraBitmaps*bitmapArrays/8:], -pairArrays-1-index)
		default:
			setBit(data[bitmapAt:], index+pairArrays)
		}
		key := arrayAddress(index)
		if accounts[key] == nil {
			array := make([]byte, arrayLen)
			copy(array, arrayDiscriminator)
			le.PutUint64(array[8:], uint64(int64(index)))
			copy(array[24:], pairKey[:])
			accounts[key] = &amm.Account{Owner: programID, Data: array}
		}
		at := accounts[key].Data[binsAt+int(id-index*arrayBins)*binLen:]
		le.PutUint64(at, b.x)
		le.PutUint64(at[8:], b.y)
		le.PutUint64(at[112:], b.open)
		le.PutUint64(at[128:], b.processed)
		if b.ask {
			at[140] = 1
		}
		if s.stored {
			price, _ := price(id, s.step)
			le.PutUint64(at[16:], price.Lo)
			le.PutUint64(at[24:], price.Hi)
		}
	}
	if s.withExtension {
		accounts[address([]byte("bitmap"), pairKey[:])] = &amm.Account{Owner: programID, Data: extension}
	}
	return accounts
}

func setBit(bits []byte, n int32) { bits[n/8] |= 1 << (n % 8) }

func arrayAddress(index int32) solana.PublicKey {
	return address([]byte("bin_array"), pairKey[:], binary.LittleEndian.AppendUint64(nil, uint64(int64(index))))
}

func address(seeds ...[]byte) solana.PublicKey {
	key, _, err := solana.FindProgramAddress(seeds, programID)
	if err != nil {
		panic(err)
	}
	return key
}

func (s state) decode(t testing.TB) *pair {
	t.Helper()
	decoded, err := ammtest.Decode(New(programID), pairKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*pair)
}
