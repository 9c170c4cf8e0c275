package jupiterapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/system"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

const (
	maxBodyBytes = 1 << 20
	// autoMaxLamports is the most that an automatic priority fee comes to.
	autoMaxLamports = 5_000_000
)

// jitoTipAccount is one of the eight that Jito's block engine takes tips at.
var jitoTipAccount = solana.MustPublicKeyFromBase58("96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5")

// swapRequest has the fields of the body that jupiter.SwapRequest leaves out.
type swapRequest struct {
	jupiter.SwapRequest
	FeeAccount string `json:"feeAccount"`
}

// build is a swap under construction.
type build struct {
	s               *market.Snapshot
	recent          *market.Snapshot // whose blockhash every node knows, whatever commitment it is asked at
	market          *market.Market
	quote           jupiter.Quote
	swap            chain.Swap
	feeAccount      solana.PublicKey
	instructions    chain.Instructions
	priority        priority
	unitLimit       uint32
	simulated       bool
	simulationError any
}

func badSwap(format string, args ...any) error {
	return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, format, args...)
}

func (h *Handler) swap(r *http.Request) (any, error) {
	b, legacy, err := h.build(r)
	if err != nil {
		return nil, err
	}
	tx, err := b.transaction(legacy)
	if err != nil {
		return nil, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return struct {
		jupiter.SwapResponse
		SimulationSlot *uint64 `json:"simulationSlot"`
	}{SwapResponse: jupiter.SwapResponse{
		SwapTransaction: base64.StdEncoding.EncodeToString(raw), LastValidBlockHeight: b.recent.LastValidHeight(),
		PrioritizationFeeLamports: b.lamports(), ComputeUnitLimit: b.unitLimit,
		PrioritizationType: b.priority.describe(b.unitLimit), SimulationError: b.simulationError,
	}, SimulationSlot: b.simulationSlot()}, nil
}

func (h *Handler) swapInstructions(r *http.Request) (any, error) {
	b, _, err := h.build(r)
	if err != nil {
		return nil, err
	}
	in := b.instructions
	out, err := jupiter.NewSwapInstructions(b.budget().Instructions(), in.Setup, in.Swaps, in.Cleanup, b.tip())
	if err != nil {
		return nil, err
	}
	out.PrioritizationFeeLamports, out.ComputeUnitLimit, out.SimulationError = b.lamports(), b.unitLimit, b.simulationError
	return struct {
		*jupiter.SwapInstructions
		PrioritizationType   any `json:"prioritizationType"`
		BlockhashMetadata    any `json:"blockhashWithMetadata"`
		SimulationSlot       any `json:"simulationSlot"`
		AddressesByLookupKey any `json:"addressesByLookupTableAddress"`
	}{
		SwapInstructions:   out,
		PrioritizationType: b.priority.describe(b.unitLimit),
		SimulationSlot:     b.simulationSlot(),
		BlockhashMetadata: map[string]any{
			"blockhash": asNumbers(b.recent.Blockhash[:]), "lastValidBlockHeight": b.recent.LastValidHeight(),
			"fetchedAt": map[string]int64{"secs_since_epoch": b.recent.Time.Unix(), "nanos_since_epoch": int64(b.recent.Time.Nanosecond())},
		},
	}, nil
}

// build reads the request and makes the instructions.
func (h *Handler) build(r *http.Request) (*build, bool, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBodyBytes))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, false, jupiter.Errorf(http.StatusRequestEntityTooLarge, jupiter.CodeInvalidRequest, "the body has more than %d bytes", maxBodyBytes)
	} else if err != nil {
		return nil, false, badSwap("the body cannot be read")
	}
	var req swapRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, false, badSwap("the body is no swap request: %v", err)
	}
	heads := h.market.Heads()
	b := &build{s: heads[market.Processed], recent: heads[market.Finalized], market: h.market, unitLimit: chain.MaxComputeUnits}
	b.swap.WrapSOL = req.WrapAndUnwrapSol == nil || *req.WrapAndUnwrapSol
	for _, field := range []struct {
		name, text string
		key        *solana.PublicKey
	}{
		{"userPublicKey", req.UserPublicKey, &b.swap.User}, {"payer", req.Payer, &b.swap.Payer},
		{"feeAccount", req.FeeAccount, &b.feeAccount}, {"destinationTokenAccount", req.DestinationTokenAccount, &b.swap.Destination},
	} {
		if field.text == "" {
			continue
		}
		if *field.key, err = solana.PublicKeyFromBase58(field.text); err != nil {
			return nil, false, badSwap("%s is not a base58 public key", field.name)
		}
	}
	if b.swap.User.IsZero() {
		return nil, false, badSwap("userPublicKey is missing")
	}
	if b.swap.Payer.IsZero() {
		b.swap.Payer = b.swap.User
	}
	if len(req.QuoteResponse) == 0 || json.Unmarshal(req.QuoteResponse, &b.quote) != nil {
		return nil, false, badSwap("quoteResponse is missing or is no quote")
	}
	if b.priority, err = parsePriority(req.ComputeUnitPriceMicroLamports, req.PrioritizationFeeLamports); err != nil {
		return nil, false, err
	}
	if err := b.fill(); err != nil {
		return nil, false, err
	}
	b.priority.estimate(b.market, b.s, b.quote)
	if req.DynamicComputeUnitLimit {
		if err := b.simulate(); err != nil {
			return nil, false, err
		}
	}
	return b, req.AsLegacyTransaction, nil
}

