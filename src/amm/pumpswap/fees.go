package pumpswap

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
)

const oneInBps = 10_000

// mayhemSupply stands for the supply of a coin in mayhem mode, in base units, when its market capitalisation is worked out.
const mayhemSupply = 1_000_000_000_000_000

// The quote mints by which canonical pools choose a schedule are constants of the fee program.
var (
	nativeMint2022 = solana.MustPublicKeyFromBase58("9pan9bMn5HatX4EJdBwg9VgCa7Uz5HL8N1m5D3NdXej9")
	usdcMint       = solana.MustPublicKeyFromBase58("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
)

// fees are rates in basis points, each of which is at most 10000 and rounded up on its own.
type fees struct{ lp, protocol, creator uint64 }

func (f fees) total() uint64 { return f.lp + f.protocol + f.creator }

// of gives what each takes of an amount; none can overflow, as amounts are.
func (f fees) of(amount uint64) (lp, others uint64, ok bool) {
	lp, _ = muldiv.Ceil(amount, f.lp, oneInBps)
	protocol, _ := muldiv.Ceil(amount, f.protocol, oneInBps)
	creator, _ := muldiv.Ceil(amount, f.creator, oneInBps)
	others, carry := bits.Add64(protocol, creator, 0)
	_, carry2 := bits.Add64(lp, others, 0)
	return lp, others, carry+carry2 == 0
}

// uint128 is a market capitalisation or the least of a tier, in units of the quote mint.
type uint128 struct{ hi, lo uint64 }

func (x uint128) less(y uint128) bool { return x.hi < y.hi || x.hi == y.hi && x.lo < y.lo }

// marketCap is quote * supply / base, rounded down, of a base above 0.
func marketCap(quote, supply, base uint64) uint128 {
	hi, lo := bits.Mul64(quote, supply)
	q, _ := bits.Div64(hi%base, lo, base)
	return uint128{hi / base, q}
}

type tier struct {
	from uint128
	fees fees
}

// schedule is the fee program's config: flat rates, and rates that follow the market capitalisation.
type schedule struct {
	flat, exotic       fees
	tiers, stableTiers []tier
}

// Lengths of the fee config from which a later version's fields count.
const (
	stableTiersLen = 4073
	exoticLen      = 4097
	tierLen        = 40
)

func readSchedule(accounts amm.Accounts, key solana.PublicKey) (schedule, error) {
	r := accounts.Reader(key, feeProgram)
	r.Discriminator(feeConfigDiscriminator)
	s := schedule{flat: readFees(r, 41, "flat_fees")}
	at := 65
	s.tiers, at = readTiers(r, at, "fee_tiers")
	if len(s.tiers) == 0 {
		r.Fail("fee_tiers", "none")
	}
	if r.Len() >= stableTiersLen {
		s.stableTiers, at = readTiers(r, at, "stable_fee_tiers")
	}
	if r.Len() >= exoticLen {
		s.exotic = readFees(r, at, "exotic_flat_fees")
	}
	return s, r.Err()
}

func readTiers(r *amm.Reader, at int, field string) (tiers []tier, end int) {
	n := int(r.Uint32(at, field))
	at += 4
	if r.Bytes(at, n*tierLen, field) == nil {
		return nil, at
	}
	tiers = make([]tier, n)
	for i := range tiers {
		lo, hi := r.Uint128(at, field+".market_cap_lamports_threshold")
		tiers[i] = tier{uint128{hi, lo}, readFees(r, at+16, field)}
		at += tierLen
	}
	return tiers, at
}

func readFees(r *amm.Reader, at int, field string) fees {
	return fees{
		lp:       readBps(r, at, field+".lp_fee_bps"),
		protocol: readBps(r, at+8, field+".protocol_fee_bps"),
		creator:  readBps(r, at+16, field+".creator_fee_bps"),
	}
}

func readBps(r *amm.Reader, at int, field string) uint64 {
	bps := r.Uint64(at, field)
	if bps > oneInBps {
		r.Fail(field, "%d is more than 10000", bps)
	}
	return bps
}

// canonical is what a canonical pool of a quote mint pays.
func (s *schedule) canonical(quoteMint solana.PublicKey, cap uint128) fees {
	switch quoteMint {
	case solana.SolMint, nativeMint2022, solana.PublicKey{}:
		return forCap(s.tiers, cap)
	case usdcMint:
		if len(s.stableTiers) > 0 {
			return forCap(s.stableTiers, cap)
		}
		return forCap(s.tiers, cap)
	default:
		if s.exotic == (fees{}) {
			return s.flat
		}
		return s.exotic
	}
}

// forCap is the last tier that cap reaches, or the first of all below them.
func forCap(tiers []tier, cap uint128) fees {
	for i := len(tiers) - 1; i > 0; i-- {
		if !cap.less(tiers[i].from) {
			return tiers[i].fees
		}
	}
	return tiers[0].fees
}
