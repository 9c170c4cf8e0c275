package svm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/simulator/svm"
)

var (
	cpmm    = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
	runtime = &svm.Runtime{CPMM: raydiumcpmm.New(cpmm)}
	clock   = amm.Clock{Slot: 400_000_000, Epoch: 925, UnixTimestamp: 1_790_000_000}
)

// ledger is accounts without a chain.
type ledger map[solana.PublicKey]*amm.Account

func (l ledger) get(key solana.PublicKey) *amm.Account { return l[key] }

func newLedger() ledger {
	l := ledger{}
	for _, program := range []solana.PublicKey{
		solana.SystemProgramID, solana.ComputeBudget, solana.TokenProgramID, solana.Token2022ProgramID,
		solana.SPLAssociatedTokenAccountProgramID, solana.MemoProgramID, cpmm,
	} {
		l[program] = &amm.Account{Owner: solana.BPFLoaderUpgradeableProgramID, Lamports: 1}
	}
	l[solana.WrappedSol] = svm.Mint{Decimals: 9}.Account()
	return l
}

func (l ledger) fund(wallet solana.PublicKey, lamports uint64) {
	l[wallet] = &amm.Account{Owner: solana.SystemProgramID, Lamports: lamports}
}

// run executes an unsigned transaction and keeps what it wrote.
func (l ledger) run(t *testing.T, payer solana.PublicKey, instructions ...solana.Instruction) svm.Outcome {
	t.Helper()
	tx, err := solana.NewTransaction(instructions, solana.Hash{}, solana.TransactionPayer(payer))
	if err != nil {
		t.Fatal(err)
	}
	tx.Signatures = make([]solana.Signature, tx.Message.Header.NumRequiredSignatures)
	accounts := svm.NewAccounts(l.get)
	out := runtime.Execute(tx, accounts, clock)
	for key, account := range accounts.Written() {
		if account.Lamports == 0 {
			delete(l, key)
		} else {
			l[key] = account
		}
	}
	return out
}

func (l ledger) lamports() (sum uint64) {
	for _, account := range l {
		sum += account.Lamports
	}
	return sum
}

func key(n byte) solana.PublicKey { return solana.PublicKey{n, 1, 2, 3} }

func instruction(program solana.PublicKey, data []byte, metas ...*solana.AccountMeta) solana.Instruction {
	return solana.NewInstruction(program, metas, data)
}

func createIdempotent(payer, wallet, mint, program solana.PublicKey) solana.Instruction {
	return instruction(solana.SPLAssociatedTokenAccountProgramID, []byte{1},
		solana.Meta(payer).SIGNER().WRITE(), solana.Meta(svm.AssociatedAddress(wallet, mint, program)).WRITE(), solana.Meta(wallet),
		solana.Meta(mint), solana.Meta(solana.SystemProgramID), solana.Meta(program))
}

func transferSOL(from, to solana.PublicKey, lamports uint64) solana.Instruction {
	return instruction(solana.SystemProgramID, binary.LittleEndian.AppendUint64([]byte{2, 0, 0, 0}, lamports), solana.Meta(from).SIGNER().WRITE(), solana.Meta(to).WRITE())
}

func closeAccount(account, owner solana.PublicKey) solana.Instruction {
	return instruction(solana.TokenProgramID, []byte{9}, solana.Meta(account).WRITE(), solana.Meta(owner).WRITE(), solana.Meta(owner).SIGNER())
}

func syncNative(account solana.PublicKey) solana.Instruction {
	return instruction(solana.TokenProgramID, []byte{17}, solana.Meta(account).WRITE())
}