// errMetas is what Jupiter says when a quote cannot be turned into instructions.
func errMetas(format string, args ...any) error {
	return jupiter.Errorf(http.StatusBadRequest, "FAILED_TO_GET_SWAP_AND_ACCOUNT_METAS", format, args...)
}

// fill turns the quote into one swap per step, with the accounts and the wrapping they need.
//
// Between two pools there is no router here that would pass on what arrives, so the amount in the middle is fixed beforehand. Half of
// the slippage is spent on it: ExactIn sells a little less in the second pool than was quoted, ExactOut buys a little more in the
// first. The difference stays in the user's account of the middle token.
func (b *build) fill() error {
	q := b.quote
	steps := q.RoutePlan
	if len(steps) == 0 || len(steps) > 2 || q.SlippageBps > oneInBps || q.InAmount == 0 || q.OutAmount == 0 {
		return errMetas("the quote has %d steps, amounts %d and %d and %d bps of slippage", len(steps), q.InAmount, q.OutAmount, q.SlippageBps)
	}
	exactOut := q.SwapMode == jupiter.ExactOut
	gross := q.OutAmount
	if q.PlatformFee != nil {
		if gross += q.PlatformFee.Amount; gross < q.OutAmount {
			return errMetas("the platform fee is too large")
		}
		if b.feeAccount.IsZero() {
			return badSwap("feeAccount is required, as the quote has a platform fee")
		}
	}
	// limits: what goes in, what is fixed in the middle, and what comes out.
	in, out := q.InAmount, atLeast(gross, q.SlippageBps)
	if exactOut {
		in, out = atMost(q.InAmount, q.SlippageBps), gross
	}
	var middle uint64
	if len(steps) == 2 {
		if middle = atLeast(steps[0].SwapInfo.OutAmount, q.SlippageBps/2); exactOut {
			middle = atMost(steps[0].SwapInfo.OutAmount, q.SlippageBps/2)
		}
	}
	first := amounts{in, middle}
	if len(steps) == 1 {
		first.out = out
	}
	legs := []amounts{first, {middle, out}}[:len(steps)]

	mint, err := solana.PublicKeyFromBase58(q.InputMint)
	if err != nil {
		return errMetas("inputMint is not a public key")
	}
	b.swap.InputMint, b.swap.Input = mint, in
	for i, step := range steps {
		pool := b.pool(step.SwapInfo.AmmKey)
		if pool == nil {
			return jupiter.Errorf(http.StatusBadRequest, "MARKET_NOT_FOUND", "Market %s not found", step.SwapInfo.AmmKey)
		}
		next, ok := across(pool, mint)
		if !ok {
			return errMetas("step %d: pool %s does not trade %s", i, step.SwapInfo.AmmKey, mint)
		}
		hop := chain.Hop{Pool: pool, Threshold: legs[i].out}
		req := amm.Request{AToB: pool.Info().Mints[0] == mint, Amount: legs[i].in}
		if exactOut {
			req.ExactOut, req.Amount, hop.Threshold = true, legs[i].out, legs[i].in
		}
		if hop.Quote, err = pool.Quote(b.s.Clock(), req); err != nil {
			return errMetas("step %d: %v", i, err)
		}
		b.swap.Hops = append(b.swap.Hops, hop)
		mint = next
	}
	if b.swap.OutputMint = mint; mint.String() != q.OutputMint {
		return errMetas("the route ends at %s", mint)
	}
	if q.PlatformFee != nil {
		if !b.swap.Destination.IsZero() {
			return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "a platform fee together with destinationTokenAccount is not supported")
		}
		b.swap.Fee = &chain.Fee{Account: b.feeAccount, Amount: q.PlatformFee.Amount}
	}
	accounts, err := b.swap.TokenAccounts()
	if err != nil {
		return errMetas("%v", err)
	}
	if b.instructions, err = b.swap.Instructions(accounts); err != nil {
		return errMetas("%v", err)
	}
	return nil
}

