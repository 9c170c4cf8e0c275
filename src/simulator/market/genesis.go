package market

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/svm"
)

var (
	sysvarOwner        = solana.MustPublicKeyFromBase58("Sysvar1111111111111111111111111111111111111")
	nativeLoader       = solana.MustPublicKeyFromBase58("NativeLoader1111111111111111111111111111111")
	discriminatorPool  = []byte{0xf7, 0xed, 0xe3, 0xf5, 0xd7, 0xc3, 0xde, 0x46}
	discriminatorTier  = []byte{0xda, 0xf4, 0x21, 0x68, 0xcb, 0xcb, 0x2b, 0x6f}
	discriminatorPrice = []byte{0x7a, 0xae, 0xc5, 0x35, 0x81, 0x09, 0xa5, 0x84}
)

const (
	poolLen, tierLen, observationLen = 637, 236, 4075
	lpDecimals                       = 9
	// lockedLiquidity are the LP units that no one owns.
	lockedLiquidity = 100
	// The traders own this many times what is in the pools.
	traderShare = 200
)

// genesis is the state before the first step.
func (m *Market) genesis() (*Snapshot, error) {
	s := m.newSnapshot(firstSlot)
	s.accounts = make(map[solana.PublicKey]*amm.Account)
	s.prices = make(map[solana.PublicKey]Price)
	s.accounts[solana.SysVarClockPubkey] = clockAccount(s)
	s.accounts[solana.SysVarRentPubkey] = rentAccount()
	programs(s.accounts, m.runtime.CPMM.ID())
	m.trader = solana.PublicKey(m.digest("trader", 0))

	bySymbol := make(map[string]int)
	for i, spec := range tokenSpecs {
		t := &Token{
			Symbol: spec.symbol, Name: spec.name, Mint: solana.MustPublicKeyFromBase58(spec.mint), Decimals: spec.decimals,
			Program: solana.TokenProgramID, Intermediate: spec.intermediate, Tags: spec.tags, spec: spec,
		}
		if spec.fee != nil {
			t.Program = solana.Token2022ProgramID
		}
		t.index = i
		bySymbol[spec.symbol] = i
		m.tokens = append(m.tokens, t)
		m.byMint[t.Mint] = t
		start := spec.price
		if spec.solRatio == 0 && !spec.peg {
			start += m.spread(start, 20_000)
		} else if spec.solRatio > 0 {
			start = mulDiv(s.worth[0], spec.solRatio, 1_000_000)
		}
		m.starts = append(m.starts, start)
		s.worth = append(s.worth, start)
		s.prices[t.Mint] = Price{USD: dollars(start), Slot: s.Slot}
		s.accounts[t.Mint] = t.mintAccount(0) // supply follows
	}

	tiers := make(map[uint16]solana.PublicKey)
	for _, tier := range feeTiers {
		key, account := m.tierAccount(tier)
		tiers[tier.index], s.accounts[key] = key, account
	}
	pooled := make([]uint64, len(m.tokens))
	for _, spec := range poolSpecs {
		if err := m.addPool(s, spec, tiers[spec.tier], [2]int{bySymbol[spec.tokens[0]], bySymbol[spec.tokens[1]]}, pooled); err != nil {
			return nil, fmt.Errorf("pool %s: %w", spec.tokens, err)
		}
	}
	for i, t := range m.tokens {
		held := pooled[i] * traderShare
		key := svm.AssociatedAddress(m.trader, t.Mint, t.Program)
		s.accounts[key] = svm.TokenAccount(t.Mint, s.accounts[t.Mint], m.trader, held, true)
		if t.Mint != solana.WrappedSol { // whose supply is 0 on chain
			s.accounts[t.Mint] = t.mintAccount(held + pooled[i])
		}
	}
	s.accounts[m.trader] = &amm.Account{Owner: solana.SystemProgramID, Lamports: 10_000_000 * solana.LAMPORTS_PER_SOL}
	s.Pools = make([]amm.Pool, len(m.pools))
	return s, m.decodePools(s)
}

