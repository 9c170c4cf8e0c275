package oracle

import (
	"strings"
	"testing"
	"time"

	"jupiter-dex-integration/src/platform"
)

func TestConfigDefaults(t *testing.T) {
	cfg, err := platform.Load[Config]([]string{"PRICE_TOKENS=" + wsol + "," + usdc})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.UpdateInterval != 5*time.Minute || cfg.JupiterAPIURL != "https://api.jup.ag/swap/v1" || len(cfg.Tokens) != 2 || cfg.Network != "mainnet" {
		t.Errorf("%+v", cfg)
	}
}

func TestConfigNamesEveryVariableThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		environ []string
		want    []string
	}{
		"nothing to price": {nil, []string{"PRICE_TOKENS is empty"}},
		"not a mint":       {[]string{"PRICE_TOKENS=" + wsol + ",SOL"}, []string{`PRICE_TOKENS: "SOL"`}},
		"31 bytes":         {[]string{"PRICE_TOKENS=" + wsol[:42]}, []string{"PRICE_TOKENS"}},
		"twice":            {[]string{"PRICE_TOKENS=" + wsol + "," + wsol}, []string{"listed twice"}},
		"too many":         {[]string{"PRICE_TOKENS=" + strings.Join(manyTokens(maxTokens+1), ",")}, []string{"at most 5000"}},
		"all at once":      {[]string{"UPDATE_INTERVAL=1ms", "NETWORK=moon"}, []string{"UPDATE_INTERVAL", "NETWORK", "PRICE_TOKENS"}},
		"not a duration":   {[]string{"UPDATE_INTERVAL=*/5 * * * *"}, []string{"UPDATE_INTERVAL"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := platform.Load[UpdateConfig](c.environ)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}
