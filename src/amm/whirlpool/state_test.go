package whirlpool

import (
	"encoding/binary"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

var (
	programID = solana.MustPublicKeyFromBase58("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc")
	poolKey   = ammtest.Key(1)
	mintKeys  = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	vaultKeys = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
)

const now = 1_760_000_000

type position struct {
	lower, upper int32
	liquidity    uint64
}

// state is a pool in the words of its users, from which the accounts are written.
type state struct {
	spacing   uint16
	feeRate   uint16
	tick      int32
	price     clmath.Uint128 // that of tick if zero
	positions []position
	// dynamic writes dynamic tick arrays, and sparse none for arrays without a tick.
	dynamic, sparse bool
	mints           [2]*amm.Account
	oracle          *oracle
	rewardsUpdated  uint64
}

// wide has a position around the whole range of three arrays and narrower ones inside.
func wide(spacing uint16) state {
	s := int32(spacing)
	return state{
		spacing: spacing, feeRate: 3000, tick: 100 * s,
		positions: []position{{-200 * s, 400 * s, 40_000_000_000}, {90 * s, 110 * s, 90_000_000_000}, {105 * s, 220 * s, 5_000_000_000}, {20 * s, 100 * s, 7_000_000_000}},
		mints:     [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)},
	}
}

func (s state) with(change func(*state)) state {
	s.positions = slices.Clone(s.positions)
	change(&s)
	return s
}

func (s state) liquidityAt(tick int32) uint64 {
	total := uint64(0)
	for _, p := range s.positions {
		if p.lower <= tick && tick < p.upper {
			total += p.liquidity
		}
	}
	return total
}

func (s state) accounts() amm.Accounts {
	accounts := amm.Accounts{poolKey: s.poolAccount(), mintKeys[0]: s.mints[0], mintKeys[1]: s.mints[1]}
	if s.oracle != nil {
		accounts[address("oracle")] = &amm.Account{Owner: programID, Data: s.oracle.bytes()}
	}
	nets, span := s.nets(), arrayTicks*int32(s.spacing)
	starts := map[int32]bool{}
	for tick := range nets {
		starts[floorDiv(tick, span)*span] = true
	}
	for n := int32(-3); n <= 3 && !s.sparse; n++ {
		starts[(floorDiv(s.tick, span)+n)*span] = true
	}
	for start := range starts {
		accounts[address("tick_array", strconv.Itoa(int(start)))] = &amm.Account{Owner: programID, Data: s.array(start, nets)}
	}
	return accounts
}

func (s state) poolAccount() *amm.Account {
	le := binary.LittleEndian
	pool := make([]byte, poolLen)
	copy(pool, poolDiscriminator)
	le.PutUint16(pool[41:], s.spacing)
	le.PutUint16(pool[43:], s.spacing)
	if s.oracle != nil {
		le.PutUint16(pool[43:], 1024+s.spacing)
	}
	le.PutUint16(pool[45:], s.feeRate)
	le.PutUint64(pool[49:], s.liquidityAt(s.tick))
	price := s.price
	if price.IsZero() {
		price = sqrtPrice(s.tick)
	}
	le.PutUint64(pool[65:], price.Lo)
	le.PutUint64(pool[73:], price.Hi)
	le.PutUint32(pool[81:], uint32(s.tick))
	le.PutUint64(pool[261:], s.rewardsUpdated)
	for i, at := range [2]int{mintAAt, mintBAt} {
		copy(pool[at:], mintKeys[i][:])
		copy(pool[at+32:], vaultKeys[i][:])
	}
	return &amm.Account{Owner: programID, Data: pool}
}

func (s state) nets() map[int32]int64 {
	nets := map[int32]int64{}
	for _, p := range s.positions {
		nets[p.lower] += int64(p.liquidity)
		nets[p.upper] -= int64(p.liquidity)
	}
	return nets
}

