package tokenswap

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of Orca's deployment.
const Label = "Orca V2"

// Size and offsets of a pool, in bytes.
const (
	poolLen = 324
	mintAAt = 131
	mintBAt = 163
)

// Curve types of Orca's deployment; 1 is a constant price and 3 a product with an offset, which no pool of worth uses.
const (
	curveProduct = 0
	curveStable  = 2
)

const swapTag = 1

// poolStart is the version and the initialised flag of every pool.
var poolStart = []byte{1, 1}

type program struct{ id solana.PublicKey }

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program { return program{id} }

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: poolLen, Discriminator: poolStart, Mints: [2]uint64{mintAAt, mintBAt}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	s, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	return []solana.PublicKey{key, s.info.Vaults[0], s.info.Vaults[1], s.info.Mints[0], s.info.Mints[1]}, nil
}

// decodeState reads the pool's own account.
func (p program) decodeState(key solana.PublicKey, accounts amm.Accounts) (*pool, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolStart)
	if r.Key(3, "token_program_id") != solana.TokenProgramID {
		r.Fail("token_program_id", "is not SPL Token")
	}
	s := &pool{
		info: amm.Info{
			Address:       key,
			Program:       p.id,
			Label:         Label,
			Mints:         [2]solana.PublicKey{r.Key(mintAAt, "token_a_mint"), r.Key(mintBAt, "token_b_mint")},
			TokenPrograms: [2]solana.PublicKey{solana.TokenProgramID, solana.TokenProgramID},
			Vaults:        [2]solana.PublicKey{r.Key(35, "token_a"), r.Key(67, "token_b")},
		},
		bump:       r.Uint8(2, "bump_seed"),
		lpMint:     r.Key(99, "pool_mint"),
		feeAccount: r.Key(195, "pool_fee_account"),
		tradeFee:   readFee(r, 227, "trade_fee"),
		ownerFee:   readFee(r, 243, "owner_trade_fee"),
		curve:      r.Uint8(291, "curve_type"),
	}
	if amp := r.Uint64(292, "amp"); s.curve == curveStable {
		if amp == 0 || amp > 1<<62 {
			r.Fail("amp", "%d", amp)
		}
		s.leverage = 2 * amp
	}
	r.Bytes(300, poolLen-300, "curve parameters")
	if err := r.Err(); err != nil {
		return nil, err
	}
	if s.curve != curveProduct && s.curve != curveStable {
		return nil, &amm.UnsupportedError{Account: key, Feature: "curve type", Reason: "only constant product and stable pools are quoted"}
	}
	return s, nil
}

func readFee(r *amm.Reader, offset int, field string) fee {
	f := fee{num: r.Uint64(offset, field+"_numerator"), den: r.Uint64(offset+8, field+"_denominator")}
	if f.num > 0 && f.num >= f.den {
		r.Fail(field+"_numerator", "%d/%d is no fee", f.num, f.den)
	}
	return f
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	if s.reserves, err = token.Balances(accounts, &s.info); err != nil {
		return nil, err
	}
	if s.curve == curveStable {
		for in := range s.invariants {
			s.invariants[in] = newInvariant(s.leverage, s.reserves[in], s.reserves[1-in])
		}
	}
	return s, nil
}

func (p *pool) SwapAccounts(amm.Quote) int { return 11 }

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	authority, err := solana.CreateProgramAddress([][]byte{p.info.Address[:], {p.bump}}, p.info.Program)
	if err != nil {
		return nil, &amm.DecodeError{Account: p.info.Address, Field: "bump_seed", Reason: err.Error()}
	}
	in, out := quote.Amount, swap.Threshold
	if quote.ExactOut {
		in, out = out, in
	}
	data := binary.LittleEndian.AppendUint64([]byte{swapTag}, in)
	data = binary.LittleEndian.AppendUint64(data, out)
	a, b := sides(quote.AToB)
	return solana.NewInstruction(p.info.Program, solana.AccountMetaSlice{
		solana.Meta(p.info.Address),
		solana.Meta(authority),
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(p.info.Vaults[a]).WRITE(),
		solana.Meta(p.info.Vaults[b]).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(p.lpMint).WRITE(),
		solana.Meta(p.feeAccount).WRITE(),
		solana.Meta(p.info.TokenPrograms[0]),
	}, data), nil
}
