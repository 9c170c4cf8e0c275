package optimizer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"
	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/routing"
)

const (
	maxSwapBody = 256 << 10
	swapTimeout = 10 * time.Second
	// unitsPerHop is the compute units of a hop where no simulation says better; setup and cleanup count as one more.
	unitsPerHop = 150_000
	// tablesInterval is how often address lookup tables, which can grow, are read anew.
	tablesInterval = time.Minute
)

// Jupiter's codes for swaps that cannot be built.
const (
	codeMarketNotFound = "MARKET_NOT_FOUND"
	codeSwapMetas      = "FAILED_TO_GET_SWAP_AND_ACCOUNT_METAS"
	codeTwoPrices      = "INVALID_COMPUTE_UNIT_PRICE_AND_PRIORITIZATION_FEE"
)

// swapRequest is the body of POST /swap as far as it is honoured. What would change the outcome and is not, is refused.
type swapRequest struct {
	jupiter.SwapRequest
	FeeAccount               string          `json:"feeAccount"`
	NativeDestinationAccount string          `json:"nativeDestinationAccount"`
	DynamicSlippage          json.RawMessage `json:"dynamicSlippage"`
}

// simulationError is Jupiter's shape of a transaction that would fail as things are.
type simulationError struct {
	ErrorCode string `json:"errorCode"`
	Error     string `json:"error"`
}

// draft is a swap that lacks nothing but its budget and a blockhash.
type draft struct {
	swap         chain.Swap
	instructions chain.Instructions
	envelope     chain.Envelope
	fee          feeRequest
	slippage     *slippageReport // nil where the quote's slippage holds
}

func (s *service) serveSwap(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), swapTimeout)
	defer cancel()
	response, err := s.swap(ctx, w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, response)
}

func (s *service) swap(ctx context.Context, w http.ResponseWriter, r *http.Request) (*jupiter.SwapResponse, error) {
	d, err := s.draft(ctx, w, r)
	if err != nil {
		return nil, err
	}
	var blockhash solana.Hash
	var lastValid uint64
	var g errgroup.Group
	g.Go(func() (err error) {
		blockhash, lastValid, err = s.rpc.LatestBlockhash(ctx)
		return err
	})
	budget, failure, priceErr := s.budget(ctx, d) // meanwhile; the node puts a blockhash in
	if err := g.Wait(); err != nil {
		return nil, unavailable(err)
	}
	d.envelope.Blockhash = blockhash
	if priceErr != nil {
		return nil, priceErr
	}
	tx, err := d.envelope.Build(append(budget.Instructions(), d.instructions.All()...))
	if err != nil {
		return nil, tooLarge(err)
	}
	data, err := tx.MarshalBinary()
	if err != nil {
		return nil, err
	}
	response := &jupiter.SwapResponse{
		SwapTransaction: base64.StdEncoding.EncodeToString(data), LastValidBlockHeight: lastValid,
		PrioritizationFeeLamports: budget.FeeLamports(), ComputeUnitLimit: budget.UnitLimit,
		PrioritizationType: map[string]any{"computeBudget": map[string]uint64{"microLamports": budget.MicroLamports, "estimatedMicroLamports": budget.MicroLamports}},
	}
	if failure != nil {
		response.SimulationError = failure
	}
	if d.slippage != nil {
		response.DynamicSlippageReport = d.slippage
	}
	return response, nil
}

func (s *service) serveSwapInstructions(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), swapTimeout)
	defer cancel()
	response, err := s.swapInstructions(ctx, w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, response)
}

func (s *service) swapInstructions(ctx context.Context, w http.ResponseWriter, r *http.Request) (*jupiter.SwapInstructions, error) {
	d, err := s.draft(ctx, w, r)
	if err != nil {
		return nil, err
	}
	budget, failure, err := s.budget(ctx, d)
	if err != nil {
		return nil, err
	}
	in := d.instructions
	response, err := jupiter.NewSwapInstructions(budget.Instructions(), in.Setup, in.Swaps, in.Cleanup, nil)
	if err != nil {
		return nil, err
	}
	response.PrioritizationFeeLamports, response.ComputeUnitLimit = budget.FeeLamports(), budget.UnitLimit
	for table := range d.envelope.Tables {
		response.AddressLookupTableAddresses = append(response.AddressLookupTableAddresses, table.String())
	}
	if failure != nil {
		response.SimulationError = failure
	}
	if d.slippage != nil {
		response.DynamicSlippageReport = d.slippage
	}
	return response, nil
}

