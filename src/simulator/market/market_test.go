package market_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/amm/token"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

var (
	cpmm = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
	usdc = solana.MustPublicKeyFromBase58("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
)

func newMarket(t testing.TB, seed uint64) *market.Market {
	t.Helper()
	m, err := market.New(market.Config{Seed: seed, Start: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC), CPMM: raydiumcpmm.New(cpmm)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func step(t testing.TB, m *market.Market, n int) {
	t.Helper()
	if err := m.Step(n); err != nil {
		t.Fatal(err)
	}
}

func tip(m *market.Market) *market.Snapshot { return m.At(market.Processed) }

func TestSameSeedGivesTheSameChain(t *testing.T) {
	a, b, other := newMarket(t, 7), newMarket(t, 7), newMarket(t, 8)
	step(t, a, 50)
	for range 50 {
		step(t, b, 1)
	}
	step(t, other, 50)
	x, y := tip(a), tip(b)
	if x.Slot != y.Slot || x.Blockhash != y.Blockhash || !x.Time.Equal(y.Time) || len(x.Accounts()) != len(y.Accounts()) {
		t.Fatalf("slots %d and %d, hashes %s and %s, %d and %d accounts", x.Slot, y.Slot, x.Blockhash, y.Blockhash, len(x.Accounts()), len(y.Accounts()))
	}
	for key, account := range x.Accounts() {
		if twin := y.Account(key); twin == nil || account.Lamports != twin.Lamports || !bytes.Equal(account.Data, twin.Data) {
			t.Errorf("account %s differs", key)
		}
	}
	if pool := a.Pools()[0]; bytes.Equal(x.Account(pool).Data, tip(other).Account(pool).Data) {
		t.Error("another seed gives the same pool")
	}
}

// Mainnet's own SOL/USDC pool of the standard fee tier is in the market, so every address that follows from it must be mainnet's.
func TestAddressesAreDerivedAsTheProgramDerivesThem(t *testing.T) {
	m := newMarket(t, 1)
	s := tip(m)
	info := s.Pools[0].Info()
	data := s.Account(info.Address).Data
	got := map[string]solana.PublicKey{
		"pool": info.Address, "vault 0": info.Vaults[0], "vault 1": info.Vaults[1],
		"fee tier": solana.PublicKey(data[8:40]), "observation": solana.PublicKey(data[296:328]),
		"authority": solana.PublicKey(s.Account(info.Vaults[0]).Data[32:64]),
	}
	for name, want := range map[string]string{
		"pool":        "7JuwJuNU88gurFnyWeiyGKbFmExMWcmRZntn9imEzdny",
		"vault 0":     "7VLUXrnSSDo9BfCa4NWaQs68g7ddDY1sdXBKW6Xswj9Y",
		"vault 1":     "3rzbbW5Q8MA7sCaowf28hNgACNPecdS2zceWy7Ptzua9",
		"fee tier":    "D4FPEruKEHrG5TenZ2mpDGEfu1iUvTiqBxvpU8HLBvC2",
		"observation": "4MYrPgjgFceyhtwhG1ZX8UVb4wn1aQB5wzMimtFqg7U8",
		"authority":   "GpMZbSM2GgvTKHJirzeGfMFoaZ8UR2X7F4v8vHTvxFbL",
	} {
		if got[name].String() != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
}

func TestAccountsHaveTheirSizesOwnersAndRent(t *testing.T) {
	m := newMarket(t, 1)
	s := tip(m)
	for key, account := range s.Accounts() {
		if account.Lamports < svm.RentExemptLamports(len(account.Data)) && !market.Executable(account) {
			t.Errorf("%s: %d lamports for %d bytes are not rent-exempt", key, account.Lamports, len(account.Data))
		}
	}
	for i, pool := range s.Pools {
		info := pool.Info()
		data := s.Account(m.Pools()[i]).Data
		if len(data) != 637 || len(s.Account(solana.PublicKey(data[8:40])).Data) != 236 || len(s.Account(solana.PublicKey(data[296:328])).Data) != 4075 {
			t.Errorf("pool %s: sizes of pool, tier or observation are wrong", info.Address)
		}
		for side, vault := range info.Vaults {
			held, err := token.DecodeAccount(s.Accounts(), vault)
			if err != nil || held.Mint != info.Mints[side] {
				t.Errorf("vault %s: %+v, %v", vault, held, err)
			}
			if account := s.Account(vault); info.Mints[side] == solana.WrappedSol && account.Lamports != held.Amount+2_039_280 {
				t.Errorf("vault %s holds %d wrapped lamports but %d lamports", vault, held.Amount, account.Lamports)
			}
		}
	}
}

// Nothing is made or lost: all token accounts of a mint sum to its supply, and all lamports stay what they were.
func TestTradingConservesEveryToken(t *testing.T) {
	m := newMarket(t, 3)
	before := lamports(tip(m))
	step(t, m, 400)
	s := tip(m)
	if after := lamports(s); after != before {
		t.Errorf("lamports went from %d to %d", before, after)
	}
	sums := make(map[solana.PublicKey]uint64)
	for key, account := range s.Accounts() {
		if (account.Owner == solana.TokenProgramID || account.Owner == solana.Token2022ProgramID) && m.Token(key) == nil && len(account.Data) >= 165 {
			sums[solana.PublicKey(account.Data[:32])] += svm.Balance(account) + withheld(account.Data)
		}
	}
	for _, tok := range m.Tokens() {
		mint, err := token.DecodeMint(s.Accounts(), tok.Mint)
		if err != nil {
			t.Fatal(err)
		}
		if tok.Mint != solana.WrappedSol && sums[tok.Mint] != mint.Supply {
			t.Errorf("%s: accounts hold %d, the supply is %d", tok.Symbol, sums[tok.Mint], mint.Supply)
		}
	}
}

func lamports(s *market.Snapshot) (sum uint64) {
	for _, account := range s.Accounts() {
		sum += account.Lamports
	}
	return sum
}

// withheld is the transfer fees that lie in an account of the one mint that has them.
func withheld(data []byte) uint64 {
	if i := bytes.Index(data[165:], []byte{2, 0, 8, 0}); i >= 0 {
		return binary.LittleEndian.Uint64(data[165+i+4:])
	}
	return 0
}

// A pool's product of reserves must never shrink, whatever the traders do: that is what the fee is for.
func TestReservesNeverLoseValue(t *testing.T) {
	m := newMarket(t, 4)
	product := func() (products []float64) {
		s := tip(m)
		for _, pool := range s.Pools {
			r := svm.Reserves(pool.Info(), s.Account)
			products = append(products, float64(r[0])*float64(r[1]))
		}
		return products
	}
	before := product()
	for range 20 {
		step(t, m, 20)
		after := product()
		for i := range after {
			if after[i] < before[i]*(1-1e-12) {
				t.Fatalf("pool %d: product went from %g to %g", i, before[i], after[i])
			}
		}
		before = after
	}
}

func TestPoolsAgreeOnPrices(t *testing.T) {
	m := newMarket(t, 5)
	step(t, m, 300)
	s := tip(m)
	for _, pool := range s.Pools {
		info := pool.Info()
		a, _ := s.Price(info.Mints[0])
		b, _ := s.Price(info.Mints[1])
		fair := a.USD / b.USD * math.Pow10(int(info.Decimals[1])-int(info.Decimals[0]))
		if off := math.Abs(pool.SpotPrice(true)/fair - 1); off > 0.09 || off > 0.02 && !slices.Contains(info.TokenPrograms[:], solana.Token2022ProgramID) {
			t.Errorf("pool %s of %v is %.2f%% off", info.Address, info.Mints, off*100)
		}
	}
}

func TestEveryPoolMoves(t *testing.T) {
	m := newMarket(t, 6)
	before := tip(m)
	step(t, m, 200)
	for i, pool := range tip(m).Pools {
		if pool.SpotPrice(true) == before.Pools[i].SpotPrice(true) {
			t.Errorf("pool %d of %v did not move", i, pool.Info().Mints)
		}
	}
}

func TestCommitmentsLagBehind(t *testing.T) {
	m := newMarket(t, 1)
	for range 3 {
		p, c, f := m.At(market.Processed), m.At(market.Confirmed), m.At(market.Finalized)
		if p.Slot-c.Slot != 2 || p.Slot-f.Slot != 31 {
			t.Errorf("processed %d, confirmed %d, finalized %d", p.Slot, c.Slot, f.Slot)
		}
		step(t, m, 1)
		if got := m.At(market.Confirmed); got.Slot != c.Slot+1 {
			t.Errorf("confirmed went from %d to %d", c.Slot, got.Slot)
		}
	}
}

func TestASnapshotNeverChanges(t *testing.T) {
	m := newMarket(t, 2)
	s := tip(m)
	copied := make(map[solana.PublicKey][]byte)
	for key, account := range s.Accounts() {
		copied[key] = bytes.Clone(account.Data)
	}
	step(t, m, 100)
	for key, data := range copied {
		if !bytes.Equal(s.Account(key).Data, data) {
			t.Errorf("account %s of slot %d changed afterwards", key, s.Slot)
		}
	}
}

func TestClockSysvarFollowsTheSlot(t *testing.T) {
	m := newMarket(t, 1)
	step(t, m, 5)
	s := tip(m)
	data := s.Account(solana.SysVarClockPubkey).Data
	if slot, at := binary.LittleEndian.Uint64(data), int64(binary.LittleEndian.Uint64(data[32:])); slot != s.Slot || at != s.Time.Unix() {
		t.Errorf("clock says slot %d at %d, want %d at %d", slot, at, s.Slot, s.Time.Unix())
	}
	if want := time.Date(2026, 11, 2, 12, 0, 2, 0, time.UTC); !s.Time.Equal(want) {
		t.Errorf("five slots after the start it is %v, want %v", s.Time, want)
	}
}

func TestRunTakesASlotEvery400Milliseconds(t *testing.T) {
	m := newMarket(t, 1)
	synctest.Test(t, func(t *testing.T) {
		first := tip(m).Slot
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(10*market.SlotDuration + time.Millisecond)
		synctest.Wait()
		if got := tip(m).Slot - first; got != 10 {
			t.Errorf("%d slots in 4 s, want 10", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFollowSeesEverySlotOnce(t *testing.T) {
	m := newMarket(t, 1)
	from := m.At(market.Confirmed).Slot
	var slots []uint64
	started := make(chan struct{})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		close(started)
		m.Follow(ctx, func(heads market.Heads) error {
			s := heads[market.Confirmed]
			if slots = append(slots, s.Slot); s.Slot >= from+100 {
				cancel()
			}
			return nil
		})
	}()
	<-started
	for {
		select {
		case <-done:
			for i := range slots[1:] {
				if slots[i+1] != slots[i]+1 {
					t.Fatalf("slot %d follows %d", slots[i+1], slots[i])
				}
			}
			return
		default:
			step(t, m, 1)
		}
	}
}

func TestFundGivesAWalletTokens(t *testing.T) {
	m := newMarket(t, 1)
	wallet := solana.NewWallet().PublicKey()
	before := lamports(tip(m))
	if err := m.Fund(wallet, usdc, 5_000_000); err != nil {
		t.Fatal(err)
	}
	if err := m.FundSOL(wallet, 3_000_000_000); err != nil {
		t.Fatal(err)
	}
	step(t, m, 1)
	s := tip(m)
	held, err := token.DecodeAccount(s.Accounts(), svm.AssociatedAddress(wallet, usdc, solana.TokenProgramID))
	if err != nil || held.Amount != 5_000_000 || held.Owner != wallet {
		t.Errorf("got %+v, %v", held, err)
	}
	if got := s.Account(wallet); got == nil || got.Lamports != 3_000_000_000 {
		t.Errorf("wallet is %+v", got)
	}
	if after := lamports(s); after != before {
		t.Errorf("lamports went from %d to %d", before, after)
	}
	if err := m.Fund(wallet, wallet, 1); err == nil {
		t.Error("an unknown mint was accepted")
	}
}

func TestBlockhashesExpireAfter150Blocks(t *testing.T) {
	m := newMarket(t, 1)
	old := tip(m)
	step(t, m, 150)
	if s := tip(m); !m.BlockhashValid(s, old.Blockhash) || s.Height() != old.LastValidHeight() {
		t.Error("150 blocks later the blockhash is no longer good")
	}
	step(t, m, 1)
	if m.BlockhashValid(tip(m), old.Blockhash) {
		t.Error("151 blocks later the blockhash is still good")
	}
}

func BenchmarkStep(b *testing.B) {
	m := newMarket(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Step(1); err != nil {
			b.Fatal(err)
		}
	}
}
