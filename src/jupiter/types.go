package jupiter

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/gagliardetto/solana-go"
)

// Swap modes of a quote.
const (
	ExactIn  = "ExactIn"
	ExactOut = "ExactOut"
)

// Quote is the answer of GET /quote (swap API v1). Whoever only passes a quote on must not decode it: Jupiter adds fields
// without notice and /swap needs them back. This type is for those who make quotes or look into them.
type Quote struct {
	InputMint  string `json:"inputMint"`
	InAmount   uint64 `json:"inAmount,string"`
	OutputMint string `json:"outputMint"`
	// OutAmount is after all fees and before slippage.
	OutAmount uint64 `json:"outAmount,string"`
	// OtherAmountThreshold is the least output (ExactIn) or the greatest input (ExactOut) that slippage may lead to.
	OtherAmountThreshold uint64       `json:"otherAmountThreshold,string"`
	SwapMode             string       `json:"swapMode"`
	SlippageBps          uint16       `json:"slippageBps"`
	PlatformFee          *PlatformFee `json:"platformFee"`
	// PriceImpactPct is a ratio despite its name: "0.001" is 0.1 %.
	PriceImpactPct string          `json:"priceImpactPct"`
	RoutePlan      []RoutePlanStep `json:"routePlan"`
	ContextSlot    uint64          `json:"contextSlot"`
	// TimeTaken is in seconds.
	TimeTaken float64 `json:"timeTaken"`
}

// PlatformFee is the integrator's fee, taken from the output.
type PlatformFee struct {
	Amount uint64 `json:"amount,string"`
	FeeBps uint16 `json:"feeBps"`
}

// RoutePlanStep is one swap of a route, in topological order. Percent is the share of the step's input token that it
// takes; a quote for V2 instructions has Bps instead.
type RoutePlanStep struct {
	SwapInfo SwapInfo `json:"swapInfo"`
	Percent  *uint8   `json:"percent"`
	Bps      *uint16  `json:"bps"`
}

// SwapInfo says what one step does with its pool.
type SwapInfo struct {
	AmmKey     string `json:"ammKey"`
	Label      string `json:"label"`
	InputMint  string `json:"inputMint"`
	OutputMint string `json:"outputMint"`
	InAmount   uint64 `json:"inAmount,string"`
	OutAmount  uint64 `json:"outAmount,string"`
}

// SwapRequest is the body of POST /swap and POST /swap-instructions, as far as a server of our own routes honours it.
type SwapRequest struct {
	UserPublicKey                 string          `json:"userPublicKey"`
	QuoteResponse                 json.RawMessage `json:"quoteResponse"`
	Payer                         string          `json:"payer,omitempty"`
	WrapAndUnwrapSol              *bool           `json:"wrapAndUnwrapSol,omitempty"`
	DestinationTokenAccount       string          `json:"destinationTokenAccount,omitempty"`
	AsLegacyTransaction           bool            `json:"asLegacyTransaction,omitempty"`
	DynamicComputeUnitLimit       bool            `json:"dynamicComputeUnitLimit,omitempty"`
	SkipUserAccountsRPCCalls      bool            `json:"skipUserAccountsRpcCalls,omitempty"`
	ComputeUnitPriceMicroLamports json.RawMessage `json:"computeUnitPriceMicroLamports,omitempty"`
	PrioritizationFeeLamports     json.RawMessage `json:"prioritizationFeeLamports,omitempty"`
}

// SwapResponse is the answer of POST /swap.
type SwapResponse struct {
	// SwapTransaction is an unsigned transaction, base64.
	SwapTransaction           string `json:"swapTransaction"`
	LastValidBlockHeight      uint64 `json:"lastValidBlockHeight"`
	PrioritizationFeeLamports uint64 `json:"prioritizationFeeLamports"`
	ComputeUnitLimit          uint32 `json:"computeUnitLimit"`
	PrioritizationType        any    `json:"prioritizationType,omitempty"`
	DynamicSlippageReport     any    `json:"dynamicSlippageReport"`
	SimulationError           any    `json:"simulationError"`
}