func TestWrappingAndUnwrappingSOLLosesOnlyTheFee(t *testing.T) {
	l, user := newLedger(), key(1)
	l.fund(user, 10_000_000_000)
	before := l.lamports()
	account := svm.AssociatedAddress(user, solana.WrappedSol, solana.TokenProgramID)
	wrap := []solana.Instruction{
		createIdempotent(user, user, solana.WrappedSol, solana.TokenProgramID), transferSOL(user, account, 3_000_000_000), syncNative(account),
	}
	if out := l.run(t, user, wrap...); out.Err != nil {
		t.Fatal(out.Err)
	}
	if got := svm.Balance(l[account]); got != 3_000_000_000 || l[account].Lamports != got+2_039_280 {
		t.Errorf("wrapped %d in %d lamports", got, l[account].Lamports)
	}
	if out := l.run(t, user, wrap...); out.Err != nil || svm.Balance(l[account]) != 6_000_000_000 {
		t.Errorf("wrapping again: %v, %d", out.Err, svm.Balance(l[account]))
	}
	if out := l.run(t, user, closeAccount(account, user)); out.Err != nil {
		t.Fatal(out.Err)
	}
	if l[account] != nil || l[user].Lamports != 10_000_000_000-3*5_000 || l.lamports() != before-3*5_000 {
		t.Errorf("after closing the user has %d, all have %d of %d", l[user].Lamports, l.lamports(), before)
	}
}

func TestAFailedTransactionCostsItsFeeAndNothingElse(t *testing.T) {
	l, user := newLedger(), key(1)
	l.fund(user, 1_000_000_000)
	price := instruction(solana.ComputeBudget, binary.LittleEndian.AppendUint64([]byte{3}, 1_000_000))
	limit := instruction(solana.ComputeBudget, binary.LittleEndian.AppendUint32([]byte{2}, 100_000))
	out := l.run(t, user, price, limit, transferSOL(user, key(2), 400_000_000), transferSOL(user, key(2), 900_000_000))
	var failed *svm.TransactionError
	if !errors.As(out.Err, &failed) || failed.Instruction != 3 || failed.Cause != svm.Custom(1) || !svm.Failed(out.Err) {
		t.Errorf("got %v", out.Err)
	}
	if want := uint64(5_000 + 100_000); out.FeeLamports != want || l[user].Lamports != 1_000_000_000-want || l[key(2)] != nil {
		t.Errorf("fee %d, user has %d, receiver %v", out.FeeLamports, l[user].Lamports, l[key(2)])
	}
}

func TestComputeUnitLimitStopsATransaction(t *testing.T) {
	l, user := newLedger(), key(1)
	l.fund(user, 1_000_000_000)
	limit := instruction(solana.ComputeBudget, binary.LittleEndian.AppendUint32([]byte{2}, 1_000))
	out := l.run(t, user, limit, createIdempotent(user, user, solana.WrappedSol, solana.TokenProgramID))
	var failed *svm.TransactionError
	if !errors.As(out.Err, &failed) || failed.Cause != svm.Builtin("ComputationalBudgetExceeded") || out.Units != 1_000 {
		t.Errorf("got %v after %d units", out.Err, out.Units)
	}
}

