package programs

import (
	"testing"

	"github.com/gagliardetto/solana-go"
)

func TestEveryDeploymentHasItsOwnAddressAndLabel(t *testing.T) {
	for _, cluster := range []Cluster{Mainnet, Testnet, Devnet} {
		programs, err := On(cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cluster == Mainnet && len(programs) != len(deployments) {
			t.Errorf("%d of %d programs on mainnet", len(programs), len(deployments))
		}
		seen := map[solana.PublicKey]bool{}
		for _, p := range programs {
			if seen[p.ID()] || p.ID().IsZero() || p.Label() == "" {
				t.Errorf("%s: %q at %s", cluster, p.Label(), p.ID())
			}
			seen[p.ID()] = true
		}
	}
}

func TestConfiguredAddressesReplaceAndAdd(t *testing.T) {
	own := solana.PublicKey{1}
	for _, cluster := range []Cluster{Mainnet, Testnet} {
		programs, err := On(cluster, map[string]solana.PublicKey{"raydium-cpmm": own})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, p := range programs {
			if p.Label() == "Raydium CP" {
				found++
				if p.ID() != own {
					t.Errorf("%s: %s at %s", cluster, p.Label(), p.ID())
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: %d programs with the configured address", cluster, found)
		}
	}
}

func TestUnknownNamesAreErrors(t *testing.T) {
	if _, err := On("localnet", nil); err == nil {
		t.Error("unknown cluster accepted")
	}
	if _, err := On(Devnet, map[string]solana.PublicKey{"raydium-cpm": {}}); err == nil {
		t.Error("unknown program accepted")
	}
}
