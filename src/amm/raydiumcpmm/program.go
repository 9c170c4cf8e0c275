package raydiumcpmm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Raydium CP"

// Sizes and offsets of PoolState and AmmConfig, in bytes, discriminators included.
const (
	poolLen   = 637
	configLen = 236
	mint0At   = 168
	mint1At   = 200
)

var (
	poolDiscriminator   = []byte{0xf7, 0xed, 0xe3, 0xf5, 0xd7, 0xc3, 0xde, 0x46}
	configDiscriminator = []byte{0xda, 0xf4, 0x21, 0x68, 0xcb, 0xcb, 0x2b, 0x6f}

	swapBaseInput  = []byte{0x8f, 0xbe, 0x5a, 0xda, 0xc4, 0x1e, 0x33, 0xde}
	swapBaseOutput = []byte{0x37, 0xd9, 0x62, 0x56, 0xa3, 0x4a, 0xb4, 0xad}
)

type program struct{ id solana.PublicKey }

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program { return program{id} }

func (p program) ID() solana.PublicKey { return p.id }

func (program) Label() string { return Label }

func (program) Layout() amm.Layout {
	return amm.Layout{Size: poolLen, Discriminator: poolDiscriminator, Mints: [2]uint64{mint0At, mint1At}}
}

func (p program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key}, nil
	}
	state, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	i := &state.info
	return []solana.PublicKey{key, state.config, i.Vaults[0], i.Vaults[1], i.Mints[0], i.Mints[1]}, nil
}

// decodeState reads the pool's own account.
func (p program) decodeState(key solana.PublicKey, accounts amm.Accounts) (*pool, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolDiscriminator)
	s := &pool{
		info: amm.Info{
			Address:       key,
			Program:       p.id,
			Label:         Label,
			Mints:         [2]solana.PublicKey{r.Key(mint0At, "token_0_mint"), r.Key(mint1At, "token_1_mint")},
			TokenPrograms: [2]solana.PublicKey{r.Key(232, "token_0_program"), r.Key(264, "token_1_program")},
			Vaults:        [2]solana.PublicKey{r.Key(72, "token_0_vault"), r.Key(104, "token_1_vault")},
			Decimals:      [2]uint8{r.Uint8(331, "mint_0_decimals"), r.Uint8(332, "mint_1_decimals")},
		},
		config:       r.Key(8, "amm_config"),
		observation:  r.Key(296, "observation_key"),
		noSwap:       r.Uint8(329, "status")&statusNoSwap != 0,
		openTime:     r.Uint64(373, "open_time"),
		creatorFeeOn: r.Uint8(389, "creator_fee_on"),
		creatorFee:   r.Bool(390, "enable_creator_fee"),
	}
	if s.creatorFeeOn > creatorFeeOnToken1 {
		r.Fail("creator_fee_on", "%d is no mode of the program", s.creatorFeeOn)
	}
	for i, fields := range [2][3]string{
		{"protocol_fees_token_0", "fund_fees_token_0", "creator_fees_token_0"},
		{"protocol_fees_token_1", "fund_fees_token_1", "creator_fees_token_1"},
	} {
		for j, at := range [3]int{341, 357, 397} {
			fee := r.Uint64(at+8*i, fields[j])
			if s.owed[i]+fee < fee {
				r.Fail(fields[j], "the fees owed overflow")
			}
			s.owed[i] += fee
		}
	}
	r.Bytes(413, poolLen-413, "padding")
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
	r := accounts.Reader(s.config, p.id)
	r.Discriminator(configDiscriminator)
	tradeRate := r.Uint64(12, "trade_fee_rate")
	creatorRate := r.Uint64(108, "creator_fee_rate")
	r.Bytes(116, configLen-116, "padding")
	if tradeRate > oneInRate || creatorRate > oneInRate-tradeRate {
		r.Fail("creator_fee_rate", "%d and the trade fee rate %d exceed 1000000", creatorRate, tradeRate)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	var mints [2]token.Mint
	var balances [2]uint64
	for i, mint := range s.info.Mints {
		if mints[i], err = token.DecodeMint(accounts, mint); err != nil {
			return nil, err
		}
		if balances[i], err = token.Vault(accounts, s.info.Vaults[i], mint); err != nil {
			return nil, err
		}
		switch {
		case mints[i].Program != s.info.TokenPrograms[i]:
			return nil, &amm.DecodeError{Account: key, Field: "token_program", Reason: "is not the program of mint " + mint.String()}
		case balances[i] < s.owed[i]:
			return nil, &amm.DecodeError{Account: s.info.Vaults[i], Field: "amount", Reason: "is less than the fees that the pool owes"}
		}
	}
	s.setSides(tradeRate, creatorRate, mints, balances)
	return s, nil
}

// SwapAccounts counts the user, the user's two token accounts and the program with the pool's nine or ten.
func (p *pool) SwapAccounts(amm.Quote) int {
	if p.info.TokenPrograms[0] == p.info.TokenPrograms[1] {
		return 13
	}
	return 14
}

func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	// Both instructions take the amounts as (input, output).
	data, in, out := swapBaseInput, quote.Amount, swap.Threshold
	if quote.ExactOut {
		data, in, out = swapBaseOutput, swap.Threshold, quote.Amount
	}
	data = binary.LittleEndian.AppendUint64(data[:8:8], in)
	data = binary.LittleEndian.AppendUint64(data, out)
	a, b := 0, 1
	if !quote.AToB {
		a, b = 1, 0
	}
	return solana.NewInstruction(p.info.Program, solana.AccountMetaSlice{
		solana.Meta(swap.User).SIGNER(),
		solana.Meta(pda.Of(p.info.Program, []byte("vault_and_lp_mint_auth_seed"))),
		solana.Meta(p.config),
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(swap.Source).WRITE(),
		solana.Meta(swap.Destination).WRITE(),
		solana.Meta(p.info.Vaults[a]).WRITE(),
		solana.Meta(p.info.Vaults[b]).WRITE(),
		solana.Meta(p.info.TokenPrograms[a]),
		solana.Meta(p.info.TokenPrograms[b]),
		solana.Meta(p.info.Mints[a]),
		solana.Meta(p.info.Mints[b]),
		solana.Meta(p.observation).WRITE(),
	}, data), nil
}
