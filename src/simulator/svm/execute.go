package svm

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Limits and prices of the runtime.
const (
	// MaxTransactionBytes is the size of a network packet less its headers.
	MaxTransactionBytes  = 1232
	lamportsPerSignature = 5000
	maxUnits             = 1_400_000
	// An instruction's share of the default compute unit limit.
	defaultUnits, defaultBuiltinUnits = 200_000, 3_000
)

// RentExemptLamports is what an account with dataLen bytes must hold: two years' rent at 3480 lamports per byte and year, 128
// bytes of overhead included.
func RentExemptLamports(dataLen int) uint64 { return uint64(128+dataLen) * 3480 * 2 }

// Outcome is what a transaction did.
type Outcome struct {
	// Err is a *TransactionError, or nil.
	Err error
	// Logs are program logs in the runtime's wording.
	Logs []string
	// Units are compute units: estimates per instruction, not a count of executed operations.
	Units uint64
	// FeeLamports is what the payer paid; 0 for a transaction that was refused before it ran.
	FeeLamports uint64
}

// Runtime executes transactions.
type Runtime struct {
	// CPMM is the Raydium CPMM deployment that swaps go to.
	CPMM amm.Program
}

// Execute runs tx over accounts at clock. A transaction that fails leaves only its fee behind; one that is refused leaves
// nothing. Signatures and the blockhash are the caller's to check.
//
// Checked are: sizes and indices of the message, that payer and programs exist, the fee, signers and writable accounts as far as the
// programs here touch them, token balances, mints, owners, slippage, the compute unit limit and rent exemption. Not
// checked are account locks, loaded-data size and the heap; address lookup tables do not exist.
func (r *Runtime) Execute(tx *solana.Transaction, accounts *Accounts, clock amm.Clock) Outcome {
	message := &tx.Message
	if err := Sanitize(tx); err != nil {
		return Outcome{Err: err}
	}
	budget, err := readBudget(message)
	if err != nil {
		return Outcome{Err: err}
	}
	fee := lamportsPerSignature*uint64(message.Header.NumRequiredSignatures) + budget.priorityFee()
	payer := accounts.Get(message.AccountKeys[0])
	if payer == nil {
		return Outcome{Err: &TransactionError{Name: "AccountNotFound"}}
	}
	if payer.Owner != solana.SystemProgramID || len(payer.Data) > 0 {
		return Outcome{Err: &TransactionError{Name: "InvalidAccountForFee"}}
	}
	if payer.Lamports < fee || payer.Lamports-fee > 0 && payer.Lamports-fee < RentExemptLamports(0) {
		return Outcome{Err: &TransactionError{Name: "InsufficientFundsForFee"}}
	}
	for _, instruction := range message.Instructions {
		if accounts.Get(message.AccountKeys[instruction.ProgramIDIndex]) == nil {
			return Outcome{Err: &TransactionError{Name: "ProgramAccountNotFound"}}
		}
	}

	accounts.Edit(message.AccountKeys[0]).Lamports -= fee
	run := &execution{runtime: r, accounts: accounts.fork(), clock: clock, unitLimit: budget.limit}
	out := Outcome{FeeLamports: fee}
	for i, instruction := range message.Instructions {
		if err := run.instruction(message, instruction); err != nil {
			out.Err = &TransactionError{Name: "InstructionError", Instruction: i, Cause: err}
			break
		}
	}
	if out.Err == nil {
		out.Err = run.checkRent(message, accounts)
	}
	if out.Err == nil {
		accounts.merge(run.accounts)
	}
	out.Logs, out.Units = run.logs, run.units
	return out
}

// Sanitize refuses what no validator would look at: counts and indices that do not fit together. Only what passes may be looked into.
func Sanitize(tx *solana.Transaction) error {
	message := &tx.Message
	header := message.Header
	keys := len(message.AccountKeys)
	bad := len(tx.Signatures) != int(header.NumRequiredSignatures) || header.NumRequiredSignatures == 0 ||
		int(header.NumRequiredSignatures)+int(header.NumReadonlyUnsignedAccounts) > keys ||
		header.NumReadonlySignedAccounts >= header.NumRequiredSignatures || keys > 256
	if len(message.AddressTableLookups) > 0 {
		return &TransactionError{Name: "AddressLookupTableNotFound"}
	}
	for _, instruction := range message.Instructions {
		bad = bad || instruction.ProgramIDIndex == 0 || int(instruction.ProgramIDIndex) >= keys
		for _, index := range instruction.Accounts {
			bad = bad || int(index) >= keys
		}
	}
	if bad {
		return &TransactionError{Name: "SanitizeFailure"}
	}
	seen := make(map[solana.PublicKey]bool, keys)
	for _, key := range message.AccountKeys {
		if seen[key] {
			return &TransactionError{Name: "AccountLoadedTwice"}
		}
		seen[key] = true
	}
	return nil
}

// budget is what the compute budget instructions ask for.
type budget struct {
	limit         uint64
	microLamports uint64 // per unit
}

