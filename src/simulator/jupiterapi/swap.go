package jupiterapi

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

const (
	maxBodyBytes = 1 << 20
	maxUnits     = 1_400_000
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
	s                   *market.Snapshot
	recent              *market.Snapshot // whose blockhash every node knows, whatever commitment it is asked at
	market              *market.Market
	quote               jupiter.Quote
	user, payer         solana.PublicKey
	feeAccount          solana.PublicKey
	destination         solana.PublicKey // zero for the user's associated account
	wrap                bool
	budget              []solana.Instruction
	setup, swaps, after []solana.Instruction // after is in order: platform fee, then closing wrapped SOL
	tip                 []solana.Instruction
	priority            priority
	unitLimit           uint32
	simulated           bool
	simulationError     any
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
	if err != nil || len(raw) > svm.MaxTransactionBytes {
		return nil, badSwap("the transaction is too large: %d bytes, at most %d are allowed", len(raw), svm.MaxTransactionBytes)
	}
	return struct {
		jupiter.SwapResponse
		SimulationSlot *uint64 `json:"simulationSlot"`
	}{SwapResponse: jupiter.SwapResponse{
		SwapTransaction: base64.StdEncoding.EncodeToString(raw), LastValidBlockHeight: b.recent.LastValidHeight(),
		PrioritizationFeeLamports: b.priority.lamports(b.unitLimit), ComputeUnitLimit: b.unitLimit,
		PrioritizationType: b.priority.describe(b.unitLimit), SimulationError: b.simulationError,
	}, SimulationSlot: b.simulationSlot()}, nil
}

func (h *Handler) swapInstructions(r *http.Request) (any, error) {
	b, _, err := h.build(r)
	if err != nil {
		return nil, err
	}
	if len(b.after) > 1 {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported,
			"a platform fee and unwrapping SOL do not fit one cleanup instruction: use /swap, or wrapAndUnwrapSol false")
	}
	last := len(b.swaps) - 1
	out := struct {
		jupiter.SwapInstructions
		PrioritizationType   any `json:"prioritizationType"`
		BlockhashMetadata    any `json:"blockhashWithMetadata"`
		DynamicSlippage      any `json:"dynamicSlippageReport"`
		SimulationSlot       any `json:"simulationSlot"`
		AddressesByLookupKey any `json:"addressesByLookupTableAddress"`
	}{
		SwapInstructions: jupiter.SwapInstructions{
			ComputeBudgetInstructions: encodeAll(b.budget), OtherInstructions: encodeAll(b.tip),
			// One program call per pool: all but the last come before "the" swap.
			SetupInstructions: encodeAll(append(b.setup, b.swaps[:last]...)), SwapInstruction: encode(b.swaps[last]),
			AddressLookupTableAddresses: []string{}, PrioritizationFeeLamports: b.priority.lamports(b.unitLimit), ComputeUnitLimit: b.unitLimit,
			SimulationError: b.simulationError,
		},
		PrioritizationType: b.priority.describe(b.unitLimit),
		SimulationSlot:     b.simulationSlot(),
		BlockhashMetadata: map[string]any{
			"blockhash": asNumbers(b.recent.Blockhash[:]), "lastValidBlockHeight": b.recent.LastValidHeight(),
			"fetchedAt": map[string]int64{"secs_since_epoch": b.recent.Time.Unix(), "nanos_since_epoch": int64(b.recent.Time.Nanosecond())},
		},
	}
	if len(b.after) == 1 {
		cleanup := encode(b.after[0])
		out.CleanupInstruction = &cleanup
	}
	return out, nil
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
	b := &build{s: heads[market.Processed], recent: heads[market.Finalized], market: h.market, wrap: req.WrapAndUnwrapSol == nil || *req.WrapAndUnwrapSol, unitLimit: maxUnits}
	for _, field := range []struct {
		name, text string
		key        *solana.PublicKey
	}{
		{"userPublicKey", req.UserPublicKey, &b.user}, {"payer", req.Payer, &b.payer},
		{"feeAccount", req.FeeAccount, &b.feeAccount}, {"destinationTokenAccount", req.DestinationTokenAccount, &b.destination},
	} {
		if field.text == "" {
			continue
		}
		if *field.key, err = solana.PublicKeyFromBase58(field.text); err != nil {
			return nil, false, badSwap("%s is not a base58 public key", field.name)
		}
	}
	if b.user.IsZero() {
		return nil, false, badSwap("userPublicKey is missing")
	}
	if b.payer.IsZero() {
		b.payer = b.user
	}
	if len(req.QuoteResponse) == 0 || json.Unmarshal(req.QuoteResponse, &b.quote) != nil {
		return nil, false, badSwap("quoteResponse is missing or is no quote")
	}
	if b.priority, err = parsePriority(req.ComputeUnitPriceMicroLamports, req.PrioritizationFeeLamports); err != nil {
		return nil, false, err
	}
	if err := b.instructions(); err != nil {
		return nil, false, err
	}
	b.priority.estimate(b.market, b.s, b.quote)
	if req.DynamicComputeUnitLimit {
		if err := b.simulate(); err != nil {
			return nil, false, err
		}
	}
	b.setBudget()
	return b, req.AsLegacyTransaction, nil
}

