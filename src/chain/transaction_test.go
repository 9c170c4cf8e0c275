package chain

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gagliardetto/solana-go"
	alt "github.com/gagliardetto/solana-go/programs/address-lookup-table"

	"jupiter-dex-integration/src/amm"
)

// swapPool is a pool whose instruction names as many accounts as the test wants.
type swapPool struct {
	fakePool
	extra int
}

func (p *swapPool) SwapInstruction(q amm.Quote, s amm.Swap) (solana.Instruction, error) {
	metas := solana.AccountMetaSlice{solana.Meta(s.User).SIGNER(), solana.Meta(s.Source).WRITE(), solana.Meta(s.Destination).WRITE()}
	for i := range p.extra {
		metas = append(metas, solana.Meta(key(p.info.Address[4], 1000+i)).WRITE())
	}
	return solana.NewInstruction(fakeProgramID, metas, []byte{byte(s.Threshold)}), nil
}

func newSwap(input, output solana.PublicKey, extra int) *Swap {
	p := &swapPool{extra: extra}
	p.info = amm.Info{Address: key('p', 1), Mints: [2]solana.PublicKey{input, output}, TokenPrograms: [2]solana.PublicKey{solana.TokenProgramID, solana.Token2022ProgramID}}
	user := key('u', 1)
	return &Swap{User: user, Payer: user, InputMint: input, OutputMint: output, Input: 1000, WrapSOL: true, Hops: []Hop{{Pool: p, Quote: amm.Quote{Request: amm.Request{AToB: true}}, Threshold: 9}}}
}

func build(t *testing.T, s *Swap) Instructions {
	t.Helper()
	accounts, err := s.TokenAccounts()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.Instructions(accounts)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func programsOf(instructions []solana.Instruction) (names []string) {
	for _, i := range instructions {
		data, _ := i.Data()
		name := map[solana.PublicKey]string{solana.SPLAssociatedTokenAccountProgramID: "create", solana.SystemProgramID: "transfer", fakeProgramID: "swap"}[i.ProgramID()]
		if i.ProgramID() == solana.TokenProgramID || i.ProgramID() == solana.Token2022ProgramID {
			name = map[byte]string{17: "sync", 9: "close", 12: "fee"}[data[0]]
		}
		names = append(names, name)
	}
	return names
}

func TestSwapInstructionsSetUpAndCleanUpWhatTheSwapNeeds(t *testing.T) {
	tokenA, tokenB := key('m', 1), key('m', 2)
	exists := func(s *Swap) {
		accounts, _ := s.TokenAccounts()
		s.Exists = map[solana.PublicKey]bool{}
		for _, a := range accounts {
			s.Exists[a] = true
		}
	}
	for name, tc := range map[string]struct {
		in, out solana.PublicKey
		change  func(*Swap)
		want    string
	}{
		"token to token":           {tokenA, tokenB, func(*Swap) {}, "[create swap]"},
		"output account exists":    {tokenA, tokenB, exists, "[swap]"},
		"own destination":          {tokenA, tokenB, func(s *Swap) { s.Destination = key('d', 1) }, "[swap]"},
		"with a fee":               {tokenA, tokenB, func(s *Swap) { s.Fee = &Fee{key('f', 1), 5} }, "[create swap fee]"},
		"SOL to token":             {solana.WrappedSol, tokenB, func(*Swap) {}, "[create create transfer sync swap close]"},
		"wrapped SOL to token":     {solana.WrappedSol, tokenB, func(s *Swap) { s.WrapSOL = false }, "[create swap]"},
		"token to SOL":             {tokenA, solana.WrappedSol, func(*Swap) {}, "[create swap close]"},
		"token to wrapped SOL":     {tokenA, solana.WrappedSol, func(s *Swap) { s.WrapSOL = false }, "[create swap]"},
		"SOL to one's destination": {tokenA, solana.WrappedSol, func(s *Swap) { s.Destination = key('d', 1) }, "[swap]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSwap(tc.in, tc.out, 0)
			tc.change(s)
			in := build(t, s)
			if got := fmt.Sprint(programsOf(in.All())); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if !s.Destination.IsZero() && in.Swaps[0].Accounts()[2].PublicKey != s.Destination {
				t.Error("the swap does not pay the destination")
			}
		})
	}
}

func TestToken2022AccountsAreDerivedUnderTheirProgram(t *testing.T) {
	s := newSwap(key('m', 1), key('m', 2), 0)
	accounts, _ := s.TokenAccounts()
	classic, _, _ := solana.FindAssociatedTokenAddress(s.User, s.InputMint)
	if accounts[s.InputMint] != classic {
		t.Error("the classic account is not the associated one")
	}
	wrong, _, _ := solana.FindAssociatedTokenAddress(s.User, s.OutputMint)
	if accounts[s.OutputMint] == wrong {
		t.Error("the Token-2022 account is derived as a classic one")
	}
}