func (t *Token) mintAccount(supply uint64) *amm.Account {
	mint := svm.Mint{Supply: supply, Decimals: t.Decimals, Fee: t.spec.fee}
	if t.spec.authority != "" {
		mint.Authority = solana.MustPublicKeyFromBase58(t.spec.authority)
	}
	if t.spec.freezeAuthority != "" {
		mint.FreezeAuthority = solana.MustPublicKeyFromBase58(t.spec.freezeAuthority)
	}
	return mint.Account()
}

// spread is a random change of v of at most ppm millionths, as a two's complement addend.
func (m *Market) spread(v, ppm uint64) uint64 {
	most := mulDiv(v, ppm, 1_000_000)
	return m.rng.Uint64N(2*most+1) - most
}

// tierAccount is the AmmConfig of a fee tier.
func (m *Market) tierAccount(tier feeTier) (solana.PublicKey, *amm.Account) {
	index := binary.BigEndian.AppendUint16(nil, tier.index) // big-endian in the seed alone
	key, bump := m.pda([]byte("amm_config"), index)
	data := make([]byte, tierLen)
	copy(data, discriminatorTier)
	data[8] = bump
	binary.LittleEndian.PutUint16(data[10:], tier.index)
	for at, v := range map[int]uint64{12: tier.tradeRate, 20: tier.protocolRate, 28: tier.fundRate, 36: 150_000_000} {
		binary.LittleEndian.PutUint64(data[at:], v)
	}
	owner := m.digest("fee owner", 0)
	copy(data[44:], owner[:])
	copy(data[76:], owner[:])
	return key, m.owned(data)
}

// addPool makes a pool with its vaults, LP mint and observation, and adds to pooled what is in it.
func (m *Market) addPool(s *Snapshot, spec poolSpec, tier solana.PublicKey, sides [2]int, pooled []uint64) error {
	if comparePublicKeys(m.tokens[sides[0]].Mint, m.tokens[sides[1]].Mint) > 0 { // the program wants them in order
		sides[0], sides[1] = sides[1], sides[0]
	}
	tokens := [2]*Token{m.tokens[sides[0]], m.tokens[sides[1]]}
	key, _ := m.pda([]byte("pool"), tier[:], tokens[0].Mint[:], tokens[1].Mint[:])
	if s.accounts[key] != nil {
		return fmt.Errorf("%s exists already", key)
	}
	authority, authorityBump := m.pda([]byte("vault_and_lp_mint_auth_seed"))
	lpMint, _ := m.pda([]byte("pool_lp_mint"), key[:])
	observation, _ := m.pda([]byte("observation"), key[:])
	creator := m.digest("creator", 0, key[:])

	data := make([]byte, poolLen)
	copy(data, discriminatorPool)
	copy(data[8:], tier[:])
	copy(data[40:], creator[:])
	var reserves [2]uint64
	for i, t := range tokens {
		reserves[i] = mulDiv(spec.worthUSD/2*picoPerUSD, uint64(math.Pow10(int(t.Decimals))), s.worth[sides[i]])
		reserves[i] += m.spread(reserves[i], 2_000)
		pooled[sides[i]] += reserves[i]
		vault, _ := m.pda([]byte("pool_vault"), key[:], t.Mint[:])
		s.accounts[vault] = svm.TokenAccount(t.Mint, s.accounts[t.Mint], authority, reserves[i], false)
		copy(data[72+32*i:], vault[:])
		copy(data[168+32*i:], t.Mint[:])
		copy(data[232+32*i:], t.Program[:])
		data[331+i] = t.Decimals
	}
	copy(data[136:], lpMint[:])
	copy(data[296:], observation[:])
	data[328], data[330] = authorityBump, lpDecimals
	product := new(uint256.Int).Mul(uint256.NewInt(reserves[0]), uint256.NewInt(reserves[1]))
	supply := product.Sqrt(product).Uint64() - lockedLiquidity
	binary.LittleEndian.PutUint64(data[333:], supply)
	binary.LittleEndian.PutUint64(data[373:], uint64(s.Time.Unix())-90*24*3600)
	binary.LittleEndian.PutUint64(data[381:], s.Epoch())
	s.accounts[key] = m.owned(data)
	s.accounts[lpMint] = svm.Mint{Authority: authority, Supply: supply, Decimals: lpDecimals}.Account()

	watched := make([]byte, observationLen)
	copy(watched, discriminatorPrice)
	copy(watched[11:], key[:])
	s.accounts[observation] = m.owned(watched)
	m.pools = append(m.pools, key)
	band := feeTiers[spec.tier].tradeRate
	for _, t := range tokens {
		if t.spec.fee != nil {
			band += 100 * uint64(t.spec.fee.Bps)
		}
	}
	m.bands = append(m.bands, band)
	return nil
}

