package chain

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"

	"github.com/gagliardetto/solana-go"
	computebudget "github.com/gagliardetto/solana-go/programs/compute-budget"
	"github.com/gagliardetto/solana-go/programs/system"
	"github.com/gagliardetto/solana-go/programs/token"

	"jupiter-dex-integration/src/amm"
)

// Limits of one Solana transaction.
const (
	MaxTransactionBytes = 1232
	MaxLockedAccounts   = 64
	MaxComputeUnits     = 1_400_000
)

// Hop is one pool's swap within a Swap.
type Hop struct {
	Pool  amm.Pool
	Quote amm.Quote
	// Threshold is the least output of an ExactIn hop or the greatest input of an ExactOut one, which the program enforces.
	Threshold uint64
}

// InputMint is what the hop takes.
func (h *Hop) InputMint() solana.PublicKey { return h.mint(h.Quote.AToB) }

// OutputMint is what the hop gives.
func (h *Hop) OutputMint() solana.PublicKey { return h.mint(!h.Quote.AToB) }

func (h *Hop) mint(first bool) solana.PublicKey {
	if first {
		return h.Pool.Info().Mints[0]
	}
	return h.Pool.Info().Mints[1]
}

// Swap is what a transaction shall do for a user. Its hops run in order, each between the user's own token accounts.
//
// What the transaction guarantees: all hops happen or none; the user spends at most Input and, each hop enforcing its threshold, receives
// at least the sum of the last hops' thresholds. What it does not: a program is told a fixed amount, so a hop cannot take what its
// predecessor gave beyond the quote; the surplus stays in the user's account of the mint in between. And a predecessor that gives less
// than the next hop takes fails the transaction, unless the user already has the difference.
type Swap struct {
	User, Payer solana.PublicKey
	Hops        []Hop
	// Input is the most that the hops take of InputMint.
	Input                 uint64
	InputMint, OutputMint solana.PublicKey
	// WrapSOL funds a wrapped SOL account from the user's lamports where SOL is the input, and closes it into his lamports at the end where it is
	// any of the mints: all of it, not only what the swap brought.
	WrapSOL bool
	// Destination receives the output in place of the user's associated account. It must exist.
	Destination solana.PublicKey
	// Exists tells which associated token accounts need no creation.
	Exists map[solana.PublicKey]bool
	// Fee is taken from the output. It excludes Destination.
	Fee *Fee
}

// Fee is a transfer of the output mint to a third party.
type Fee struct {
	Account solana.PublicKey
	Amount  uint64
}

// Instructions do a Swap, in the order of the fields.
type Instructions struct {
	Setup, Swaps []solana.Instruction
	// Cleanup transfers the fee and closes the wrapped SOL account, if there are any.
	Cleanup []solana.Instruction
}

// All lists the instructions in order.
func (in Instructions) All() []solana.Instruction {
	return slices.Concat(in.Setup, in.Swaps, in.Cleanup)
}

// AssociatedTokenAddress is the user's associated account of a mint under a token program (SPL Token or Token-2022).
func AssociatedTokenAddress(user, tokenProgram, mint solana.PublicKey) (solana.PublicKey, error) {
	key, _, err := solana.FindProgramAddress([][]byte{user[:], tokenProgram[:], mint[:]}, solana.SPLAssociatedTokenAccountProgramID)
	return key, err
}

// TokenAccounts are the associated accounts of the user that the hops use, by mint.
func (s *Swap) TokenAccounts() (map[solana.PublicKey]solana.PublicKey, error) {
	accounts := map[solana.PublicKey]solana.PublicKey{}
	for _, h := range s.Hops {
		info := h.Pool.Info()
		for side, mint := range info.Mints {
			if _, ok := accounts[mint]; ok {
				continue
			}
			account, err := AssociatedTokenAddress(s.User, info.TokenPrograms[side], mint)
			if err != nil {
				return nil, err
			}
			accounts[mint] = account
		}
	}
	return accounts, nil
}

