package optimizer

import (
	"testing"

	"github.com/gagliardetto/solana-go"
)

// A quote comes back from a client, who may have written anything into it.
func FuzzParsedQuotesBalance(f *testing.F) {
	f.Add([]byte(`null`))
	f.Add([]byte(`{"inputMint":"` + wsol + `","outputMint":"` + usdc + `","inAmount":"5","outAmount":"7","swapMode":"ExactIn","slippageBps":50,"platformFee":{"amount":"1","feeBps":85},` +
		`"routePlan":[{"swapInfo":{"ammKey":"` + cpmmID.String() + `","inputMint":"` + wsol + `","outputMint":"` + usdc + `","inAmount":"5","outAmount":"8"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseQuote(raw)
		if err != nil {
			return
		}
		balance := map[solana.PublicKey]bool{r.input: true}
		var in, out uint64
		for _, s := range r.steps {
			if !balance[s.input] {
				t.Fatalf("a step takes %s, which nothing gave", s.input)
			}
			balance[s.output] = true
			if s.input == r.input {
				in += s.in
			}
			if s.output == r.output {
				out += s.out
			}
		}
		if in != r.in || out != r.gross || !r.exactOut && r.threshold > r.gross || r.exactOut && r.threshold < r.in {
			t.Errorf("%+v", r)
		}
	})
}
