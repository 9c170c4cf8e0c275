package routing

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// ErrNoRoute means that no way was found within the limits.
var ErrNoRoute = errors.New("no route")

// UnknownMintError means that no pool trades a mint.
type UnknownMintError struct{ Mint solana.PublicKey }

func (e *UnknownMintError) Error() string { return "no pool trades " + e.Mint.String() }

// Request is one swap.
type Request struct {
	Input, Output solana.PublicKey
	// Amount is of the input, or with ExactOut of the output, in base units.
	Amount   uint64
	ExactOut bool
	// Dexes, if not empty, are the only DEX labels allowed; ExcludeDexes are forbidden.
	Dexes, ExcludeDexes []string
	// Intermediates, if not nil, are the only mints that a route may pass through.
	Intermediates []solana.PublicKey
	// LegCost is what each leg costs beside what it swaps, in base units of the output, or with ExactOut of the input. Plans are
	// compared net of it: no leg is added that earns less.
	LegCost uint64
	// Hints are paths that a plan for a like request was made of, over a graph of the same topology. They only save time: what they lead
	// to is quoted anew, and bettered like anything else.
	Hints []Path
}

// Path is a way from the input to the output, in the direction in which the search walks. It means something only to graphs of one topology.
type Path struct {
	topology *topology
	route
}

// Limits bound a plan and the search for it.
type Limits struct {
	MaxRoutes, MaxHops int
	// MaxAccounts bounds Plan.Accounts.
	MaxAccounts int
	// Fits, if not nil, says whether a plan can be executed; it is for what only whoever builds transactions knows. It must agree
	// with itself: fewer legs never fit worse.
	Fits func(*Plan) bool
	// Deadline ends the search with the best plan so far. The zero time means none.
	Deadline time.Time
}

func (l *Limits) allow(p *Plan) bool {
	return p.Accounts <= l.MaxAccounts && (l.Fits == nil || l.Fits(p))
}

// hopsLimit is how long a route can be at most, whatever the limits say.
const hopsLimit = 6

// Plan is a swap through one or more routes.
type Plan struct {
	// In is what the plan takes, never more than an ExactIn request's amount; Out is what it gives.
	In, Out uint64
	// Legs are in topological order: what a leg swaps has arrived before.
	Legs []Leg
	// Routes is how many paths from input to output the legs were made of.
	Routes int
	// Accounts is an estimate of the accounts that a transaction for the plan names; Limits.Fits can know better.
	Accounts int
	// Paths are what the plan was made of, to be given as hints.
	Paths []Path
	// Spot is what one unit of input would give through the same legs at marginal prices and without fees. It is for display.
	Spot float64
}

// Leg is one pool's part.
type Leg struct {
	Pool          amm.Pool
	Input, Output solana.PublicKey
	Quote         amm.Quote
	// ShareBps is the leg's share of all that the plan's legs take of the leg's input mint. Legs with one input mint sum to 10000.
	ShareBps uint16
}

// What a transaction for a plan names: whatever the legs are, the user and the programs of tokens, associated accounts, the system and
// the compute budget; for each mint itself and the user's account of it; for each leg what its instruction names but for these.
const (
	baseAccounts   = 6
	mintAccounts   = 2
	sharedAccounts = 7
)

func legAccounts(pool amm.Pool, q amm.Quote) int { return max(pool.SwapAccounts(q)-sharedAccounts, 4) }

// assemble makes the plan of the flows through pools.
func (s *search) assemble(routes int) (Plan, error) {
	type flowLeg struct {
		Leg
		from, to int32
	}
	var legs []flowLeg
	p := Plan{Routes: routes, Accounts: baseAccounts + mintAccounts*len(s.mints)}
	for _, used := range s.used {
		f := &s.flows[used]
		pool := s.g.pools[used]
		q, err := pool.Quote(s.g.clock, amm.Request{AToB: f.aToB, ExactOut: s.req.ExactOut, Amount: f.amount})
		if err != nil {
			return Plan{}, err
		}
		from, to := f.from, f.to
		if s.req.ExactOut {
			from, to = to, from
		}
		legs = append(legs, flowLeg{Leg{Pool: pool, Input: s.g.mints[from], Output: s.g.mints[to], Quote: q}, from, to})
		p.Accounts += legAccounts(pool, q)
	}
	// Order by longest distance from the input mint.
	source, target := s.start, s.end
	if s.req.ExactOut {
		source, target = target, source
	}
	depth := map[int32]int{source: 0}
	for range legs {
		for _, l := range legs {
			if d, ok := depth[l.from]; ok && depth[l.to] < d+1 {
				depth[l.to] = d + 1
			}
		}
	}
	slices.SortStableFunc(legs, func(a, b flowLeg) int {
		return cmp.Or(cmp.Compare(depth[a.from], depth[b.from]), cmp.Compare(a.from, b.from), cmp.Compare(b.Quote.In, a.Quote.In))
	})
	totals := map[int32]uint64{}
	for _, l := range legs {
		totals[l.from] += l.Quote.In
		if l.from == source {
			p.In += l.Quote.In
		}
		if l.to == target {
			p.Out += l.Quote.Out
		}
	}
	// Spot value: the output of the plan's split at marginal prices, from the input forwards.
	spot := map[int32]float64{source: 1}
	for i, l := range legs {
		share := float64(l.Quote.In) / float64(totals[l.from])
		spot[l.to] += spot[l.from] * share * l.Pool.SpotPrice(l.Quote.AToB)
		p.Legs = append(p.Legs, legs[i].Leg)
	}
	p.Spot = spot[target]
	for _, r := range s.routes {
		r.amount = 0
		p.Paths = append(p.Paths, Path{s.g.topology, r})
	}
	for i := 0; i < len(legs); {
		j := i
		for j < len(legs) && legs[j].from == legs[i].from {
			j++
		}
		setShares(p.Legs[i:j], totals[legs[i].from])
		i = j
	}
	return p, nil
}

// setShares gives legs of one input mint shares that sum to 10000: floors first, the rest to the largest remainders.
func setShares(legs []Leg, total uint64) {
	left := uint64(10000)
	remainders := make([]uint64, len(legs))
	order := make([]int, len(legs))
	for i := range legs {
		hi, lo := bits.Mul64(legs[i].Quote.In, 10000)
		share, rem := bits.Div64(hi, lo, total)
		legs[i].ShareBps, remainders[i], order[i] = uint16(share), rem, i
		left -= share
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainders[b], remainders[a]) })
	for _, i := range order[:left] {
		legs[i].ShareBps++
	}
}
