package svm

import (
	"encoding/json"
	"fmt"
)

// TransactionError is why a transaction was refused or failed. It encodes to JSON as the RPC's "err" does.
type TransactionError struct {
	// Name is the error of the whole transaction, such as AccountNotFound, or InstructionError.
	Name string
	// Account is the account's index in the message, of an InsufficientFundsForRent.
	Account int
	// Instruction and Cause belong to an InstructionError.
	Instruction int
	Cause       error
}

func (e *TransactionError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("Error processing Instruction %d: %v", e.Instruction, e.Cause)
	}
	if sentence, known := sentences[e.Name]; known {
		return sentence
	}
	return e.Name
}

// sentences are how nodes word the errors that clients look for.
var sentences = map[string]string{
	"AccountNotFound":         "Attempt to debit an account but found no record of a prior credit.",
	"BlockhashNotFound":       "Blockhash not found",
	"InsufficientFundsForFee": "Insufficient funds for fee",
	"ProgramAccountNotFound":  "Attempt to load a program that does not exist",
}

func (e *TransactionError) Unwrap() error { return e.Cause }

// MarshalJSON gives "AccountNotFound" or {"InstructionError":[2,{"Custom":6005}]}.
func (e *TransactionError) MarshalJSON() ([]byte, error) {
	switch {
	case e.Name == insufficientRent:
		return json.Marshal(map[string]any{e.Name: map[string]int{"account_index": e.Account}})
	case e.Cause == nil:
		return json.Marshal(e.Name)
	}
	return json.Marshal(map[string]any{e.Name: []any{e.Instruction, e.Cause}})
}

const insufficientRent = "InsufficientFundsForRent"

// Custom is a program's own error number.
type Custom uint32

func (c Custom) Error() string { return fmt.Sprintf("custom program error: 0x%x", uint32(c)) }

// MarshalJSON gives {"Custom":6005}.
func (c Custom) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]uint32{"Custom": uint32(c)})
}

// Builtin is one of the runtime's instruction errors, by its name in the RPC.
type Builtin string

func (b Builtin) Error() string { return string(b) }

// Errors of programs that more than one of them gives.
const (
	errNotEnoughKeys    = Builtin("NotEnoughAccountKeys")
	errInvalidData      = Builtin("InvalidInstructionData")
	errInvalidAccount   = Builtin("InvalidAccountData")
	errInvalidSeeds     = Builtin("InvalidSeeds")
	errMissingSignature = Builtin("MissingRequiredSignature")
	errIllegalOwner     = Builtin("IllegalOwner")
	errWrongProgram     = Builtin("IncorrectProgramId")
	errReadonly         = Builtin("ReadonlyDataModified")
	errUnsupported      = Builtin("UnsupportedProgramId")
	errOutOfUnits       = Builtin("ComputationalBudgetExceeded")
	errPanicked         = Builtin("ProgramFailedToComplete")
	errUninitialized    = Builtin("UninitializedAccount")
)