// errMetas is what Jupiter says when a quote cannot be turned into instructions.
func errMetas(format string, args ...any) error {
	return jupiter.Errorf(http.StatusBadRequest, "FAILED_TO_GET_SWAP_AND_ACCOUNT_METAS", format, args...)
}

// instructions turns the quote into one swap per step, with the accounts and the wrapping they need.
//
// Between two pools there is no router here that would pass on what arrives, so the amount in the middle is fixed beforehand. Half of
// the slippage is spent on it: ExactIn sells a little less in the second pool than was quoted, ExactOut buys a little more in the
// first. The difference stays in the user's account of the middle token.
func (b *build) instructions() error {
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
	touched := []solana.PublicKey{mint}
	source := b.account(mint)
	if mint == solana.WrappedSol && b.wrap {
		b.setup = append(b.setup, b.createAccount(mint), transferSOL(b.user, source, in), syncNative(source))
	}
	for i, step := range steps {
		pool := b.pool(step.SwapInfo.AmmKey)
		if pool == nil {
			return jupiter.Errorf(http.StatusBadRequest, "MARKET_NOT_FOUND", "Market %s not found", step.SwapInfo.AmmKey)
		}
		next, ok := across(pool, mint)
		if !ok {
			return errMetas("step %d: pool %s does not trade %s", i, step.SwapInfo.AmmKey, mint)
		}
		destination := b.account(next)
		if last := i == len(steps)-1; last && !b.destination.IsZero() {
			destination = b.destination
		} else {
			b.setup = append(b.setup, b.createAccount(next))
		}
		aToB := pool.Info().Mints[0] == mint
		req := amm.Request{AToB: aToB, Amount: legs[i].in}
		swap := amm.Swap{User: b.user, Source: source, Destination: destination, Threshold: legs[i].out}
		if exactOut {
			req, swap.Threshold = amm.Request{AToB: aToB, ExactOut: true, Amount: legs[i].out}, legs[i].in
		}
		quote, err := pool.Quote(b.s.Clock(), req)
		if err != nil {
			return errMetas("step %d: %v", i, err)
		}
		instruction, err := pool.SwapInstruction(quote, swap)
		if err != nil {
			return errMetas("step %d: %v", i, err)
		}
		b.swaps = append(b.swaps, instruction)
		mint, source = next, destination
		touched = append(touched, next)
	}
	if mint.String() != q.OutputMint {
		return errMetas("the route ends at %s", mint)
	}
	if q.PlatformFee != nil {
		b.after = append(b.after, b.transferTokens(source, mint, b.feeAccount, q.PlatformFee.Amount))
	}
	for _, m := range touched {
		if m == solana.WrappedSol && b.wrap && (m != mint || b.destination.IsZero()) {
			b.after = append(b.after, closeAccount(b.account(m), b.user))
		}
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

// program is the token program of a mint of the market.
func (b *build) program(mint solana.PublicKey) solana.PublicKey {
	if t := b.market.Token(mint); t != nil {
		return t.Program
	}
	return solana.TokenProgramID
}

func (b *build) account(mint solana.PublicKey) solana.PublicKey {
	return svm.AssociatedAddress(b.user, mint, b.program(mint))
}

// createAccount makes the user's associated account, or does nothing if there is one.
func (b *build) createAccount(mint solana.PublicKey) solana.Instruction {
	return solana.NewInstruction(solana.SPLAssociatedTokenAccountProgramID, solana.AccountMetaSlice{
		solana.Meta(b.payer).SIGNER().WRITE(), solana.Meta(b.account(mint)).WRITE(), solana.Meta(b.user), solana.Meta(mint),
		solana.Meta(solana.SystemProgramID), solana.Meta(b.program(mint)),
	}, []byte{1})
}

func transferSOL(from, to solana.PublicKey, lamports uint64) solana.Instruction {
	data := binary.LittleEndian.AppendUint64([]byte{2, 0, 0, 0}, lamports)
	return solana.NewInstruction(solana.SystemProgramID, solana.AccountMetaSlice{solana.Meta(from).SIGNER().WRITE(), solana.Meta(to).WRITE()}, data)
}

func syncNative(account solana.PublicKey) solana.Instruction {
	return solana.NewInstruction(solana.TokenProgramID, solana.AccountMetaSlice{solana.Meta(account).WRITE()}, []byte{17})
}

func closeAccount(account, owner solana.PublicKey) solana.Instruction {
	return solana.NewInstruction(solana.TokenProgramID, solana.AccountMetaSlice{
		solana.Meta(account).WRITE(), solana.Meta(owner).WRITE(), solana.Meta(owner).SIGNER(),
	}, []byte{9})
}

func (b *build) transferTokens(from, mint, to solana.PublicKey, amount uint64) solana.Instruction {
	data := binary.LittleEndian.AppendUint64([]byte{12}, amount)
	return solana.NewInstruction(b.program(mint), solana.AccountMetaSlice{
		solana.Meta(from).WRITE(), solana.Meta(mint), solana.Meta(to).WRITE(), solana.Meta(b.user).SIGNER(),
	}, append(data, b.market.Token(mint).Decimals))
}

// simulate sets the unit limit to a fifth above what the swap takes, or says why it fails.
func (b *build) simulate() error {
	b.setBudget()
	tx, err := b.transaction(false)
	if err != nil {
		return err
	}
	tx.Signatures = make([]solana.Signature, tx.Message.Header.NumRequiredSignatures)
	b.budget = nil
	outcome, _ := b.market.Simulate(b.s, tx)
	if outcome.Err != nil {
		b.simulationError = map[string]string{"errorCode": "TRANSACTION_ERROR", "error": outcome.Err.Error()}
		return nil
	}
	b.unitLimit = uint32(min(outcome.Units+outcome.Units/5, maxUnits))
	b.simulated = true
	return nil
}

func (b *build) simulationSlot() *uint64 {
	if !b.simulated {
		return nil
	}
	return &b.s.Slot
}

// setBudget makes the compute budget and tip instructions.
func (b *build) setBudget() {
	limit := binary.LittleEndian.AppendUint32([]byte{2}, b.unitLimit)
	b.budget = []solana.Instruction{solana.NewInstruction(solana.ComputeBudget, nil, limit)}
	if price := b.priority.microLamports(b.unitLimit); price > 0 {
		data := binary.LittleEndian.AppendUint64([]byte{3}, price)
		b.budget = append(b.budget, solana.NewInstruction(solana.ComputeBudget, nil, data))
	}
	b.tip = nil
	if b.priority.tipLamports > 0 {
		b.tip = []solana.Instruction{transferSOL(b.payer, jitoTipAccount, b.priority.tipLamports)}
	}
}

// transaction is the unsigned transaction, with room for its signatures.
func (b *build) transaction(legacy bool) (*solana.Transaction, error) {
	var all []solana.Instruction
	for _, part := range [][]solana.Instruction{b.budget, b.setup, b.swaps, b.after, b.tip} {
		all = append(all, part...)
	}
	tx, err := solana.NewTransaction(all, b.recent.Blockhash, solana.TransactionPayer(b.payer))
	if err != nil {
		return nil, errMetas("%v", err)
	}
	if !legacy {
		tx.Message.SetVersion(solana.MessageVersionV0)
	}
	return tx, nil
}

func encodeAll(instructions []solana.Instruction) []jupiter.Instruction {
	out := []jupiter.Instruction{}
	for _, i := range instructions {
		out = append(out, encode(i))
	}
	return out
}

func encode(i solana.Instruction) jupiter.Instruction {
	data, _ := i.Data() // given as bytes, it cannot fail
	out := jupiter.Instruction{ProgramID: i.ProgramID().String(), Accounts: []jupiter.AccountMeta{}, Data: base64.StdEncoding.EncodeToString(data)}
	for _, a := range i.Accounts() {
		out.Accounts = append(out.Accounts, jupiter.AccountMeta{Pubkey: a.PublicKey.String(), IsSigner: a.IsSigner, IsWritable: a.IsWritable})
	}
	return out
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
