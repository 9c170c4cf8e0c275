package raydiumamm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Raydium"

// Size and offsets of AmmInfo, in bytes.
const (
	poolLen    = 752
	coinMintAt = 400
	pcMintAt   = 432
)

// Instruction tags.
const (
	swapBaseIn  = 9
	swapBaseOut = 11
)

type program struct{ id solana.PublicKey }

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program { return program{id} }

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: poolLen, Mints: [2]uint64{coinMintAt, pcMintAt}}
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
	s := &pool{
		info: amm.Info{
			Address:       key,
			Program:       p.id,
			Label:         Label,
			Mints:         [2]solana.PublicKey{r.Key(coinMintAt, "coin_vault_mint"), r.Key(pcMintAt, "pc_vault_mint")},
			TokenPrograms: [2]solana.PublicKey{solana.TokenProgramID, solana.TokenProgramID},
			Vaults:        [2]solana.PublicKey{r.Key(336, "coin_vault"), r.Key(368, "pc_vault")},
		},
		openOrders: r.Key(496, "open_orders"),
		status:     r.Uint64(0, "status"),
		nonce:      uint8(r.Uint64(8, "nonce")), // the program casts, too
		openTime:   r.Uint64(224, "pool_open_time"),
		feeNum:     r.Uint64(176, "swap_fee_numerator"),
		feeDen:     r.Uint64(184, "swap_fee_denominator"),
		owed:       [2]uint64{r.Uint64(192, "need_take_pnl_coin"), r.Uint64(200, "need_take_pnl_pc")},
	}
	if s.status == 0 || s.status > statusWaitingTrade {
		r.Fail("status", "%d is not that of a pool", s.status)
	}
	if s.feeDen == 0 || s.feeNum > s.feeDen {
		r.Fail("swap_fee_numerator", "%d/%d is no fee", s.feeNum, s.feeDen)
	}
	if s.info.Mints[0] == s.info.Mints[1] {
		r.Fail("pc_vault_mint", "is the coin's")
	}
	if n := r.Len(); n != poolLen {
		r.Fail("length", "%d bytes, want %d", n, poolLen)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (p program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	if s.balances, err = token.Balances(accounts, &s.info); err != nil {
		return nil, err
	}
	for i := range s.balances {
		if s.balances[i] < s.owed[i] {
			return nil, &amm.DecodeError{Account: s.info.Vaults[i], Field: "amount", Reason: "is less than the profit that the pool owes"}
		}
		s.reserves[i] = s.balances[i] - s.owed[i]
	}
	return s, nil
}

func (p *pool) SwapAccounts(amm.Quote) int { return 10 }

// SwapInstruction builds the form of the instruction that every build of the program takes, with 17 accounts. Eight of them belong to
// the order book, which the program no longer reads: the pool itself stands in for them, and so they cost a transaction a byte each.
func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	authority, err := solana.CreateProgramAddress([][]byte{[]byte("amm authority"), {p.nonce}}, p.info.Program)
	if err != nil {
		return nil, &amm.DecodeError{Account: p.info.Address, Field: "nonce", Reason: err.Error()}
	}
	// Both instructions take the amounts as (input, output).
	tag, in, out := byte(swapBaseIn), quote.Amount, swap.Threshold
	if quote.ExactOut {
		tag, in, out = swapBaseOut, swap.Threshold, quote.Amount
	}
	data := binary.LittleEndian.AppendUint64([]byte{tag}, in)
	data = binary.LittleEndian.AppendUint64(data, out)
	unread := solana.Meta(p.info.Address)
	return solana.NewInstruction(p.info.Program, solana.AccountMetaSlice{
		solana.Meta(solana.TokenProgramID),
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(authority),
		solana.Meta(p.openOrders).WRITE(),
		solana.Meta(p.info.Vaults[0]).WRITE(),
		solana.Meta(p.info.Vaults[1]).WRITE(),
		unread, // market program
		unread, // market
		unread, // bids
		unread, // asks
		unread, // event queue
		unread, // market's coin vault
		unread, // market's pc vault
		unread, // market's vault signer
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(swap.User).SIGNER(),
	}, data), nil
}