// draft reads and checks a swap request, and builds everything that does not depend on the network's present fees.
func (s *service) draft(ctx context.Context, w http.ResponseWriter, r *http.Request) (*draft, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSwapBody))
	if err != nil {
		return nil, invalid("the body could not be read, or has more than %d bytes", maxSwapBody)
	}
	var req swapRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, invalid("the body is not a swap request: %v", err)
	}
	d := &draft{}
	if d.fee, err = parseFeeRequest(&req); err != nil {
		return nil, err
	}
	keys := map[string]*solana.PublicKey{"userPublicKey": &d.swap.User, "payer": &d.swap.Payer, "destinationTokenAccount": &d.swap.Destination}
	var feeAccount solana.PublicKey
	keys["feeAccount"] = &feeAccount
	for name, text := range map[string]string{"userPublicKey": req.UserPublicKey, "payer": req.Payer, "destinationTokenAccount": req.DestinationTokenAccount, "feeAccount": req.FeeAccount} {
		if text == "" && name != "userPublicKey" {
			continue
		}
		if *keys[name], err = solana.PublicKeyFromBase58(text); err != nil {
			return nil, invalid("%s is not a base58 public key", name)
		}
	}
	if req.Payer == "" {
		d.swap.Payer = d.swap.User
	}
	if req.NativeDestinationAccount != "" {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "nativeDestinationAccount is not supported: use destinationTokenAccount")
	}
	d.swap.WrapSOL = req.WrapAndUnwrapSol == nil || *req.WrapAndUnwrapSol
	d.envelope = chain.Envelope{Payer: d.swap.Payer, Legacy: req.AsLegacyTransaction}
	if t := s.tables.Load(); t != nil && !d.envelope.Legacy {
		d.envelope.Tables = *t
	}

	st, err := s.current()
	if err != nil {
		return nil, err
	}
	quote, err := parseQuote(req.QuoteResponse)
	if err != nil {
		return nil, err
	}
	wish, err := parseSlippageRequest(req.DynamicSlippage)
	if err != nil {
		return nil, err
	}
	if wish.asked {
		if d.slippage, err = s.fitSlippage(st, quote, wish); err != nil {
			return nil, err
		}
	}
	if err := st.fill(&d.swap, quote); err != nil {
		return nil, err
	}
	if quote.fee > 0 {
		if feeAccount.IsZero() {
			return nil, invalid("the quote has a platform fee: feeAccount is missing")
		}
		if !d.swap.Destination.IsZero() {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "a platform fee together with destinationTokenAccount is not supported")
		}
		d.swap.Fee = &chain.Fee{Account: feeAccount, Amount: quote.fee}
	}
	accounts, err := d.swap.TokenAccounts()
	if err != nil {
		return nil, err
	}
	if !req.SkipUserAccountsRPCCalls {
		if err := s.checkAccounts(ctx, &d.swap, accounts); err != nil {
			return nil, err
		}
	}
	if d.instructions, err = d.swap.Instructions(accounts); err != nil {
		return nil, jupiter.Errorf(http.StatusBadRequest, codeSwapMetas, "the swap cannot be built: %v", err)
	}
	return d, nil
}

// checkAccounts finds out which of the user's token accounts exist, and that the accounts of others can take the output.
func (s *service) checkAccounts(ctx context.Context, swap *chain.Swap, accounts map[solana.PublicKey]solana.PublicKey) error {
	var keys []solana.PublicKey
	for _, account := range accounts {
		keys = append(keys, account)
	}
	named := map[string]solana.PublicKey{}
	if !swap.Destination.IsZero() {
		named["destinationTokenAccount"] = swap.Destination
	}
	if swap.Fee != nil {
		named["feeAccount"] = swap.Fee.Account
	}
	for _, key := range named {
		keys = append(keys, key)
	}
	found, err := s.rpc.Accounts(ctx, keys)
	if err != nil {
		return unavailable(err)
	}
	swap.Exists = map[solana.PublicKey]bool{}
	for i, a := range found {
		swap.Exists[keys[i]] = a != nil
		for name, key := range named {
			if key == keys[i] && (a == nil || len(a.Data) < 165 || solana.PublicKeyFromBytes(a.Data[:32]) != swap.OutputMint) {
				return invalid("%s is no token account of the output mint", name)
			}
		}
	}
	return nil
}

