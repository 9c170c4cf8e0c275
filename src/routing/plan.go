package routing

import (
	"errors"
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
	// Hints are paths that a plan for a like request was made of, over a graph of the same topology. Where they are allowed, and together better than
	// the best single path, the search begins with them and only betters them: in a fraction of the time, and as well where prices are
	// still about the same. All amounts are quoted anew.
	Hints []Path
}

// Path is a way from the input to the output, in the direction in which the search walks. It means something only to graphs of one topology.
type Path struct {
	topology *topology
	route
}

// Pools are the places of a path's pools, as they were given to NewGraph, in the order in which the search walks.
func (p *Path) Pools() []int {
	places := make([]int, p.n)
	for i := range places {
		places[i] = int(p.edges[i].pool)
	}
	return places
}

// PathOf is the path for a request, as far as it goes through pools, which are given as Path.Pools gives them.
func (g *Graph) PathOf(req *Request, pools []int) (Path, bool) {
	at, ok := g.index[req.Input]
	if req.ExactOut {
		at, ok = g.index[req.Output]
	}
	if !ok || len(pools) > hopsLimit {
		return Path{}, false
	}
	p := Path{topology: g.topology, route: route{n: len(pools)}}
	p.mints[0] = at
	for i, place := range pools {
		if place < 0 || place >= len(g.pools) || g.labelOf[place] < 0 {
			return Path{}, false
		}
		from := slices.Index(g.ends[place][:], at)
		if from < 0 {
			return Path{}, false
		}
		at = g.ends[place][1-from]
		p.mints[i+1], p.edges[i] = at, edge{int32(place), at, (from == 0) != req.ExactOut}
	}
	return p, true
}

// Limits bound a plan and the search for it.
type Limits struct {
	MaxRoutes, MaxHops int
	// MaxAccounts bounds Plan.Accounts.
	MaxAccounts int
	// Fits, if not nil, says whether a plan can be executed; it is for what only whoever builds transactions knows. It must agree
	// with itself: fewer legs never fit worse. It must not keep the plan.
	Fits func(*Plan) bool
	// Deadline ends the search with the best plan so far. The zero time means none.
	Deadline time.Time
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