// Instructions builds a swap's instructions, given the user's token accounts by mint.
func (s *Swap) Instructions(accounts map[solana.PublicKey]solana.PublicKey) (Instructions, error) {
	var in Instructions
	if len(s.Hops) == 0 {
		return in, errors.New("a swap without hops")
	}
	done := map[solana.PublicKey]bool{}
	wrapped := false
	for _, h := range s.Hops {
		info := h.Pool.Info()
		for side, mint := range info.Mints {
			if done[mint] || mint == s.OutputMint && !s.Destination.IsZero() {
				continue
			}
			done[mint] = true
			wrap := s.WrapSOL && mint == solana.WrappedSol
			wrapped = wrapped || wrap
			if (mint != s.InputMint || wrap) && !s.Exists[accounts[mint]] {
				in.Setup = append(in.Setup, createAssociated(s.Payer, accounts[mint], s.User, mint, info.TokenPrograms[side]))
			}
		}
	}
	if wrapped && s.InputMint == solana.WrappedSol {
		in.Setup = append(in.Setup,
			system.NewTransferInstruction(s.Input, s.User, accounts[solana.WrappedSol]).Build(),
			token.NewSyncNativeInstruction(accounts[solana.WrappedSol]).Build())
	}
	for _, h := range s.Hops {
		info := h.Pool.Info()
		from, to := info.Mints[0], info.Mints[1]
		if !h.Quote.AToB {
			from, to = to, from
		}
		destination := accounts[to]
		if to == s.OutputMint && !s.Destination.IsZero() {
			destination = s.Destination
		}
		instruction, err := h.Pool.SwapInstruction(h.Quote, amm.Swap{User: s.User, Source: accounts[from], Destination: destination, Threshold: h.Threshold})
		if err != nil {
			return in, fmt.Errorf("swap instruction of pool %s: %w", info.Address, err)
		}
		in.Swaps = append(in.Swaps, instruction)
	}
	if s.Fee != nil {
		in.Cleanup = append(in.Cleanup, s.feeTransfer(accounts[s.OutputMint]))
	}
	if wrapped {
		in.Cleanup = append(in.Cleanup, token.NewCloseAccountInstruction(accounts[solana.WrappedSol], s.User, s.User, nil).Build())
	}
	return in, nil
}

func (s *Swap) feeTransfer(source solana.PublicKey) solana.Instruction {
	var program solana.PublicKey
	var decimals uint8
	for _, h := range s.Hops {
		for side, mint := range h.Pool.Info().Mints {
			if mint == s.OutputMint {
				program, decimals = h.Pool.Info().TokenPrograms[side], h.Pool.Info().Decimals[side]
			}
		}
	}
	return transferChecked(program, s.Fee.Amount, decimals, source, s.OutputMint, s.Fee.Account, s.User)
}

// transferChecked is the instruction of SPL Token and, at the same place, of Token-2022: tag 12, amount u64, decimals u8. solana-go's own
// builder is bound to one token program for the whole process.
func transferChecked(program solana.PublicKey, amount uint64, decimals uint8, source, mint, destination, owner solana.PublicKey) solana.Instruction {
	data := []byte{12}
	for i := range 8 {
		data = append(data, byte(amount>>(8*i)))
	}
	return solana.NewInstruction(program, solana.AccountMetaSlice{
		solana.Meta(source).WRITE(), solana.Meta(mint), solana.Meta(destination).WRITE(), solana.Meta(owner).SIGNER(),
	}, append(data, decimals))
}

// createAssociated is CreateIdempotent (tag 1) of the associated-token-account program; solana-go has only Create, which fails
// where the account exists.
func createAssociated(payer, account, owner, mint, tokenProgram solana.PublicKey) solana.Instruction {
	return solana.NewInstruction(solana.SPLAssociatedTokenAccountProgramID, solana.AccountMetaSlice{
		solana.Meta(payer).WRITE().SIGNER(), solana.Meta(account).WRITE(), solana.Meta(owner), solana.Meta(mint),
		solana.Meta(solana.SystemProgramID), solana.Meta(tokenProgram),
	}, []byte{1})
}

// Budget is what a transaction may use and pays for it.
type Budget struct {
	UnitLimit uint32
	// MicroLamports is the price of one compute unit.
	MicroLamports uint64
}

// Instructions are the compute-budget program's.
func (b Budget) Instructions() []solana.Instruction {
	instructions := []solana.Instruction{computebudget.NewSetComputeUnitLimitInstruction(b.UnitLimit).Build()}
	if b.MicroLamports > 0 {
		instructions = append(instructions, computebudget.NewSetComputeUnitPriceInstruction(b.MicroLamports).Build())
	}
	return instructions
}

