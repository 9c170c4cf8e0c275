package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// smokeTimeout bounds all checks together.
const smokeTimeout = 20 * time.Second

// smoke starts the tier on free ports, does what an application does first, and stops. Its error is the check that failed.
func smoke(ctx context.Context, cfg config, _ *platform.Process) error {
	return withStack(ctx, cfg.freePorts(), func(ctx context.Context, s *stack) error {
		ctx, cancel := context.WithTimeout(ctx, smokeTimeout)
		defer cancel()
		return check(ctx, s.url("GATEWAY_PORT"))
	})
}

// check asks a gateway a quote, a price and a swap transaction, and prints a line for each.
func check(ctx context.Context, gateway string) error {
	user, err := solana.NewRandomPrivateKey()
	if err != nil {
		return err
	}
	quoteJSON, err := call(ctx, http.MethodGet, fmt.Sprintf("%s/swap/v1/quote?inputMint=%s&outputMint=%s&amount=1000000000&slippageBps=50", gateway, solMint, usdcMint), nil)
	if err != nil {
		return fmt.Errorf("quote: %w", err)
	}
	var quote jupiter.Quote
	if err := json.Unmarshal(quoteJSON, &quote); err != nil {
		return fmt.Errorf("quote: %w in %s", err, quoteJSON)
	}
	if quote.InAmount != 1_000_000_000 || quote.OutAmount == 0 || len(quote.RoutePlan) == 0 {
		return fmt.Errorf("quote: not an answer to 1 SOL for USDC: %s", quoteJSON)
	}
	if want := (quote.OutAmount*(10_000-50) + 9_999) / 10_000; quote.OtherAmountThreshold != want {
		return fmt.Errorf("quote: otherAmountThreshold is %d, 50 bps below %d is %d", quote.OtherAmountThreshold, quote.OutAmount, want)
	}
	fmt.Printf("quote  1 SOL gives %d.%06d USDC over %s\n", quote.OutAmount/1e6, quote.OutAmount%1e6, quote.RoutePlan[0].SwapInfo.Label)

	raw, err := call(ctx, http.MethodGet, gateway+"/price/v3?ids="+solMint, nil)
	if err != nil {
		return fmt.Errorf("price: %w", err)
	}
	var prices map[string]jupiter.Price
	if err := json.Unmarshal(raw, &prices); err != nil {
		return fmt.Errorf("price: %w in %s", err, raw)
	}
	if usd, err := prices[solMint].USDPrice.Float64(); err != nil || usd <= 0 {
		return fmt.Errorf("price: SOL has none in %s", raw)
	}
	fmt.Printf("price  SOL is %s USD\n", prices[solMint].USDPrice)

	body, err := json.Marshal(map[string]any{"userPublicKey": user.PublicKey(), "quoteResponse": json.RawMessage(quoteJSON)})
	if err != nil {
		return err
	}
	raw, err = call(ctx, http.MethodPost, gateway+"/swap/v1/swap", body)
	if err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	var swap jupiter.SwapResponse
	if err := json.Unmarshal(raw, &swap); err != nil {
		return fmt.Errorf("swap: %w in %s", err, raw)
	}
	tx, err := solana.TransactionFromBase64(swap.SwapTransaction)
	if err != nil {
		return fmt.Errorf("swap: the transaction does not decode: %w", err)
	}
	if payer := tx.Message.AccountKeys[0]; payer != user.PublicKey() {
		return fmt.Errorf("swap: %s pays for the transaction, not the user", payer)
	}
	fmt.Printf("swap   a transaction of %d instructions, valid to block %d\n", len(tx.Message.Instructions), swap.LastValidBlockHeight)
	return nil
}

func call(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, jupiter.DecodeError(resp.StatusCode, answer)
	}
	return answer, nil
}