func (b budget) priorityFee() uint64 {
	hi, lo := bits.Mul64(b.limit, b.microLamports)
	lo, carry := bits.Add64(lo, 999_999, 0)
	if hi += carry; hi >= 1_000_000 {
		return 1<<63 - 1 // more than anybody owns
	}
	fee, _ := bits.Div64(hi, lo, 1_000_000)
	return min(fee, 1<<63-1)
}

func readBudget(message *solana.Message) (budget, error) {
	var b budget
	var fallback uint64
	var limitSet, priceSet bool
	for i, instruction := range message.Instructions {
		program := message.AccountKeys[instruction.ProgramIDIndex]
		if program != solana.ComputeBudget {
			if program == solana.SystemProgramID {
				fallback += defaultBuiltinUnits
			} else {
				fallback += defaultUnits
			}
			continue
		}
		fallback += defaultBuiltinUnits
		fail := func(cause error) (budget, error) {
			return budget{}, &TransactionError{Name: "InstructionError", Instruction: i, Cause: cause}
		}
		data := instruction.Data
		switch {
		case len(data) == 5 && data[0] == 1 || len(data) == 5 && data[0] == 4: // heap frame, loaded data size
		case len(data) == 5 && data[0] == 2:
			if limitSet {
				return fail(Builtin("DuplicateInstruction"))
			}
			b.limit, limitSet = min(uint64(le32(data[1:])), maxUnits), true
		case len(data) == 9 && data[0] == 3:
			if priceSet {
				return fail(Builtin("DuplicateInstruction"))
			}
			b.microLamports, priceSet = le64(data[1:]), true
		default:
			return fail(errInvalidData)
		}
	}
	if !limitSet {
		b.limit = min(fallback, maxUnits)
	}
	return b, nil
}

// execution is one transaction under way.
type execution struct {
	runtime   *Runtime
	accounts  *Accounts
	clock     amm.Clock
	unitLimit uint64
	units     uint64
	logs      []string
}

// call is one instruction: a program's view of the transaction.
type call struct {
	*execution
	keys             []solana.PublicKey
	signer, writable []bool
	data             []byte
}

func (x *execution) instruction(message *solana.Message, compiled solana.CompiledInstruction) error {
	program := message.AccountKeys[compiled.ProgramIDIndex]
	c := &call{execution: x, data: compiled.Data}
	for _, index := range compiled.Accounts {
		key := message.AccountKeys[index]
		writable, err := message.IsWritable(key)
		if err != nil {
			return errReadonly
		}
		c.keys = append(c.keys, key)
		c.signer = append(c.signer, message.IsSigner(key))
		c.writable = append(c.writable, writable)
	}
	x.log("Program %s invoke [1]", program)
	before := x.units
	err := c.dispatch(program)
	if err == nil && x.units > x.unitLimit {
		err = errOutOfUnits
	}
	x.units = min(x.units, x.unitLimit)
	if program != solana.SystemProgramID && program != solana.ComputeBudget {
		x.log("Program %s consumed %d of %d compute units", program, x.units-before, x.unitLimit-before)
	}
	if err != nil {
		x.log("Program %s failed: %v", program, err)
		return err
	}
	x.log("Program %s success", program)
	return nil
}

func (c *call) dispatch(program solana.PublicKey) error {
	switch program {
	case solana.ComputeBudget:
		c.units += 150
		return nil
	case solana.SystemProgramID:
		return c.system()
	case solana.TokenProgramID, solana.Token2022ProgramID:
		return c.token(program)
	case solana.SPLAssociatedTokenAccountProgramID:
		return c.associatedToken()
	case solana.MemoProgramID:
		return c.memo()
	case c.runtime.CPMM.ID():
		return c.cpmm()
	}
	return errUnsupported
}

func (c *call) memo() error {
	for i := range c.keys {
		if !c.signer[i] {
			return errMissingSignature
		}
	}
	c.units += 5_000
	c.log("Program log: Memo (len %d): %q", len(c.data), c.data)
	return nil
}

func (x *execution) log(format string, args ...any) {
	x.logs = append(x.logs, fmt.Sprintf(format, args...))
}

// need checks how many accounts an instruction got.
func (c *call) need(n int) error {
	if len(c.keys) < n {
		return errNotEnoughKeys
	}
	return nil
}

// mutable checks that the accounts at indices may be written.
func (c *call) mutable(indices ...int) error {
	for _, i := range indices {
		if !c.writable[i] {
			return errReadonly
		}
	}
	return nil
}

// checkRent refuses a transaction that leaves an account it wrote between empty and rent-exempt, unless it was so before.
func (x *execution) checkRent(message *solana.Message, before *Accounts) error {
	for i, key := range message.AccountKeys {
		account, written := x.accounts.written[key]
		if !written || account.Lamports == 0 || account.Lamports >= RentExemptLamports(len(account.Data)) {
			continue
		}
		if old := before.Get(key); old != nil && old.Lamports < RentExemptLamports(len(old.Data)) && account.Lamports <= old.Lamports {
			continue
		}
		return &TransactionError{Name: insufficientRent, Account: i}
	}
	return nil
}

// Failed says whether err is an instruction's own failure, which still costs the fee.
func Failed(err error) bool {
	var e *TransactionError
	return errors.As(err, &e) && e.Cause != nil
}
