package saber

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Saber"

// Size and offsets of SwapInfo, in bytes.
const (
	poolLen = 395
	mintAAt = 203
	mintBAt = 235
)

const swapTag = 1

// poolStart is the initialised flag of every pool.
var poolStart = []byte{1}

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
	s := &pool{
		info: amm.Info{
			Address:       key,
			Program:       p.id,
			Label:         Label,
			Mints:         [2]solana.PublicKey{r.Key(mintAAt, "token_a.mint"), r.Key(mintBAt, "token_b.mint")},
			TokenPrograms: [2]solana.PublicKey{solana.TokenProgramID, solana.TokenProgramID},
			Vaults:        [2]solana.PublicKey{r.Key(107, "token_a.reserves"), r.Key(139, "token_b.reserves")},
		},
		paused:     r.Bool(1, "is_paused"),
		nonce:      r.Uint8(2, "nonce"),
		adminFees:  [2]solana.PublicKey{r.Key(267, "token_a.admin_fees"), r.Key(299, "token_b.admin_fees")},
		initialAmp: readAmp(r, 3, "initial_amp_factor"),
		targetAmp:  readAmp(r, 11, "target_amp_factor"),
		rampStart:  r.Int64(19, "start_ramp_ts"),
		rampStop:   r.Int64(27, "stop_ramp_ts"),
		adminShare: readFraction(r, 331, "admin_trade_fee"),
		tradeFee:   readFraction(r, 363, "trade_fee"),
	}
	r.Bytes(379, poolLen-379, "withdraw_fee")
	if err := r.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func readAmp(r *amm.Reader, offset int, field string) uint64 {
	amp := r.Uint64(offset, field)
	if amp == 0 || amp > maxAmp {
		r.Fail(field, "%d is not from 1 to %d", amp, maxAmp)
	}
	return amp
}

func readFraction(r *amm.Reader, offset int, field string) fraction {
	f := fraction{num: r.Uint64(offset, field+"_numerator"), den: r.Uint64(offset+8, field+"_denominator")}
	if f.den == 0 || f.num > f.den {
		r.Fail(field+"_numerator", "%d/%d is no fraction", f.num, f.den)
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
	for in := range s.settled {
		s.settled[in] = newCurve(s.targetAmp, s.reserves[in], s.reserves[1-in])
	}
	return s, nil
}

func (p *pool) SwapAccounts(amm.Quote) int { return 10 }

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	authority, err := solana.CreateProgramAddress([][]byte{p.info.Address[:], {p.nonce}}, p.info.Program)
	if err != nil {
		return nil, &amm.DecodeError{Account: p.info.Address, Field: "nonce", Reason: err.Error()}
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
		solana.Meta(p.adminFees[b]).WRITE(),
		solana.Meta(solana.TokenProgramID),
	}, data), nil
}