// amounts are the limits of one swap.
type amounts struct{ in, out uint64 }

func (b *build) pool(address string) amm.Pool {
	for _, pool := range b.s.Pools {
		if pool.Info().Address.String() == address {
			return pool
		}
	}
	return nil
}

// simulate sets the unit limit to a fifth above what the swap takes, or says why it fails.
func (b *build) simulate() error {
	tx, err := b.transaction(false)
	if err != nil {
		return err
	}
	outcome, _ := b.market.Simulate(b.s, tx)
	if outcome.Err != nil {
		b.simulationError = map[string]string{"errorCode": "TRANSACTION_ERROR", "error": outcome.Err.Error()}
		return nil
	}
	b.unitLimit = uint32(min(outcome.Units+outcome.Units/5, chain.MaxComputeUnits))
	b.simulated = true
	return nil
}

func (b *build) simulationSlot() *uint64 {
	if !b.simulated {
		return nil
	}
	return &b.s.Slot
}

func (b *build) budget() chain.Budget {
	return chain.Budget{UnitLimit: b.unitLimit, MicroLamports: b.priority.microLamports(b.unitLimit)}
}

// lamports is what the priority comes to, or the tip.
func (b *build) lamports() uint64 {
	if b.priority.tipLamports > 0 {
		return b.priority.tipLamports
	}
	return b.budget().FeeLamports()
}

func (b *build) tip() []solana.Instruction {
	if b.priority.tipLamports == 0 {
		return nil
	}
	return []solana.Instruction{system.NewTransferInstruction(b.priority.tipLamports, b.swap.Payer, jitoTipAccount).Build()}
}

// transaction is the unsigned transaction, with room for its signatures.
func (b *build) transaction(legacy bool) (*solana.Transaction, error) {
	envelope := chain.Envelope{Payer: b.swap.Payer, Blockhash: b.recent.Blockhash, Legacy: legacy}
	tx, err := envelope.Build(slices.Concat(b.budget().Instructions(), b.instructions.All(), b.tip()))
	if tooLarge := new(chain.TooLargeError); errors.As(err, &tooLarge) {
		return nil, badSwap("%v", err)
	}
	if err != nil {
		return nil, errMetas("%v", err)
	}
	return tx, nil
}

func asNumbers(b []byte) []int {
	out := make([]int, len(b))
	for i, v := range b {
		out[i] = int(v)
	}
	return out
}

var null = []byte("null")

func given(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, null) }
