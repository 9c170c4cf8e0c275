package programs

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/dammv2"
	"jupiter-dex-integration/src/amm/dlmm"
	"jupiter-dex-integration/src/amm/pumpswap"
	"jupiter-dex-integration/src/amm/raydiumamm"
	"jupiter-dex-integration/src/amm/raydiumclmm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/amm/saber"
	"jupiter-dex-integration/src/amm/tokenswap"
	"jupiter-dex-integration/src/amm/whirlpool"
)

// Cluster is a Solana network, named as in NETWORK.
type Cluster string

const (
	Mainnet Cluster = "mainnet"
	Testnet Cluster = "testnet"
	Devnet  Cluster = "devnet"
)

// deployment is one program; a cluster without an id has none of it, unless it is configured.
type deployment struct {
	name string
	new  func(id solana.PublicKey) amm.Program
	ids  map[Cluster]string
}

// The ids are those that the programs' own repositories and SDKs publish.
var deployments = []deployment{
	{"raydium-amm", raydiumamm.New, map[Cluster]string{
		Mainnet: "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8",
		Devnet:  "DRaya7Kj3aMWQSy19kSjvmuwq9docCHofyP9kanQGaav",
	}},
	{"raydium-cpmm", raydiumcpmm.New, map[Cluster]string{
		Mainnet: "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
		Devnet:  "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb",
	}},
	{"raydium-clmm", raydiumclmm.New, map[Cluster]string{
		Mainnet: "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK",
		Devnet:  "DRayAUgENGQBKVaX8owNhgzkEDyoHTGVEGHVJT1E9pfH",
	}},
	{"orca-whirlpool", whirlpool.New, map[Cluster]string{
		Mainnet: "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc",
		Devnet:  "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc",
	}},
	{"orca-whirlpool-immutable", whirlpool.New, map[Cluster]string{ // the same source, which nobody can upgrade
		Mainnet: "iwhrLHdsgrvmnwU8GF2FSmyabSMjfHwFGJAX2ufJ3ZN",
	}},
	{"meteora-dlmm", dlmm.New, map[Cluster]string{
		Mainnet: "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo",
		Devnet:  "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo",
	}},
	{"meteora-damm-v2", dammv2.New, map[Cluster]string{
		Mainnet: "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG",
		Devnet:  "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG",
	}},
	{"orca-token-swap", tokenswap.New, map[Cluster]string{
		Mainnet: "9W959DqEETiGZocYWCQPaJ6sBmUzgfxXfqGeTEdp3aQP",
		Devnet:  "3xQ8SWv2GaFXXpHZNqkXsdxq5DZciHBz6ZFoPPfbFd7U",
	}},
	{"saber", saber.New, map[Cluster]string{
		Mainnet: "SSwpkEEcbUqx4vtoEByFjSkhKdCT862DNVb52nZg1UZ",
		Devnet:  "SSwpkEEcbUqx4vtoEByFjSkhKdCT862DNVb52nZg1UZ",
	}},
	{"pumpswap", pumpswap.New, map[Cluster]string{
		Mainnet: "pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA",
		Devnet:  "pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA",
	}},
}

// On gives the programs of a cluster. ids replaces or adds addresses by the name of the deployment, such as "raydium-cpmm".
func On(cluster Cluster, ids map[string]solana.PublicKey) ([]amm.Program, error) {
	if !slices.Contains([]Cluster{Mainnet, Testnet, Devnet}, cluster) {
		return nil, fmt.Errorf("unknown cluster %q: use mainnet, testnet or devnet", cluster)
	}
	ids = maps.Clone(ids)
	var programs []amm.Program
	var names []string
	for _, d := range deployments {
		names = append(names, d.name)
		id, configured := ids[d.name]
		delete(ids, d.name)
		if !configured {
			text, deployed := d.ids[cluster]
			if !deployed {
				continue
			}
			var err error
			if id, err = solana.PublicKeyFromBase58(text); err != nil {
				return nil, fmt.Errorf("address of %s on %s: %w", d.name, cluster, err)
			}
		}
		programs = append(programs, d.new(id))
	}
	for name := range ids {
		return nil, fmt.Errorf("unknown AMM program %q: known are %v", name, names)
	}
	return programs, nil
}
