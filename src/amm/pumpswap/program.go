package pumpswap

import (
	"encoding/binary"
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/pda"
	"jupiter-dex-integration/src/amm/token"
)

// Label is Jupiter's name of the program.
const Label = "Pump.fun Amm"

// The programs that the AMM works with, the same on every cluster.
var (
	// pumpProgram runs the bonding curves, and creates the canonical pool of a coin that outgrows its curve.
	pumpProgram = solana.MustPublicKeyFromBase58("6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P")
	// feeProgram keeps the fee schedules.
	feeProgram = solana.MustPublicKeyFromBase58("pfeeUxB6jkeY1Hxd7CsFCAjcbHA9rWtchMGdZ6VojVZ")
)

// Offsets of Pool, in bytes. Pools are as long as the program was old when they were made; what lies beyond their end counts as 0.
const (
	baseMintAt  = 43
	quoteMintAt = 75
	minPoolLen  = 211
	// extendedLen is the length from which the program takes a pool for swaps without an extend_account before.
	extendedLen = 300
)

var (
	poolDiscriminator      = []byte{0xf1, 0x9a, 0x6d, 0x04, 0x11, 0xb1, 0x6d, 0xbc}
	configDiscriminator    = []byte{0x95, 0x08, 0x9c, 0xca, 0xa0, 0xfc, 0xb0, 0xd9}
	feeConfigDiscriminator = []byte{0x8f, 0x34, 0x92, 0xbb, 0xdb, 0x7b, 0x4c, 0x9b}
)

type program struct {
	id                solana.PublicKey
	config, feeConfig solana.PublicKey
	// canonical are the creators of canonical pools, by base mint.
	canonical *pda.Cache
}

// New is the program deployed at id.
func New(id solana.PublicKey) amm.Program {
	return &program{id: id, config: pda.Of(id, []byte("global_config")), feeConfig: pda.Of(feeProgram, []byte("fee_config"), id[:]), canonical: pda.New(pumpProgram)}
}

func (p *program) ID() solana.PublicKey { return p.id }

func (*program) Label() string { return Label }

func (*program) Layout() amm.Layout {
	return amm.Layout{Discriminator: poolDiscriminator, Mints: [2]uint64{baseMintAt, quoteMintAt}}
}

func (p *program) Watch(key solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	if _, loaded := accounts[key]; !loaded {
		return []solana.PublicKey{key, p.config, p.feeConfig}, nil
	}
	s, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	i := &s.info
	return []solana.PublicKey{key, p.config, p.feeConfig, i.Vaults[0], i.Vaults[1], i.Mints[0], i.Mints[1]}, nil
}

