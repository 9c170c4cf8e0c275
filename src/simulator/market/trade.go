package market

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/svm"
)

// walk is what the traders believe a slot later: a random walk that leans back to where it began, so that reserves stay
// sensible for ever. All integers: the same on every machine.
func (m *Market) walk(last []picoUSD) []picoUSD {
	next := make([]picoUSD, len(last))
	for i, t := range m.tokens {
		if t.spec.solRatio > 0 { // SOL comes first
			next[i] = mulDiv(next[0], t.spec.solRatio, 1_000_000)
			next[i] += m.spread(next[i], t.spec.volatility)
			continue
		}
		lean := int64(200_000)
		if t.spec.peg {
			lean = 500
		}
		next[i] = last[i] + m.spread(last[i], t.spec.volatility)
		next[i] += uint64((int64(m.starts[i]) - int64(next[i])) / lean)
	}
	return next
}

// trade lets some traders swap as they like and others bring pools back to what tokens are worth.
func (m *Market) trade(s, parent *Snapshot, accounts *svm.Accounts) error {
	s.prices = maps.Clone(parent.prices)
	for i, pool := range parent.Pools {
		noise, arbitrage := m.rng.Uint64N(100) < 15, m.rng.Uint64N(100) < 40
		aToB, millionths := m.rng.Uint64N(2) == 0, m.rng.Uint64N(400)
		if noise {
			reserves := svm.Reserves(pool.Info(), accounts.Get)
			reserve := reserves[0]
			if !aToB {
				reserve = reserves[1]
			}
			if err := m.swap(s, pool.Info(), accounts, aToB, mulDiv(reserve, millionths, 1_000_000)); err != nil {
				return err
			}
		}
		if arbitrage {
			aToB, amount := m.imbalance(s, i, svm.Reserves(pool.Info(), accounts.Get), pool.Info())
			if err := m.swap(s, pool.Info(), accounts, aToB, amount/2); err != nil {
				return err
			}
		}
	}
	return nil
}

// imbalance is the trade that brings pool i back to where nobody gains by trading, which is within its fees of what the traders
// believe; 0 if it is there.
func (m *Market) imbalance(s *Snapshot, i int, reserves [2]uint64, info *amm.Info) (aToB bool, amount uint64) {
	var value [2]*uint256.Int // of one base unit, times 10 to the power of both decimals
	for side, mint := range info.Mints {
		value[side] = uint256.NewInt(s.worth[m.byMint[mint].index])
		value[side].Mul(value[side], uint256.NewInt(uint64(math.Pow10(int(info.Decimals[1-side])))))
	}
	product := new(uint256.Int).Mul(uint256.NewInt(reserves[0]), uint256.NewInt(reserves[1]))
	for in := range 2 {
		// Too much of the other side is there: buy it until in's reserve is the root of product * value of other, less fees, / value of in.
		target := new(uint256.Int).Mul(product, value[1-in])
		target.Mul(target, uint256.NewInt(1_000_000-m.bands[i]))
		target.Div(target, value[in])
		target.Div(target, uint256.NewInt(1_000_000))
		target.Sqrt(target)
		if target.IsUint64() && target.Uint64() > reserves[in] {
			return in == 0, target.Uint64() - reserves[in]
		}
	}
	return false, 0
}

// swap trades from and to the traders' wallet. What the pool refuses, dust above all, does not happen.
func (m *Market) swap(s *Snapshot, info *amm.Info, accounts *svm.Accounts, aToB bool, amount uint64) error {
	in, out := 0, 1
	if !aToB {
		in, out = 1, 0
	}
	if amount == 0 {
		return nil
	}
	source := svm.AssociatedAddress(m.trader, info.Mints[in], info.TokenPrograms[in])
	destination := svm.AssociatedAddress(m.trader, info.Mints[out], info.TokenPrograms[out])
	_, err := m.runtime.Swap(accounts, s.Clock(), info.Address, amm.Request{AToB: aToB, Amount: amount}, source, destination)
	if malformed := new(amm.DecodeError); errors.As(err, &malformed) {
		return fmt.Errorf("pool %s: %w", info.Address, err)
	}
	if err == nil {
		for _, mint := range info.Mints {
			i := m.byMint[mint].index
			s.prices[mint] = Price{
				USD: dollars(s.worth[i]), Slot: s.Slot, ChangePercent: 100 * (float64(s.worth[i])/float64(m.starts[i]) - 1),
			}
		}
	}
	return nil
}
