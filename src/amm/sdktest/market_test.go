package sdktest

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// now is the chain's clock in every market.
var now = amm.Clock{Slot: 302_400_000, Epoch: 700, UnixTimestamp: 1_760_000_000}

// market is one pool in a random valid state, with every account that its program and its SDK read.
type market struct {
	program  amm.Program
	pool     solana.PublicKey
	accounts amm.Accounts
	// traits are what sets the market apart, where its judge must know.
	traits map[string]bool
}

// prices asks an SDK for the prices of ticks, or of bins of a step, as the program's own tables give them.
type prices func(step uint16, indexes ...int32) []*big.Int

// dice draw markets. The same seed draws the same ones.
type dice struct{ *rand.Rand }

func roll(seed, pool uint64) dice { return dice{rand.New(rand.NewPCG(seed, pool))} }

func pick[T any](d dice, choices ...T) T { return choices[d.IntN(len(choices))] }

func (d dice) chance(p float64) bool { return d.Float64() < p }

// between includes both ends.
func (d dice) between(low, high int32) int32 { return low + d.Int32N(high-low+1) }

// upTo is from 1 to 2^bits, as likely to have few digits as many. It is for up to 63 bits.
func (d dice) upTo(bits int) uint64 { return 1 + d.Uint64()>>(63-d.IntN(bits)) }

// wide is from 1 to 2^bits, for up to 128 bits and mostly with as many.
func (d dice) wide(bits int) *big.Int {
	x := new(big.Int).SetUint64(d.Uint64())
	x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(d.Uint64()))
	return x.Add(x.Rsh(x, uint(128-bits)), big.NewInt(1))
}

func (d dice) key() (key solana.PublicKey) {
	for i := 0; i < len(key); i += 8 {
		binary.LittleEndian.PutUint64(key[i:], d.Uint64())
	}
	return key
}

// keys are in ascending order, as programs want the mints of a pool.
func (d dice) keys() [2]solana.PublicKey {
	a, b := d.key(), d.key()
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return [2]solana.PublicKey{a, b}
}

// vaults are what the vaults of input and output hold.
func (m market) vaults(pool amm.Pool, aToB bool) (in, out uint64) {
	keys := pool.Info().Vaults
	balance := func(key solana.PublicKey) uint64 { return binary.LittleEndian.Uint64(m.accounts[key].Data[64:]) }
	if aToB {
		return balance(keys[0]), balance(keys[1])
	}
	return balance(keys[1]), balance(keys[0])
}

// requests are n swaps of a pool in both directions and modes, half of them of any size, half as large as the pool can just fill. Swaps of more steps than
// a transaction can pay for are left out: an SDK goes on for minutes.
func (d dice) requests(pool amm.Pool, n int) (requests []amm.Request) {
	for range n {
		r := amm.Request{AToB: d.chance(0.5), ExactOut: d.chance(0.5)}
		if most := most(pool, r); d.chance(0.5) {
			r.Amount = 1 + d.Uint64N(most)
		} else {
			r.Amount = d.upTo(min(62, bits.Len64(most)+5))
		}
		if _, err := pool.Quote(now, r); err != amm.ErrComputeBudget {
			requests = append(requests, r)
		}
	}
	return requests
}

// most is above the largest amount of such a request that the pool can fill, by a factor of up to two.
func most(pool amm.Pool, request amm.Request) uint64 {
	for request.Amount = 1 << 61; request.Amount > 1; request.Amount >>= 1 {
		if _, err := pool.Quote(now, request); err == nil {
			break
		}
	}
	return 2 * request.Amount
}

// address derives a program's address and its bump.
func address(program solana.PublicKey, seeds ...[]byte) (solana.PublicKey, uint8) {
	key, bump, err := solana.FindProgramAddress(seeds, program)
	if err != nil {
		panic(err)
	}
	return key, bump
}

// image is an account's data, written by offset.
type image []byte

