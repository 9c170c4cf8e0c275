package chain

import (
	"slices"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Snapshot is the market at one slot. It is immutable.
type Snapshot struct {
	// Slot is the slot of the oldest pool state; see the package documentation.
	Slot  uint64
	Clock amm.Clock
	// Pools has one place for every configured pool, the same in each snapshot; nil for one that cannot be quoted now.
	Pools []amm.Pool
	// Infos has what is known of each pool once it could be quoted; nil before. It stays while a pool is set aside.
	Infos []*amm.Info
	// Generation changes with Infos.
	Generation uint64
	// Advanced is when Slot last grew.
	Advanced time.Time

	sources []*source // as Pools
}

// Without is the snapshot as if the pools whose places omit says could not be quoted.
func (s *Snapshot) Without(omit func(place int) bool) *Snapshot {
	rest := *s
	rest.Pools = slices.Clone(s.Pools)
	for i := range rest.Pools {
		if omit(i) {
			rest.Pools[i] = nil
		}
	}
	return &rest
}

// Reasons for which a pool is set aside. They are metric labels.
const (
	ReasonLoading         = "loading"
	ReasonNotFound        = "not_found"
	ReasonUnknownProgram  = "unknown_program"
	ReasonMalformed       = "malformed"
	ReasonUnsupported     = "unsupported"
	ReasonTooManyAccounts = "too_many_accounts"
	ReasonStale           = "stale"
)

// PoolStatus is what became of one configured pool.
type PoolStatus struct {
	Address solana.PublicKey
	// Mints are those that the pool's account names, whether it can be quoted or not; zero before it has been seen.
	Mints [2]solana.PublicKey
	// Pool is nil if it cannot be quoted; then Reason is one of the constants and Err says more.
	Pool   amm.Pool
	Slot   uint64
	Reason string
	Err    error
}
