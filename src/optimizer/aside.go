package optimizer

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
)

// obstacle is why no pool of a mint can be quoted. Where pools have different ones, the greatest is the mint's: only if every pool
// is out for good is the mint.
type obstacle int

const (
	frozenVault obstacle = iota
	unsupported
	thin
	away // for a reason that may pass
)

var obstacles = [...]struct{ code, sentence string }{
	frozenVault: {"TOKEN_FROZEN", "The token %s cannot be swapped: each of the %d pools known here that trade it has a frozen token account: %s"},
	unsupported: {"TOKEN_NOT_SUPPORTED", "The token %s cannot be swapped: none of the %d pools known here that trade it is supported: %s"},
	thin:        {jupiter.CodeTokenNotTradable, "The token %s is not tradable: none of the %d pools known here that trade it is liquid enough: %s"},
	away:        {"TOKEN_NOT_QUOTABLE_NOW", "The token %s cannot be swapped just now: none of the %d pools known here that trade it can be quoted: %s"},
}

func obstacleOf(p chain.PoolStatus) obstacle {
	e, ok := errors.AsType[*amm.UnsupportedError](p.Err)
	switch {
	case p.Reason == reasonIlliquid:
		return thin
	case !ok:
		return away
	case e.Feature == amm.FrozenAccount:
		return frozenVault
	default:
		return unsupported
	}
}

// setAside is the error of a mint none of whose pools can be quoted, nil for one with a pool that can be, or with no pool at all.
func (s *service) setAside(mint solana.PublicKey) error {
	var worst *chain.PoolStatus
	pools := 0
	status := s.statuses()
	for i := range status {
		p := &status[i]
		if !slices.Contains(p.Mints[:], mint) {
			continue
		}
		if p.Pool != nil {
			return nil
		}
		if pools++; worst == nil || obstacleOf(*p) > obstacleOf(*worst) {
			worst = p
		}
	}
	if worst == nil {
		return nil
	}
	why := fmt.Sprintf("pool %s is %s", worst.Address, cmp.Or(worst.Reason, chain.ReasonLoading))
	if worst.Err != nil {
		why = worst.Err.Error()
	}
	o := obstacles[obstacleOf(*worst)]
	return jupiter.Errorf(http.StatusBadRequest, o.code, o.sentence, mint, pools, why)
}