// budget simulates the swap for its compute units and prices them. The failure is the transaction's own.
func (s *service) budget(ctx context.Context, d *draft) (chain.Budget, *simulationError, error) {
	budget := chain.Budget{UnitLimit: chain.MaxComputeUnits, MicroLamports: 1}
	tx, err := d.envelope.Build(append(budget.Instructions(), d.instructions.All()...))
	if err != nil {
		return budget, nil, tooLarge(err)
	}
	var g errgroup.Group
	var fees []uint64
	if d.fee.percentile > 0 {
		g.Go(func() error {
			var err error
			if fees, err = s.rpc.RecentPriorityFees(ctx, writable(d.instructions.Swaps)); err != nil {
				s.log.Warn("recent priority fees are unknown; the least is offered", "error", err)
			}
			return nil
		})
	}
	sim, err := s.rpc.Simulate(ctx, tx)
	_ = g.Wait() // it returns no error
	var failure *simulationError
	budget.UnitLimit = uint32(min(chain.MaxComputeUnits, unitsPerHop*(len(d.swap.Hops)+1)))
	switch {
	case err != nil:
		s.log.Warn("swap was not simulated; its compute units are estimated", "error", err)
	case sim.Failure != "":
		failure = &simulationError{"TRANSACTION_ERROR", sim.Failure}
	default:
		budget.UnitLimit = uint32(min(chain.MaxComputeUnits, sim.UnitsConsumed*11/10+1000))
	}
	budget.MicroLamports = d.fee.price(fees, s.feeMultiplier, budget.UnitLimit)
	return budget, failure, nil
}

func writable(instructions []solana.Instruction) (keys []solana.PublicKey) {
	seen := map[solana.PublicKey]bool{}
	for _, i := range instructions {
		for _, a := range i.Accounts() {
			if a.IsWritable && !seen[a.PublicKey] {
				seen[a.PublicKey] = true
				keys = append(keys, a.PublicKey)
			}
		}
	}
	return keys
}

// fits reports whether a plan's transaction would be small enough for any user: with all token accounts to create, SOL to wrap and
// a fee to pay, but paid for by the user himself.
func (s *service) fits(st *state, req jupiter.QuoteRequest, p *routing.Plan) bool {
	swap := chain.Swap{User: stranger(solana.PublicKey{}, 1), InputMint: req.InputMint, OutputMint: req.OutputMint, Input: p.In, WrapSOL: true}
	swap.Payer = swap.User
	accounts := map[solana.PublicKey]solana.PublicKey{}
	for _, l := range p.Legs {
		swap.Hops = append(swap.Hops, chain.Hop{Pool: strangersPool{l.Pool, &st.instructions}, Quote: l.Quote, Threshold: 1})
		accounts[l.Input], accounts[l.Output] = stranger(l.Input, 2), stranger(l.Output, 2)
		if l.Quote.ExactOut {
			swap.Hops[len(swap.Hops)-1].Threshold = l.Quote.In
		}
	}
	if req.PlatformFeeBps > 0 {
		swap.Fee = &chain.Fee{Account: stranger(req.OutputMint, 3), Amount: 1}
	}
	in, err := swap.Instructions(accounts)
	if err != nil {
		return false
	}
	e := chain.Envelope{Payer: swap.Payer}
	if t := s.tables.Load(); t != nil {
		e.Tables = *t
	}
	bytes, locked, err := e.Size(append(chain.Budget{UnitLimit: 1, MicroLamports: 1}.Instructions(), in.All()...))
	return err == nil && bytes <= chain.MaxTransactionBytes && locked <= chain.MaxLockedAccounts
}

// strangersPool is a pool whose swap instruction is made once for each of its forms: how many accounts and bytes a stranger's has does not depend
// on amounts, and deriving its addresses takes longer than the search.
type strangersPool struct {
	amm.Pool
	made *sync.Map // solana.Instruction by strangersSwap
}

type strangersSwap struct {
	pool           solana.PublicKey
	aToB, exactOut bool
	arrays         uint8
}

func (p strangersPool) SwapInstruction(q amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	form := strangersSwap{p.Info().Address, q.AToB, q.ExactOut, q.Arrays}
	if made, ok := p.made.Load(form); ok {
		return made.(solana.Instruction), nil
	}
	made, err := p.Pool.SwapInstruction(q, swap)
	if err == nil {
		p.made.Store(form, made)
	}
	return made, err
}

// stranger is a key that no account has, different for each key and n.
func stranger(key solana.PublicKey, n byte) solana.PublicKey {
	for i := range key {
		key[i] ^= 0xa5 + n
	}
	return key
}

// followTables keeps the address lookup tables read until ctx ends.
func (s *service) followTables(ctx context.Context, keys []solana.PublicKey) error {
	for {
		if len(keys) > 0 {
			tables, err := s.rpc.LookupTables(ctx, keys)
			if err != nil {
				s.log.Warn("address lookup tables could not be read; the last ones stay in use", "error", err)
			} else {
				s.tables.Store(&tables)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tablesInterval):
		}
	}
}

func invalid(format string, args ...any) error {
	return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, format, args...)
}

func unavailable(err error) error {
	if errors.Is(err, chain.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeUpstreamUnavailable, "the Solana RPC does not answer: try again")
	}
	return err
}

func tooLarge(err error) error {
	if e, ok := errors.AsType[*chain.TooLargeError](err); ok {
		return jupiter.Errorf(http.StatusBadRequest, codeSwapMetas, "%v: ask for a quote with a smaller maxAccounts", e)
	}
	return err
}
