package svm_test

import (
	"errors"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/simulator/svm"
)

type vectors struct {
	ProgramID solana.PublicKey `json:"program_id"`
	Clock     struct {
		Slot          uint64 `json:"slot"`
		Epoch         uint64 `json:"epoch"`
		UnixTimestamp int64  `json:"unix_timestamp"`
	} `json:"clock"`
	Pools []struct {
		ID       string           `json:"id"`
		Pool     solana.PublicKey `json:"pool"`
		Accounts []struct {
			Key   solana.PublicKey `json:"pubkey"`
			Owner solana.PublicKey `json:"owner"`
			Data  []byte           `json:"data"`
		} `json:"accounts"`
		User  solana.PublicKey `json:"user"`
		Swaps []struct {
			InMint solana.PublicKey `json:"in_mint"`
			Mode   string           `json:"mode"`
			Amount uint64           `json:"amount,string"`
			OK     bool             `json:"ok"`
			In     uint64           `json:"in_amount,string"`
			Out    uint64           `json:"out_amount,string"`
		} `json:"swaps"`
	} `json:"pools"`
}

// Transactions executed here must move exactly what the real program moved, fail where it failed, and make no token out of nothing.
func TestSwapsMoveWhatTheRealProgramMoved(t *testing.T) {
	var file vectors
	ammtest.ReadFixture(t, "solana/vectors/vectors-raydium-cpmm.json.gz", &file)
	run := &svm.Runtime{CPMM: raydiumcpmm.New(file.ProgramID)}
	accepted, refused := 0, 0
	for _, vector := range file.Pools {
		l := newLedger()
		l.fund(vector.User, 1_000_000_000)
		for _, a := range vector.Accounts {
			l[a.Key] = &amm.Account{Owner: a.Owner, Lamports: svm.RentExemptLamports(len(a.Data)), Data: a.Data}
		}
		pool, err := svm.DecodePool(run.CPMM, vector.Pool, l.get)
		if err != nil {
			t.Fatalf("%s: %v", vector.ID, err)
		}
		info := pool.Info()
		var wallets [2]solana.PublicKey
		for i, mint := range info.Mints {
			wallets[i] = svm.AssociatedAddress(vector.User, mint, info.TokenPrograms[i])
			l[wallets[i]] = svm.TokenAccount(mint, l[mint], vector.User, 1<<62, true)
		}
		for _, swap := range vector.Swaps {
			in := 0
			if swap.InMint != info.Mints[0] {
				in = 1
			}
			req := amm.Request{AToB: in == 0, ExactOut: swap.Mode == "exact_out", Amount: swap.Amount}
			limits := []uint64{0, swap.Out, swap.Out + 1}
			if req.ExactOut {
				limits = []uint64{^uint64(0), swap.In, swap.In - 1}
			}
			if !swap.OK {
				limits = limits[:1]
			}
			for i, limit := range limits {
				instruction, err := pool.SwapInstruction(amm.Quote{Request: req}, amm.Swap{User: vector.User, Source: wallets[in], Destination: wallets[1-in], Threshold: limit})
				if err != nil {
					t.Fatal(err)
				}
				tx, err := solana.NewTransaction([]solana.Instruction{instruction}, solana.Hash{}, solana.TransactionPayer(vector.User))
				if err != nil {
					t.Fatal(err)
				}
				tx.Signatures = make([]solana.Signature, 1)
				accounts := svm.NewAccounts(l.get)
				out := run.Execute(tx, accounts, amm.Clock(file.Clock))
				if !swap.OK {
					refused++
					if out.Err == nil {
						t.Errorf("%s: %+v went through", vector.ID, req)
					}
					continue
				}
				accepted++
				if i == 2 {
					var failed *svm.TransactionError
					if !errors.As(out.Err, &failed) || failed.Cause != svm.Custom(6005) {
						t.Errorf("%s: %+v beyond its limit: %v", vector.ID, req, out.Err)
					}
					continue
				}
				if out.Err != nil {
					t.Errorf("%s: %+v: %v", vector.ID, req, out.Err)
					continue
				}
				gotIn, gotOut := uint64(1<<62)-svm.Balance(accounts.Get(wallets[in])), svm.Balance(accounts.Get(wallets[1-in]))-1<<62
				if gotIn != swap.In || gotOut != swap.Out {
					t.Errorf("%s: %+v moved %d for %d, the real program %d for %d", vector.ID, req, gotIn, gotOut, swap.In, swap.Out)
				}
				for side := range 2 {
					before := total(l.get(wallets[side])) + total(l.get(info.Vaults[side]))
					if after := total(accounts.Get(wallets[side])) + total(accounts.Get(info.Vaults[side])); after != before {
						t.Errorf("%s: %+v: %d units of mint %d became %d", vector.ID, req, before, side, after)
					}
				}
				checkProduct(t, vector.ID, info, l.get, accounts.Get)
			}
		}
	}
	t.Logf("accepted %d, refused %d", accepted, refused)
	if accepted < 2_000 || refused < 300 {
		t.Errorf("too few were tried: accepted %d, refused %d", accepted, refused)
	}
}

// checkProduct fails if traders can take more out than they put in: fees that are owed must not come off what is traded against.
func checkProduct(t *testing.T, id string, info *amm.Info, before, after func(solana.PublicKey) *amm.Account) {
	t.Helper()
	a, b := svm.Reserves(info, before), svm.Reserves(info, after)
	if product(b).Cmp(product(a)) < 0 {
		t.Errorf("%s: reserves %v became %v", id, a, b)
	}
}