func TestTransactionsBeyondTheLimitsAreRefused(t *testing.T) {
	e := Envelope{Payer: key('u', 1)}
	tx, err := e.Build(build(t, newSwap(key('m', 1), key('m', 2), 20)).All())
	if err != nil {
		t.Fatal(err)
	}
	data, _ := tx.MarshalBinary()
	if len(data) > MaxTransactionBytes || data[65] != 0x80 || len(tx.Signatures) != 1 {
		t.Errorf("%d bytes, version byte %#x", len(data), data[65])
	}
	e.Legacy = true
	if tx, err = e.Build(build(t, newSwap(key('m', 1), key('m', 2), 20)).All()); err != nil {
		t.Fatal(err)
	}
	if data, _ = tx.MarshalBinary(); data[65] == 0x80 {
		t.Error("a legacy transaction has a version")
	}
	if _, err := e.Build(build(t, newSwap(key('m', 1), key('m', 2), 30)).All()); !errors.As(err, new(*TooLargeError)) {
		t.Errorf("error %v", err)
	}
}

func TestLookupTablesShortenATransaction(t *testing.T) {
	table := solana.PublicKeySlice{}
	for i := range 100 {
		table = append(table, key(1, 1000+i))
	}
	e := Envelope{Payer: key('u', 1), Tables: map[solana.PublicKey]solana.PublicKeySlice{key('t', 1): table}}
	tx, err := e.Build(build(t, newSwap(key('m', 1), key('m', 2), 50)).All())
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := tx.MarshalBinary(); len(data) > 600 {
		t.Errorf("%d bytes with the accounts in a table", len(data))
	}
	// A table saves bytes, not account locks.
	if _, err := e.Build(build(t, newSwap(key('m', 1), key('m', 2), 60)).All()); !errors.As(err, new(*TooLargeError)) {
		t.Errorf("error %v", err)
	}
}

func TestLookupTablesAreReadFromTheCluster(t *testing.T) {
	n := newFakeNode(t)
	data := make([]byte, alt.LOOKUP_TABLE_META_SIZE)
	data[0] = 1 // a table
	for i := range 8 {
		data[4+i] = 0xff // never deactivated
	}
	want := key('x', 7)
	n.set(func() {
		n.accounts[key('t', 1)] = &amm.Account{Owner: solana.AddressLookupTableProgramID, Lamports: 1, Data: append(data, want[:]...)}
	})
	e, err := NewEndpoints([]string{n.server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := e.LookupTables(t.Context(), []solana.PublicKey{key('t', 1)})
	if err != nil || len(tables[key('t', 1)]) != 1 || tables[key('t', 1)][0] != want {
		t.Errorf("%v, %v", tables, err)
	}
	if _, err := e.LookupTables(t.Context(), []solana.PublicKey{key('t', 2)}); err == nil {
		t.Error("a table that does not exist is no error")
	}
}

func TestSizeIsThatOfTheTransactionThatIsBuilt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	key := func() solana.PublicKey { return solana.PublicKey{1, byte(r.IntN(40))} }
	sizes := map[bool]int{}
	for range 500 {
		e := Envelope{Payer: key(), Legacy: r.IntN(3) == 0, Tables: map[solana.PublicKey]solana.PublicKeySlice{}}
		for n := range r.IntN(3) { // no key is in two of them
			var table solana.PublicKeySlice
			for k := range 20 {
				if r.IntN(2) == 0 {
					table = append(table, solana.PublicKey{1, byte(k + 20*n)})
				}
			}
			e.Tables[solana.PublicKey{2, byte(n)}] = table
		}
		var instructions []solana.Instruction
		for range 1 + r.IntN(8) {
			var accounts solana.AccountMetaSlice
			for range r.IntN(12) {
				accounts = append(accounts, &solana.AccountMeta{PublicKey: key(), IsSigner: r.IntN(20) == 0, IsWritable: r.IntN(3) == 0})
			}
			instructions = append(instructions, solana.NewInstruction(key(), accounts, make([]byte, r.IntN(200))))
		}
		bytes, accounts, err := e.Size(instructions)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := e.Build(instructions)
		large, tooLarge := errors.AsType[*TooLargeError](err)
		sizes[tooLarge]++
		switch {
		case tooLarge:
			if bytes != large.Bytes || accounts != large.Accounts {
				t.Errorf("%d bytes and %d accounts, Build says %d and %d", bytes, accounts, large.Bytes, large.Accounts)
			}
		case err != nil:
			t.Fatal(err)
		default:
			if data, err := tx.MarshalBinary(); err != nil || len(data) != bytes {
				t.Errorf("%d bytes, it has %d, %v", bytes, len(data), err)
			}
		}
	}
	if sizes[true] < 50 || sizes[false] < 50 {
		t.Errorf("the transactions are all of one kind: %v", sizes)
	}
}
