package amm

import (
	"errors"
	"fmt"

	"github.com/gagliardetto/solana-go"
)

// Program is one deployed AMM program.
type Program interface {
	// ID is the program's address on this cluster.
	ID() solana.PublicKey
	// Label is the DEX name that Jupiter's /program-id-to-label gives, which clients use in dexes and excludeDexes.
	Label() string
	// Layout says how the program's pools are found among its accounts.
	Layout() Layout
	// Watch names every account that quotes of a pool depend on, the pool itself included, as far as accounts already
	// tells. The caller loads what is missing and asks again until nothing new is named; two or three rounds do, as a
	// tick array's address follows from the pool's bytes.
	Watch(pool solana.PublicKey, accounts Accounts) ([]solana.PublicKey, error)
	// Decode builds the pool's state from the accounts that Watch named. It copies what it keeps. Its errors are *DecodeError
	// for what is missing or malformed and *UnsupportedError for what is well-formed but cannot be quoted exactly.
	Decode(pool solana.PublicKey, accounts Accounts) (Pool, error)
}

// Layout is what getProgramAccounts filters on, in bytes of account data.
type Layout struct {
	// Size is the pool account's size; 0 where it varies.
	Size uint64
	// Discriminator is how a pool's data begins; empty where the program has none.
	Discriminator []byte
	// Mints are the offsets of the two mints.
	Mints [2]uint64
}

// Pool is the decoded, immutable state of one pool. It is safe for concurrent use.
type Pool interface {
	Info() *Info
	// Quote is what the program would do with req at clock: exact to the last unit, transfer fees of the two mints included.
	// Where the program has no exact-out, an ExactOut quote is the smallest input that gives at least the amount. A request that the
	// program would refuse is an error: one of the sentinels of this package. It allocates nothing.
	Quote(clock Clock, req Request) (Quote, error)
	// SpotPrice is the marginal output per input, in base units and before any fee, for an infinitely small trade. It is for
	// ranking and display only. 0 means that the direction has no liquidity.
	SpotPrice(aToB bool) float64
	// SwapInstruction builds the program's swap for a quote of this pool.
	SwapInstruction(quote Quote, swap Swap) (solana.Instruction, error)
	// SwapAccounts is how many different accounts the instruction of SwapInstruction locks at most, the program itself included.
	SwapAccounts(quote Quote) int
}

// Info is what a pool is, apart from its price.
type Info struct {
	Address, Program solana.PublicKey
	Label            string
	// Mints are the two tokens in the program's own order; A is the first.
	Mints         [2]solana.PublicKey
	TokenPrograms [2]solana.PublicKey
	Vaults        [2]solana.PublicKey
	Decimals      [2]uint8
}

// Clock is the chain's clock sysvar, on which fees, schedules and transfer fees depend.
type Clock struct {
	Slot, Epoch   uint64
	UnixTimestamp int64
}

// Request is one swap: A for B or B for A, with either side's amount given in base units.
type Request struct {
	AToB     bool
	ExactOut bool
	Amount   uint64
}

// Quote is the outcome of a swap.
type Quote struct {
	// Request is what was asked; its Amount, not In or Out, goes into the swap instruction.
	Request
	// In leaves the user and Out arrives, in base units, transfer fees of both mints inside. In can be less than an ExactIn request's amount,
	// where the program fills in part; Out can be more than an ExactOut request's, where the program has no exact-out. Out can be 0
	// where the program accepts that.
	In, Out uint64
	// FeeIn and FeeOut are the pool's fees in units of the input and of the output mint, without transfer fees.
	FeeIn, FeeOut uint64
	// Steps is how many initialised ticks or bins were crossed (0 within one), a measure of compute units.
	Steps uint16
	// Arrays is how many tick or bin arrays the swap needs, from the pool's present one onwards in the swap's direction.
	Arrays uint8
}

// Swap says whose accounts a swap instruction moves tokens between.
type Swap struct {
	User                solana.PublicKey
	Source, Destination solana.PublicKey
	// Threshold is the least output of an ExactIn quote, or the greatest input of an ExactOut one: the program fails beyond it.
	// A program without exact-out is given the whole threshold to swap, and fails below the quote's amount.
	Threshold uint64
}

// Account is one account as an RPC node returns it.
type Account struct {
	Owner    solana.PublicKey
	Lamports uint64
	Data     []byte
}

// Accounts are accounts of one moment. A key with a nil Account is known not to exist; a missing key has not been loaded.
type Accounts map[solana.PublicKey]*Account

// Quote errors. They are sentinels, so that refusing allocates nothing.
var (
	// ErrZeroAmount: nothing to swap, or nothing is left of it after fees.
	ErrZeroAmount = errors.New("amount is zero after fees")
	// ErrZeroOutput: the amount is too small to buy one unit, and the program refuses that.
	ErrZeroOutput = errors.New("output is zero")
	// ErrInsufficientLiquidity: the pool cannot fill the request.
	ErrInsufficientLiquidity = errors.New("insufficient liquidity")
	// ErrOverflow: an amount or an intermediate of the program does not fit its type.
	ErrOverflow = errors.New("arithmetic overflow")
	// ErrSwapDisabled: the pool's status forbids swaps.
	ErrSwapDisabled = errors.New("swaps are disabled")
	// ErrNotOpen: the pool opens later than the clock.
	ErrNotOpen = errors.New("pool is not open yet")
	// ErrExactOutUnsupported: the program has no exact-out swap and no exact inverse.
	ErrExactOutUnsupported = errors.New("exact-out is not supported")
	// ErrTransferFee: the inverse of a mint's transfer fee does not reproduce itself, which the program refuses.
	ErrTransferFee = errors.New("transfer fee has no exact inverse for this amount")
	// ErrArraysMissing: the swap runs past the tick or bin arrays that exist or may be passed.
	ErrArraysMissing = errors.New("tick or bin arrays exhausted")
	// ErrComputeBudget: the swap takes more steps than the compute units of one transaction can pay for.
	ErrComputeBudget = errors.New("too many steps for one transaction")
)

// DecodeError says which field of which account is missing or malformed. A pool that does not decode is set aside, never quoted.
type DecodeError struct {
	Account solana.PublicKey
	Field   string
	Reason  string
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("account %s: %s: %s", e.Account, e.Field, e.Reason)
}

// FrozenAccount is the Feature of an UnsupportedError about a vault that its mint's freeze authority has frozen.
const FrozenAccount = "frozen token account"

// UnsupportedError names a feature of a well-formed account that makes a pool's swaps fail, or not predictable by this project.
type UnsupportedError struct {
	Account solana.PublicKey
	Feature string
	Reason  string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("account %s: %s is not supported: %s", e.Account, e.Feature, e.Reason)
}