// newImage begins with a discriminator in hexadecimal.
func newImage(size int, discriminator string) image {
	data := make(image, size)
	if _, err := hex.Decode(data, []byte(discriminator)); err != nil {
		panic(err)
	}
	return data
}

func (m image) u8(at int, v uint8)               { m[at] = v }
func (m image) u16(at int, v uint16)             { binary.LittleEndian.PutUint16(m[at:], v) }
func (m image) u32(at int, v uint32)             { binary.LittleEndian.PutUint32(m[at:], v) }
func (m image) u64(at int, v uint64)             { binary.LittleEndian.PutUint64(m[at:], v) }
func (m image) key(at int, key solana.PublicKey) { copy(m[at:], key[:]) }

// i128 takes unsigned numbers, too.
func (m image) i128(at int, v *big.Int) {
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	var bytes [16]byte
	v.FillBytes(bytes[:])
	for i, b := range bytes {
		m[at+15-i] = b
	}
}

func (m image) owned(by solana.PublicKey) *amm.Account { return &amm.Account{Owner: by, Data: m} }

// Sizes and offsets of SPL Token's and Token-2022's accounts, and the Token-2022 extensions that are written.
const (
	mintLen    = 82
	accountLen = 165

	transferFeeConfig = 1
	transferFeeAmount = 2
	metadataPointer   = 18
)

// mint is one of SPL Token, or of Token-2022 and then likely with a transfer fee, which may change this epoch or never.
func (d dice) mint(classic bool) *amm.Account {
	data := make(image, mintLen)
	data.u64(36, math.MaxUint64)
	data.u8(44, uint8(d.IntN(13)))
	data.u8(45, 1)
	if classic {
		return data.owned(solana.TokenProgramID)
	}
	var extensions image
	if d.chance(0.3) {
		extensions = extension(extensions, metadataPointer, make(image, 64))
	}
	if d.chance(0.8) {
		config := make(image, 108)
		for i, at := range []int{72, 90} {
			config.u64(at, pick(d, 0, now.Epoch-1, now.Epoch, now.Epoch+1)*uint64(i))
			config.u64(at+8, pick(d, 0, 1, 5000, 1_000_000_000, d.upTo(62), math.MaxUint64))
			config.u16(at+16, pick[uint16](d, 0, 1, 30, 100, 500, uint16(d.IntN(10_001)), 9999, 10_000))
		}
		extensions = extension(extensions, transferFeeConfig, config)
	}
	if extensions != nil { // with the kind of account, a mint, where a token account ends
		data = slices.Concat(data, make(image, accountLen-mintLen), image{1}, extensions)
	}
	return data.owned(solana.Token2022ProgramID)
}

func extension(data image, kind uint16, value image) image {
	data = binary.LittleEndian.AppendUint16(data, kind)
	data = binary.LittleEndian.AppendUint16(data, uint16(len(value)))
	return append(data, value...)
}

// tokenAccount holds amount of mint.
func tokenAccount(key, owner solana.PublicKey, mint *amm.Account, amount uint64) *amm.Account {
	data := make(image, accountLen)
	data.key(0, key)
	data.key(32, owner)
	data.u64(64, amount)
	data.u8(108, 1)
	if len(mint.Data) > mintLen {
		data = append(data, 2) // an account
		data = extension(data, transferFeeAmount, make(image, 8))
	}
	return data.owned(mint.Owner)
}

// tokens adds two mints, both classic in half the markets, and the pool's vaults.
func (d dice) tokens(accounts amm.Accounts, mints, vaults [2]solana.PublicKey, owner solana.PublicKey, balances [2]uint64) {
	classic := d.chance(0.5)
	for i, mint := range mints {
		accounts[mint] = d.mint(classic || d.chance(0.3))
		accounts[vaults[i]] = tokenAccount(mint, owner, accounts[mint], balances[i])
	}
}