func TestTokenProgramRefusals(t *testing.T) {
	mint, other := key(10), key(11)
	setup := func() (ledger, solana.PublicKey, solana.PublicKey) {
		l := newLedger()
		l.fund(key(1), 1_000_000_000)
		l.fund(key(2), 1_000_000_000)
		l[mint], l[other] = svm.Mint{Decimals: 6, Supply: 100}.Account(), svm.Mint{Decimals: 6}.Account()
		a := svm.AssociatedAddress(key(1), mint, solana.TokenProgramID)
		b := svm.AssociatedAddress(key(2), mint, solana.TokenProgramID)
		l[a], l[b] = svm.TokenAccount(mint, l[mint], key(1), 60, true), svm.TokenAccount(mint, l[mint], key(2), 40, true)
		return l, a, b
	}
	transfer := func(from, to, owner solana.PublicKey, amount uint64) solana.Instruction {
		return instruction(solana.TokenProgramID, binary.LittleEndian.AppendUint64([]byte{3}, amount), solana.Meta(from).WRITE(), solana.Meta(to).WRITE(), solana.Meta(owner).SIGNER())
	}
	for name, test := range map[string]struct {
		make func(l ledger, a, b solana.PublicKey) solana.Instruction
		want error
	}{
		"all is well":            {func(_ ledger, a, b solana.PublicKey) solana.Instruction { return transfer(a, b, key(1), 60) }, nil},
		"more than there is":     {func(_ ledger, a, b solana.PublicKey) solana.Instruction { return transfer(a, b, key(1), 61) }, svm.Custom(1)},
		"somebody else's tokens": {func(_ ledger, a, b solana.PublicKey) solana.Instruction { return transfer(b, a, key(1), 1) }, svm.Custom(4)},
		"owner did not sign": {func(_ ledger, a, b solana.PublicKey) solana.Instruction {
			return instruction(solana.TokenProgramID, binary.LittleEndian.AppendUint64([]byte{3}, 1), solana.Meta(b).WRITE(), solana.Meta(a).WRITE(), solana.Meta(key(2)))
		}, svm.Builtin("MissingRequiredSignature")},
		"read-only destination": {func(_ ledger, a, b solana.PublicKey) solana.Instruction {
			return instruction(solana.TokenProgramID, binary.LittleEndian.AppendUint64([]byte{3}, 1), solana.Meta(a).WRITE(), solana.Meta(b), solana.Meta(key(1)).SIGNER())
		}, svm.Builtin("ReadonlyDataModified")},
		"other mint": {func(l ledger, a, b solana.PublicKey) solana.Instruction {
			l[b] = svm.TokenAccount(other, l[other], key(2), 0, true)
			return transfer(a, b, key(1), 1)
		}, svm.Custom(3)},
		"frozen": {func(l ledger, a, b solana.PublicKey) solana.Instruction {
			l[b].Data[108] = 2
			return transfer(a, b, key(1), 1)
		}, svm.Custom(17)},
		"no account there":         {func(_ ledger, a, _ solana.PublicKey) solana.Instruction { return transfer(a, key(9), key(1), 1) }, svm.Builtin("IncorrectProgramId")},
		"closing with tokens left": {func(_ ledger, a, _ solana.PublicKey) solana.Instruction { return closeAccount(a, key(1)) }, svm.Custom(11)},
		"syncing what is not SOL":  {func(_ ledger, a, _ solana.PublicKey) solana.Instruction { return syncNative(a) }, svm.Custom(19)},
		"account of another wallet": {func(_ ledger, a, _ solana.PublicKey) solana.Instruction {
			return instruction(solana.SPLAssociatedTokenAccountProgramID, []byte{1}, solana.Meta(key(1)).SIGNER().WRITE(), solana.Meta(a).WRITE(),
				solana.Meta(key(2)), solana.Meta(mint), solana.Meta(solana.SystemProgramID), solana.Meta(solana.TokenProgramID))
		}, svm.Builtin("InvalidSeeds")},
		"unknown instruction": {func(_ ledger, a, _ solana.PublicKey) solana.Instruction {
			return instruction(solana.TokenProgramID, []byte{99}, solana.Meta(a).WRITE())
		}, svm.Builtin("InvalidInstructionData")},
		"no accounts": {func(ledger, solana.PublicKey, solana.PublicKey) solana.Instruction {
			return instruction(solana.TokenProgramID, []byte{17})
		}, svm.Builtin("NotEnoughAccountKeys")},
		"unknown program": {func(l ledger, _, _ solana.PublicKey) solana.Instruction {
			l[key(50)] = &amm.Account{Owner: solana.BPFLoaderUpgradeableProgramID, Lamports: 1}
			return instruction(key(50), nil)
		}, svm.Builtin("UnsupportedProgramId")},
	} {
		l, a, b := setup()
		out := l.run(t, key(1), test.make(l, a, b))
		var failed *svm.TransactionError
		if test.want == nil && out.Err != nil || test.want != nil && (!errors.As(out.Err, &failed) || failed.Cause != test.want) {
			t.Errorf("%s: got %v, want %v", name, out.Err, test.want)
		}
	}
}