func (s state) array(start int32, nets map[int32]int64) []byte {
	le := binary.LittleEndian
	var bitmap [16]byte
	var ticks []byte
	for i := range int32(arrayTicks) {
		net, ok := nets[start+i*int32(s.spacing)]
		tick := make([]byte, fixedTickLen)
		if ok {
			bitmap[i/8] |= 1 << (i % 8)
			tick[0] = 1
			le.PutUint64(tick[1:], uint64(net))
			le.PutUint64(tick[9:], uint64(net>>63))
		} else if s.dynamic {
			tick = tick[:1]
		}
		ticks = append(ticks, tick...)
	}
	startIndex := le.AppendUint32(nil, uint32(start))
	if s.dynamic {
		return slices.Concat(dynamicArrayDiscriminator, startIndex, poolKey[:], bitmap[:], ticks)
	}
	return slices.Concat(fixedArrayDiscriminator, startIndex, ticks, poolKey[:])
}

func (o *oracle) bytes() []byte {
	le := binary.LittleEndian
	data := make([]byte, oracleLen)
	copy(data, oracleDiscriminator)
	copy(data[8:], poolKey[:])
	le.PutUint64(data[40:], o.tradeEnable)
	le.PutUint16(data[48:], uint16(o.filterPeriod))
	le.PutUint16(data[50:], uint16(o.decayPeriod))
	le.PutUint16(data[52:], uint16(o.reduction))
	le.PutUint32(data[54:], uint32(o.control))
	le.PutUint32(data[58:], uint32(o.maxVolatility))
	le.PutUint16(data[62:], uint16(o.groupSize))
	le.PutUint16(data[64:], 1)
	le.PutUint64(data[82:], o.lastReference)
	le.PutUint64(data[90:], o.lastMajorSwap)
	le.PutUint32(data[98:], uint32(o.reference))
	le.PutUint32(data[102:], uint32(o.groupReference))
	le.PutUint32(data[106:], uint32(o.volatility))
	return data
}

func adaptive(group int32) *oracle {
	return &oracle{
		filterPeriod: 30, decayPeriod: 600, reduction: 5000, control: 4000, maxVolatility: 350_000, groupSize: group,
		lastReference: now - 100, lastMajorSwap: now - 200, reference: 20_000, volatility: 120_000, groupReference: 100,
	}
}

func address(name string, suffix ...string) solana.PublicKey {
	seeds := [][]byte{[]byte(name), poolKey[:]}
	for _, s := range suffix {
		seeds = append(seeds, []byte(s))
	}
	key, _, err := solana.FindProgramAddress(seeds, programID)
	if err != nil {
		panic(err)
	}
	return key
}

func (s state) decode(t testing.TB) *pool {
	t.Helper()
	decoded, err := ammtest.Decode(New(programID), poolKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*pool)
}

// tickAt is the greatest tick whose price is not above price.
func tickAt(price clmath.Uint128) int32 {
	low, high := int32(minTick), int32(maxTick)
	for low < high {
		if middle := low + (high-low+1)/2; price.Less(sqrtPrice(middle)) {
			high = middle - 1
		} else {
			low = middle
		}
	}
	return low
}

// after is the accounts as the quoted swap leaves them, fees and volatility aside.
func (s state) after(accounts amm.Accounts, _ *amm.Info, quote amm.Quote) amm.Accounts {
	decoded, err := ammtest.Decode(New(programID), poolKey, accounts)
	if err != nil {
		panic(err)
	}
	run := swap{Direction: clmath.Direction{AToB: quote.AToB}, price: decoded.(*pool).price, liquidity: decoded.(*pool).liquidity, rest: quote.In}
	if err := run.run(decoded.(*pool), now); err != nil {
		panic(err)
	}
	tick := tickAt(run.price)
	if run.liquidity != (clmath.Uint128{Lo: s.liquidityAt(tick)}) {
		tick-- // it stands on a tick that was crossed downwards
	}
	written := maps.Clone(accounts)
	written[poolKey] = s.with(func(s *state) { s.tick, s.price = tick, run.price }).poolAccount()
	return written
}

func bigOf(x clmath.Uint128) *big.Int {
	b := new(big.Int).SetUint64(x.Hi)
	return b.Add(b.Lsh(b, 64), new(big.Int).SetUint64(x.Lo))
}