// FeeLamports is the prioritization fee: the limit times the price, rounded up.
func (b Budget) FeeLamports() uint64 {
	hi, lo := bits.Mul64(uint64(b.UnitLimit), b.MicroLamports)
	lo, carry := bits.Add64(lo, 999_999, 0)
	if hi+carry >= 1_000_000 {
		return math.MaxUint64
	}
	fee, _ := bits.Div64(hi+carry, lo, 1_000_000)
	return fee
}

// TooLargeError means that a transaction does not fit the network's limits.
type TooLargeError struct{ Bytes, Accounts int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the transaction has %d bytes and %d accounts; %d and %d fit", e.Bytes, e.Accounts, MaxTransactionBytes, MaxLockedAccounts)
}

// Envelope is what turns instructions into a transaction.
type Envelope struct {
	Payer     solana.PublicKey
	Blockhash solana.Hash
	// Tables shorten a v0 transaction. A legacy one cannot have them.
	Tables map[solana.PublicKey]solana.PublicKeySlice
	Legacy bool
}

// Build makes an unsigned transaction, its signatures zero. The error is a *TooLargeError where it would not fit.
func (e Envelope) Build(instructions []solana.Instruction) (*solana.Transaction, error) {
	opts := []solana.TransactionOption{solana.TransactionPayer(e.Payer)}
	if !e.Legacy && len(e.Tables) > 0 {
		opts = append(opts, solana.TransactionAddressTables(e.Tables))
	}
	tx, err := solana.NewTransaction(instructions, e.Blockhash, opts...)
	if err != nil {
		return nil, fmt.Errorf("compiling the transaction: %w", err)
	}
	if !e.Legacy {
		tx.Message.SetVersion(solana.MessageVersionV0)
	}
	tx.Signatures = make([]solana.Signature, tx.Message.Header.NumRequiredSignatures)
	data, err := tx.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encoding the transaction: %w", err)
	}
	accounts := len(tx.Message.AccountKeys)
	for _, l := range tx.Message.AddressTableLookups {
		accounts += len(l.ReadonlyIndexes) + len(l.WritableIndexes)
	}
	if len(data) > MaxTransactionBytes || accounts > MaxLockedAccounts {
		return nil, &TooLargeError{len(data), accounts}
	}
	return tx, nil
}

// Size is how many bytes and accounts Build's transaction of the instructions has, without making it.
func (e Envelope) Size(instructions []solana.Instruction) (bytes, accounts int, err error) {
	type use struct{ signs, writes, runs bool }
	uses := make(map[solana.PublicKey]use, MaxLockedAccounts)
	uses[e.Payer] = use{signs: true, writes: true}
	compact := func(n int) int { // the bytes of a length
		switch {
		case n < 1<<7:
			return 1
		case n < 1<<14:
			return 2
		}
		return 3
	}
	bytes = compact(len(instructions))
	for _, i := range instructions {
		program := uses[i.ProgramID()]
		program.runs = true
		uses[i.ProgramID()] = program
		for _, a := range i.Accounts() {
			u := uses[a.PublicKey]
			u.signs, u.writes = u.signs || a.IsSigner, u.writes || a.IsWritable
			uses[a.PublicKey] = u
		}
		data, err := i.Data()
		if err != nil {
			return 0, 0, fmt.Errorf("encoding an instruction: %w", err)
		}
		bytes += 1 + compact(len(i.Accounts())) + len(i.Accounts()) + compact(len(data)) + len(data)
	}
	const header, blockhash, key, signature = 3, 32, 32, 64
	signers, static := 0, len(uses)
	if !e.Legacy {
		bytes++ // the version
		tables := 0
		for _, address := range slices.SortedFunc(maps.Keys(e.Tables), func(a, b solana.PublicKey) int { return slices.Compare(a[:], b[:]) }) {
			written, read := 0, 0
			for _, k := range e.Tables[address] {
				u, ok := uses[k]
				if !ok || u.signs || u.runs {
					continue
				}
				if delete(uses, k); u.writes { // the first table that has it gives it
					written++
				} else {
					read++
				}
			}
			if n := written + read; n > 0 {
				tables++
				bytes += key + compact(written) + compact(read) + n
				accounts += n
			}
		}
		bytes += compact(tables)
		static = len(uses)
	}
	for _, u := range uses {
		if u.signs {
			signers++
		}
	}
	return bytes + header + blockhash + compact(static) + static*key + compact(signers) + signers*signature, accounts + static, nil
}