func (m *Market) pda(seeds ...[]byte) (solana.PublicKey, uint8) {
	key, bump, err := solana.FindProgramAddress(seeds, m.runtime.CPMM.ID())
	if err != nil {
		panic(err) // one seed in 2^256 has no bump
	}
	return key, bump
}

func (m *Market) owned(data []byte) *amm.Account {
	return &amm.Account{Owner: m.runtime.CPMM.ID(), Lamports: svm.RentExemptLamports(len(data)), Data: data}
}

// programs adds the accounts of the programs themselves: native ones hold their name, the others the address of their code, which is not here.
func programs(accounts map[solana.PublicKey]*amm.Account, cpmm solana.PublicKey) {
	for key, name := range map[solana.PublicKey]string{solana.SystemProgramID: "system_program", solana.ComputeBudget: "compute_budget_program"} {
		accounts[key] = &amm.Account{Owner: nativeLoader, Lamports: 1, Data: []byte(name)}
	}
	for _, key := range []solana.PublicKey{solana.TokenProgramID, solana.Token2022ProgramID, solana.SPLAssociatedTokenAccountProgramID, solana.MemoProgramID, cpmm} {
		code, _, err := solana.FindProgramAddress([][]byte{key[:]}, solana.BPFLoaderUpgradeableProgramID)
		if err != nil {
			panic(err)
		}
		data := binary.LittleEndian.AppendUint32(nil, 2)
		data = append(data, code[:]...)
		accounts[key] = &amm.Account{Owner: solana.BPFLoaderUpgradeableProgramID, Lamports: svm.RentExemptLamports(len(data)), Data: data}
	}
}

// Executable says whether an account is a program.
func Executable(account *amm.Account) bool {
	return account.Owner == nativeLoader || account.Owner == solana.BPFLoaderUpgradeableProgramID
}

// clockAccount is the clock sysvar: slot, start of the epoch, epoch, leader schedule's epoch, time.
func clockAccount(s *Snapshot) *amm.Account {
	data := make([]byte, 0, 40)
	epochStart := s.Time.Add(-time.Duration(s.Slot%SlotsPerEpoch) * SlotDuration)
	for _, v := range []uint64{s.Slot, uint64(epochStart.Unix()), s.Epoch(), s.Epoch() + 1, uint64(s.Time.Unix())} {
		data = binary.LittleEndian.AppendUint64(data, v)
	}
	return &amm.Account{Owner: sysvarOwner, Lamports: svm.RentExemptLamports(len(data)), Data: data}
}

// rentAccount is the rent sysvar: lamports per byte and year, years, burnt percent.
func rentAccount() *amm.Account {
	data := binary.LittleEndian.AppendUint64(nil, 3480)
	data = binary.LittleEndian.AppendUint64(data, math.Float64bits(2))
	data = append(data, 50)
	return &amm.Account{Owner: sysvarOwner, Lamports: svm.RentExemptLamports(len(data)), Data: data}
}

func comparePublicKeys(a, b solana.PublicKey) int { return bytes.Compare(a[:], b[:]) }

// mulDiv is floor(a*b/c), which must fit.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}

func dollars(p picoUSD) float64 { return float64(p) / picoPerUSD }