func TestToken2022TransfersWithholdTheirFee(t *testing.T) {
	l, mint := newLedger(), key(10)
	l.fund(key(1), 1_000_000_000)
	l[mint] = svm.Mint{Decimals: 5, Fee: &svm.TransferFee{Bps: 690, MaximumUnits: 1 << 40}}.Account()
	a := svm.AssociatedAddress(key(1), mint, solana.Token2022ProgramID)
	b := svm.AssociatedAddress(key(2), mint, solana.Token2022ProgramID)
	l[a] = svm.TokenAccount(mint, l[mint], key(1), 1_000_000, true)
	data := append(binary.LittleEndian.AppendUint64([]byte{12}, 100_001), 5)
	out := l.run(t, key(1), createIdempotent(key(1), key(2), mint, solana.Token2022ProgramID), instruction(solana.Token2022ProgramID, data,
		solana.Meta(a).WRITE(), solana.Meta(mint), solana.Meta(b).WRITE(), solana.Meta(key(1)).SIGNER()))
	if out.Err != nil {
		t.Fatal(out.Err)
	}
	const fee = 6_901 // 6.9 % of 100,001, rounded up
	withheld := binary.LittleEndian.Uint64(l[b].Data[len(l[b].Data)-8:])
	if svm.Balance(l[a]) != 899_999 || svm.Balance(l[b]) != 100_001-fee || withheld != fee {
		t.Errorf("sender %d, receiver %d, withheld %d", svm.Balance(l[a]), svm.Balance(l[b]), withheld)
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	valid := func() *solana.Transaction {
		tx, err := solana.NewTransaction([]solana.Instruction{transferSOL(key(1), key(2), 1)}, solana.Hash{}, solana.TransactionPayer(key(1)))
		if err != nil {
			t.Fatal(err)
		}
		tx.Signatures = make([]solana.Signature, 1)
		return tx
	}
	if err := svm.Sanitize(valid()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*solana.Transaction){
		"no signature":           func(tx *solana.Transaction) { tx.Signatures = nil },
		"too many signatures":    func(tx *solana.Transaction) { tx.Signatures = make([]solana.Signature, 2) },
		"signers beyond keys":    func(tx *solana.Transaction) { tx.Message.Header.NumRequiredSignatures = 200 },
		"read-only payer":        func(tx *solana.Transaction) { tx.Message.Header.NumReadonlySignedAccounts = 1 },
		"program is the payer":   func(tx *solana.Transaction) { tx.Message.Instructions[0].ProgramIDIndex = 0 },
		"program beyond keys":    func(tx *solana.Transaction) { tx.Message.Instructions[0].ProgramIDIndex = 3 },
		"account beyond keys":    func(tx *solana.Transaction) { tx.Message.Instructions[0].Accounts[1] = 3 },
		"the same account twice": func(tx *solana.Transaction) { tx.Message.AccountKeys[1] = tx.Message.AccountKeys[0] },
	} {
		tx := valid()
		spoil(tx)
		if svm.Sanitize(tx) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The observation must hold the time-weighted prices before each swap, at most one in 15 seconds, as the program keeps it.
func TestObservationsAccumulatePrices(t *testing.T) {
	l, mints, vaults := newLedger(), [2]solana.PublicKey{key(10), key(11)}, [2]solana.PublicKey{key(20), key(21)}
	pool, config, observation, trader := key(30), key(31), key(32), key(33)
	data := make([]byte, 637)
	copy(data, []byte{0xf7, 0xed, 0xe3, 0xf5, 0xd7, 0xc3, 0xde, 0x46})
	copy(data[8:], config[:])
	for i := range 2 {
		l[mints[i]] = svm.Mint{Decimals: 6}.Account()
		l[vaults[i]] = svm.TokenAccount(mints[i], l[mints[i]], key(40), uint64(1_000_000_000*(3-i)), false)
		l[svm.AssociatedAddress(trader, mints[i], solana.TokenProgramID)] = svm.TokenAccount(mints[i], l[mints[i]], trader, 1<<40, true)
		copy(data[72+32*i:], vaults[i][:])
		copy(data[168+32*i:], mints[i][:])
		copy(data[232+32*i:], solana.TokenProgramID[:])
		data[331+i] = 6
	}
	copy(data[296:], observation[:])
	tier := make([]byte, 236)
	copy(tier, []byte{0xda, 0xf4, 0x21, 0x68, 0xcb, 0xcb, 0x2b, 0x6f})
	binary.LittleEndian.PutUint64(tier[12:], 2_500)
	binary.LittleEndian.PutUint64(tier[20:], 120_000)
	binary.LittleEndian.PutUint64(tier[28:], 40_000)
	watch := make([]byte, 4075)
	copy(watch, []byte{0x7a, 0xae, 0xc5, 0x35, 0x81, 0x09, 0xa5, 0x84})
	for k, d := range map[solana.PublicKey][]byte{pool: data, config: tier, observation: watch} {
		l[k] = &amm.Account{Owner: cpmm, Lamports: svm.RentExemptLamports(len(d)), Data: d}
	}

	accounts := svm.NewAccounts(l.get)
	at := func(index int) (seconds uint64, prices [2]*big.Int) {
		entry := accounts.Get(observation).Data[43+40*index:][:40]
		for side := range 2 {
			field := entry[8+16*side:]
			hi := new(big.Int).SetUint64(binary.LittleEndian.Uint64(field[8:]))
			prices[side] = hi.Lsh(hi, 64).Add(hi, new(big.Int).SetUint64(binary.LittleEndian.Uint64(field)))
		}
		return binary.LittleEndian.Uint64(entry), prices
	}
	sums := [2]*big.Int{new(big.Int), new(big.Int)}
	source, destination := svm.AssociatedAddress(trader, mints[0], solana.TokenProgramID), svm.AssociatedAddress(trader, mints[1], solana.TokenProgramID)
	now := clock
	last := uint64(0)
	index := 0
	for i, wait := range []int64{0, 14, 1, 40, 5, 20} {
		now.UnixTimestamp += wait
		decoded, err := svm.DecodePool(runtime.CPMM, pool, accounts.Get)
		if err != nil {
			t.Fatal(err)
		}
		reserves := svm.Reserves(decoded.Info(), accounts.Get)
		if _, err := runtime.Swap(accounts, now, pool, amm.Request{AToB: true, Amount: 1_000_000}, source, destination); err != nil {
			t.Fatal(err)
		}
		if elapsed := uint64(now.UnixTimestamp) - last; i == 0 {
			last = uint64(now.UnixTimestamp)
		} else if elapsed >= 15 {
			for side := range 2 {
				price := new(big.Int).Lsh(new(big.Int).SetUint64(reserves[1-side]), 32)
				price.Div(price, new(big.Int).SetUint64(reserves[side]))
				sums[side].Add(sums[side], price.Mul(price, new(big.Int).SetUint64(elapsed)))
			}
			index, last = index+1, uint64(now.UnixTimestamp)
		}
		if got := int(binary.LittleEndian.Uint16(accounts.Get(observation).Data[9:])); got != index {
			t.Errorf("swap %d: the newest observation is %d, want %d", i, got, index)
		}
		if seconds, prices := at(index); seconds != last || prices[0].Cmp(sums[0]) != 0 || prices[1].Cmp(sums[1]) != 0 {
			t.Errorf("swap %d: observed %v at %d, want %v at %d", i, prices, seconds, sums, last)
		}
	}
	if index != 3 {
		t.Errorf("%d observations after the first, want 3", index)
	}
}

// total is what lies in a token account, transfer fees that it holds for the mint's authority included.
func total(account *amm.Account) uint64 {
	sum := svm.Balance(account)
	if i := bytes.Index(account.Data[165:], []byte{2, 0, 8, 0}); i >= 0 {
		sum += binary.LittleEndian.Uint64(account.Data[165+i+4:])
	}
	return sum
}

func product(reserves [2]uint64) *big.Int {
	a, b := new(big.Int).SetUint64(reserves[0]), new(big.Int).SetUint64(reserves[1])
	return a.Mul(a, b)
}