// SwapInstructions is the answer of POST /swap-instructions.
type SwapInstructions struct {
	TokenLedgerInstruction      *Instruction  `json:"tokenLedgerInstruction"`
	ComputeBudgetInstructions   []Instruction `json:"computeBudgetInstructions"`
	SetupInstructions           []Instruction `json:"setupInstructions"`
	SwapInstruction             Instruction   `json:"swapInstruction"`
	CleanupInstruction          *Instruction  `json:"cleanupInstruction"`
	OtherInstructions           []Instruction `json:"otherInstructions"`
	AddressLookupTableAddresses []string      `json:"addressLookupTableAddresses"`
	PrioritizationFeeLamports   uint64        `json:"prioritizationFeeLamports"`
	ComputeUnitLimit            uint32        `json:"computeUnitLimit"`
	DynamicSlippageReport       any           `json:"dynamicSlippageReport"`
	SimulationError             any           `json:"simulationError"`
}

// Instruction is a Solana instruction in JSON; Data is base64.
type Instruction struct {
	ProgramID string        `json:"programId"`
	Accounts  []AccountMeta `json:"accounts"`
	Data      string        `json:"data"`
}

// NewSwapInstructions puts a swap's instructions into the fields that clients run in this order: compute budget, setup, swap, cleanup, others.
// All swaps but the last are therefore part of the setup. There is room for one cleanup.
func NewSwapInstructions(budget, setup, swaps, cleanup, other []solana.Instruction) (*SwapInstructions, error) {
	if len(cleanup) > 1 {
		return nil, Errorf(http.StatusBadRequest, CodeNotSupported,
			"a platform fee together with unwrapping SOL does not fit the one cleanupInstruction: set wrapAndUnwrapSol to false, or use /swap")
	}
	last := len(swaps) - 1
	s := &SwapInstructions{AddressLookupTableAddresses: []string{}}
	var ending []Instruction
	for _, field := range []struct {
		list *[]Instruction
		of   []solana.Instruction
	}{
		{&s.ComputeBudgetInstructions, budget}, {&s.SetupInstructions, slices.Concat(setup, swaps[:last])}, {&s.OtherInstructions, other},
		{&ending, slices.Concat(swaps[last:], cleanup)},
	} {
		*field.list = []Instruction{}
		for _, i := range field.of {
			encoded, err := newInstruction(i)
			if err != nil {
				return nil, err
			}
			*field.list = append(*field.list, encoded)
		}
	}
	s.SwapInstruction = ending[0]
	if len(ending) > 1 {
		s.CleanupInstruction = &ending[1]
	}
	return s, nil
}

func newInstruction(i solana.Instruction) (Instruction, error) {
	data, err := i.Data()
	if err != nil {
		return Instruction{}, fmt.Errorf("encoding an instruction of %s: %w", i.ProgramID(), err)
	}
	encoded := Instruction{ProgramID: i.ProgramID().String(), Accounts: []AccountMeta{}, Data: base64.StdEncoding.EncodeToString(data)}
	for _, a := range i.Accounts() {
		encoded.Accounts = append(encoded.Accounts, AccountMeta{Pubkey: a.PublicKey.String(), IsSigner: a.IsSigner, IsWritable: a.IsWritable})
	}
	return encoded, nil
}

// AccountMeta is one account of an Instruction.
type AccountMeta struct {
	Pubkey     string `json:"pubkey"`
	IsSigner   bool   `json:"isSigner"`
	IsWritable bool   `json:"isWritable"`
}

// Price is one entry of GET /price/v3. A mint without a price has no entry at all.
type Price struct {
	USDPrice json.Number `json:"usdPrice"`
	// BlockID behaves like a slot. It is the only sign of freshness: the answer has no time.
	BlockID  uint64 `json:"blockId"`
	Decimals uint8  `json:"decimals"`
	// PriceChange24h is in percent.
	PriceChange24h *json.Number `json:"priceChange24h,omitempty"`
	Liquidity      *json.Number `json:"liquidity,omitempty"`
	// CreatedAt is when the token was created, not the price.
	CreatedAt string `json:"createdAt,omitempty"`
}

// MaxPriceIDs is how many mints one GET /price/v3 may ask for.
const MaxPriceIDs = 50