// decodeState reads the pool's own account.
func (p *program) decodeState(key solana.PublicKey, accounts amm.Accounts) (*pool, error) {
	r := accounts.Reader(key, p.id)
	r.Discriminator(poolDiscriminator)
	s := &pool{
		info: amm.Info{
			Address: key,
			Program: p.id,
			Label:   Label,
			Mints:   [2]solana.PublicKey{r.Key(baseMintAt, "base_mint"), r.Key(quoteMintAt, "quote_mint")},
			Vaults:  [2]solana.PublicKey{r.Key(139, "pool_base_token_account"), r.Key(171, "pool_quote_token_account")},
		},
		config:    p.config,
		feeConfig: p.feeConfig,
		creator:   r.Key(11, "creator"),
	}
	r.Uint64(minPoolLen-8, "lp_supply")
	has := func(end int) bool { return r.Len() >= end }
	s.extended = has(extendedLen)
	if has(243) {
		s.coinCreator = r.Key(211, "coin_creator")
	}
	if has(244) {
		s.mayhem = r.Bool(243, "is_mayhem_mode")
	}
	if has(245) {
		s.cashback = r.Bool(244, "is_cashback_coin")
	}
	if has(261) {
		s.virtualLo, s.virtualHi = r.Uint128(245, "virtual_quote_reserves")
	}
	if has(269) {
		s.creatorFeeBps = readBps(r, 261, "creator_fee_bps")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func (p *program) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	s, err := p.decodeState(key, accounts)
	if err != nil {
		return nil, err
	}
	var balances [2]uint64
	var supply uint64
	for i, key := range s.info.Mints {
		mint, err := token.DecodeMint(accounts, key)
		if err != nil {
			return nil, err
		}
		if mint.HasTransferFee() {
			return nil, &amm.UnsupportedError{
				Account: key, Feature: "transfer fee in a PumpSwap pool", Reason: "how the program accounts for it is not published",
			}
		}
		if balances[i], err = token.Vault(accounts, s.info.Vaults[i], key); err != nil {
			return nil, err
		}
		s.info.TokenPrograms[i], s.info.Decimals[i] = mint.Program, mint.Decimals
		if i == 0 {
			supply = mint.Supply
		}
	}
	s.base, s.quoteBalance = balances[0], balances[1]
	quote, carry := bits.Add64(s.quoteBalance, s.virtualLo, 0)
	if s.virtualHi+carry != 0 { // two's complement: the sum is negative, or beyond 64 bits
		return nil, &amm.DecodeError{Account: key, Field: "virtual_quote_reserves", Reason: "with the vault's balance it is no reserve"}
	}
	s.quote = quote

	configurable, err := s.readConfig(accounts)
	if err != nil {
		return nil, err
	}
	schedule, err := readSchedule(accounts, p.feeConfig)
	if err != nil {
		return nil, err
	}
	s.fees = schedule.flat
	if s.creator == p.canonical.Find("pool-authority", s.info.Mints[0], nil) && s.base > 0 {
		if s.mayhem {
			supply = mayhemSupply
		}
		s.fees = schedule.canonical(s.info.Mints[1], marketCap(s.quote, supply, s.base))
	}
	if configurable && s.creatorFeeBps > 0 {
		s.fees.creator = s.creatorFeeBps
	}
	if s.coinCreator.IsZero() {
		s.fees.creator = 0
	}
	return s, nil
}

// readConfig takes the fee recipients of the global config into s, and says whether pools can have a creator fee of their own.
func (s *pool) readConfig(accounts amm.Accounts) (creatorFeeConfigurable bool, err error) {
	r := accounts.Reader(s.config, s.info.Program)
	r.Discriminator(configDiscriminator)
	// Swaps can be disabled for all pools; which bit stands for what is not published.
	s.disabled = r.Uint8(56, "disable_flags") != 0
	// Any of the eight will do: pools spread over them, so as not to contend for one account's lock.
	n := int(s.info.Address[0] % 8)
	recipientAt := 57 + 32*n
	if s.mayhem {
		if recipientAt = 385; n > 0 {
			recipientAt = 418 + 32*(n-1)
		}
	}
	s.feeRecipient = r.Key(recipientAt, "protocol_fee_recipients")
	s.buybackRecipient = r.Key(643+32*n, "buyback_fee_recipients")
	if r.Len() > 940 {
		creatorFeeConfigurable = r.Bool(940, "creator_fee_configurable")
	}
	return creatorFeeConfigurable, r.Err()
}

// Instructions, by the first 8 bytes of their data.
var (
	buyTag             = []byte{0x66, 0x06, 0x3d, 0x12, 0x01, 0xda, 0xeb, 0xea}
	buyExactQuoteInTag = []byte{0xc6, 0x2e, 0x15, 0x52, 0xb4, 0xd9, 0xe8, 0x70}
	sellTag            = []byte{0x33, 0xe6, 0x85, 0xa4, 0x01, 0x7f, 0x83, 0xad}
)

// SwapAccounts counts the program once, although it is named among the accounts.
func (p *pool) SwapAccounts(quote amm.Quote) int {
	n := 23
	if !quote.AToB {
		n = 25
	}
	if !p.coinCreator.IsZero() {
		n++
	}
	if p.cashback {
		n++
		if quote.AToB {
			n++
		}
	}
	return n
}

// SwapInstruction builds sell for a swap of the base token, and buy or buy_exact_quote_in for one of the quote token. A pool shorter
// than the program wants is an *amm.UnsupportedError.
func (p *pool) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	if !p.extended {
		return nil, &amm.UnsupportedError{
			Account: p.info.Address, Feature: "pool of an old length", Reason: "somebody must call the program's extend_account on it first",
		}
	}
	tag, first, second := sellTag, quote.Amount, swap.Threshold
	switch {
	case quote.AToB && quote.ExactOut: // sell knows no exact output: it is given the most that may go in
		first, second = second, first
	case !quote.AToB && quote.ExactOut:
		tag = buyTag
	case !quote.AToB:
		tag = buyExactQuoteInTag
	}
	data := binary.LittleEndian.AppendUint64(tag[:8:8], first)
	data = binary.LittleEndian.AppendUint64(data, second)
	user := [2]solana.PublicKey{swap.Source, swap.Destination} // base, quote
	if !quote.AToB {
		data = append(data, 1) // track_volume
		user[0], user[1] = user[1], user[0]
	}

	own := func(seeds ...[]byte) solana.PublicKey { return pda.Of(p.info.Program, seeds...) }
	quoteAccount := func(owner solana.PublicKey) solana.PublicKey {
		program, mint := p.info.TokenPrograms[1], p.info.Mints[1]
		return pda.Of(solana.SPLAssociatedTokenAccountProgramID, owner[:], program[:], mint[:])
	}
	creatorVault := own([]byte("creator_vault"), p.coinCreator[:])
	volume := own([]byte("user_volume_accumulator"), swap.User[:])
	metas := solana.AccountMetaSlice{
		solana.Meta(p.info.Address).WRITE(),
		solana.Meta(swap.User).WRITE().SIGNER(),
		solana.Meta(p.config),
		solana.Meta(p.info.Mints[0]),
		solana.Meta(p.info.Mints[1]),
		solana.Meta(user[0]).WRITE(),
		solana.Meta(user[1]).WRITE(),
		solana.Meta(p.info.Vaults[0]).WRITE(),
		solana.Meta(p.info.Vaults[1]).WRITE(),
		solana.Meta(p.feeRecipient),
		solana.Meta(quoteAccount(p.feeRecipient)).WRITE(),
		solana.Meta(p.info.TokenPrograms[0]),
		solana.Meta(p.info.TokenPrograms[1]),
		solana.Meta(solana.SystemProgramID),
		solana.Meta(solana.SPLAssociatedTokenAccountProgramID),
		solana.Meta(own([]byte("__event_authority"))),
		solana.Meta(p.info.Program),
		solana.Meta(quoteAccount(creatorVault)).WRITE(),
		solana.Meta(creatorVault),
	}
	if !quote.AToB {
		metas = append(metas, solana.Meta(own([]byte("global_volume_accumulator"))), solana.Meta(volume).WRITE())
	}
	metas = append(metas, solana.Meta(p.feeConfig), solana.Meta(feeProgram))
	if p.cashback {
		metas = append(metas, solana.Meta(quoteAccount(volume)).WRITE())
		if quote.AToB {
			metas = append(metas, solana.Meta(volume).WRITE())
		}
	}
	if !p.coinCreator.IsZero() {
		metas = append(metas, solana.Meta(own([]byte("pool-v2"), p.info.Mints[0][:])))
	}
	metas = append(metas, solana.Meta(p.buybackRecipient), solana.Meta(quoteAccount(p.buybackRecipient)).WRITE())
	return solana.NewInstruction(p.info.Program, metas, data), nil
}
