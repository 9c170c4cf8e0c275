package token

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

var mintKey = solana.PublicKey{1}

type extension struct {
	kind  uint16
	value []byte
}

// mint is an initialised mint with 6 decimals; with extensions it is a Token-2022 one.
func mint(extensions ...extension) *amm.Account {
	data := make([]byte, mintLen)
	binary.LittleEndian.PutUint64(data[36:], 1_000_000)
	data[44], data[45] = 6, 1
	if len(extensions) == 0 {
		return &amm.Account{Owner: solana.TokenProgramID, Data: data}
	}
	data = append(data, make([]byte, accountLen-mintLen)...)
	data = append(data, kindMint)
	for _, e := range extensions {
		data = binary.LittleEndian.AppendUint16(data, e.kind)
		data = binary.LittleEndian.AppendUint16(data, uint16(len(e.value)))
		data = append(data, e.value...)
	}
	return &amm.Account{Owner: solana.Token2022ProgramID, Data: data}
}

func feeConfig(older, newer TransferFee) extension {
	value := make([]byte, 108)
	for i, f := range []TransferFee{older, newer} {
		at := 72 + 18*i
		binary.LittleEndian.PutUint64(value[at:], f.Epoch)
		binary.LittleEndian.PutUint64(value[at+8:], f.Maximum)
		binary.LittleEndian.PutUint16(value[at+16:], f.Bps)
	}
	return extension{extTransferFeeConfig, value}
}

func tokenAccount(amount uint64, state byte) []byte {
	data := make([]byte, accountLen)
	data[0], data[32], data[108] = 7, 8, state
	binary.LittleEndian.PutUint64(data[64:], amount)
	return data
}

func TestTransferFeeFollowsTheEpoch(t *testing.T) {
	older, newer := TransferFee{Epoch: 10, Maximum: 50, Bps: 100}, TransferFee{Epoch: 20, Maximum: 70, Bps: 200}
	m, err := DecodeMint(amm.Accounts{mintKey: mint(feeConfig(older, newer))}, mintKey)
	if err != nil {
		t.Fatal(err)
	}
	if m.Decimals != 6 || m.Supply != 1_000_000 || m.Program != solana.Token2022ProgramID {
		t.Errorf("mint = %+v", m)
	}
	for epoch, want := range map[uint64]TransferFee{0: older, 19: older, 20: newer, 21: newer} {
		if got := m.TransferFee(epoch); got != want {
			t.Errorf("fee in epoch %d = %+v, want %+v", epoch, got, want)
		}
	}
}

func TestMintWithoutExtensionsHasNoFee(t *testing.T) {
	for _, program := range []solana.PublicKey{solana.TokenProgramID, solana.Token2022ProgramID} {
		account := mint()
		account.Owner = program
		m, err := DecodeMint(amm.Accounts{mintKey: account}, mintKey)
		if err != nil {
			t.Fatal(err)
		}
		if fee := m.TransferFee(math.MaxUint64).Fee(math.MaxUint64); fee != 0 || m.Program != program {
			t.Errorf("fee %d, program %s", fee, m.Program)
		}
	}
}

func TestExtensionsAreRefusedByName(t *testing.T) {
	hook, noHook := make([]byte, 64), make([]byte, 64)
	hook[40] = 1
	paused, running := make([]byte, 33), make([]byte, 33)
	paused[32] = 1
	tests := []struct {
		name    string
		ext     extension
		refused string
	}{
		{"transfer hook", extension{extTransferHook, hook}, "TransferHook"},
		{"transfer hook without a program", extension{extTransferHook, noHook}, ""},
		{"paused", extension{extPausable, paused}, "PausableConfig"},
		{"pausable", extension{extPausable, running}, ""},
		{"non-transferable", extension{extNonTransferable, nil}, "NonTransferable"},
		{"unknown", extension{999, []byte{1}}, "extension 999"},
		{"interest bearing", extension{extInterestBearing, make([]byte, 52)}, ""},
		{"confidential fee", extension{extConfidentialTransferFeeConfig, make([]byte, 129)}, ""},
		{"metadata", extension{extTokenMetadata, []byte("any length")}, ""},
		{"permanent delegate", extension{extPermanentDelegate, make([]byte, 32)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A harmless neighbour before it shows that the entries are walked.
			_, err := DecodeMint(amm.Accounts{mintKey: mint(extension{extMintCloseAuthority, make([]byte, 32)}, tt.ext)}, mintKey)
			var unsupported *amm.UnsupportedError
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.refused != "" && (!errors.As(err, &unsupported) || !strings.Contains(unsupported.Feature, tt.refused)):
				t.Errorf("error %v, want a refusal naming %s", err, tt.refused)
			}
		})
	}
}

func TestMalformedAccountsNameTheField(t *testing.T) {
	edit := func(account *amm.Account, change func(*amm.Account)) *amm.Account {
		change(account)
		return account
	}
	cut := func(n int) func(*amm.Account) { return func(a *amm.Account) { a.Data = a.Data[:n] } }
	set := func(at int, v byte) func(*amm.Account) { return func(a *amm.Account) { a.Data[at] = v } }
	tests := []struct {
		name, field string
		account     *amm.Account
	}{
		{"absent", "account", nil},
		{"another owner", "owner", &amm.Account{Owner: solana.SystemProgramID, Data: mint().Data}},
		{"empty", "mint_authority", edit(mint(), cut(0))},
		{"cut in the supply", "supply", edit(mint(), cut(40))},
		{"cut in the last field", "freeze_authority", edit(mint(), cut(81))},
		{"not initialised", "is_initialized", edit(mint(), set(45, 0))},
		{"option tag", "freeze_authority", edit(mint(), set(46, 2))},
		{"classic with more bytes", "length", edit(mint(feeConfig(TransferFee{}, TransferFee{})), func(a *amm.Account) { a.Owner = solana.TokenProgramID })},
		{"padding", "padding", edit(mint(feeConfig(TransferFee{}, TransferFee{})), set(100, 1))},
		{"kind", "account_type", edit(mint(feeConfig(TransferFee{}, TransferFee{})), set(165, 2))},
		{"entry beyond the end", "TransferFeeConfig", edit(mint(feeConfig(TransferFee{}, TransferFee{})), cut(200))},
		{"fee above 100%", "newer_transfer_fee.transfer_fee_basis_points", mint(feeConfig(TransferFee{}, TransferFee{Bps: 10_001}))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeMint(amm.Accounts{mintKey: tt.account}, mintKey)
			var malformed *amm.DecodeError
			if !errors.As(err, &malformed) || malformed.Field != tt.field || malformed.Account != mintKey {
				t.Errorf("error %v, want one about %s", err, tt.field)
			}
		})
	}
}

func TestTokenAccount(t *testing.T) {
	key := solana.PublicKey{2}
	decode := func(owner solana.PublicKey, data []byte) (Account, error) {
		return DecodeAccount(amm.Accounts{key: {Owner: owner, Data: data}}, key)
	}
	got, err := decode(solana.TokenProgramID, tokenAccount(42, 1))
	if want := (Account{Mint: solana.PublicKey{7}, Owner: solana.PublicKey{8}, Amount: 42}); err != nil || got != want {
		t.Errorf("account = %+v, %v, want %+v", got, err, want)
	}
	if _, err := decode(solana.Token2022ProgramID, append(tokenAccount(42, 1), kindAccount, 7, 0, 0, 0)); err != nil {
		t.Errorf("with an extension: %v", err)
	}
	var unsupported *amm.UnsupportedError
	if _, err := decode(solana.TokenProgramID, tokenAccount(42, 2)); !errors.As(err, &unsupported) {
		t.Errorf("frozen: %v", err)
	}
	var malformed *amm.DecodeError
	for name, data := range map[string][]byte{
		"uninitialised":      tokenAccount(42, 0),
		"a mint":             mint().Data,
		"longer than it may": append(tokenAccount(42, 1), kindAccount),
	} {
		if _, err := decode(solana.TokenProgramID, data); !errors.As(err, &malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTransferFeeByHand(t *testing.T) {
	one := TransferFee{Bps: 100, Maximum: math.MaxUint64} // 1%
	tests := []struct {
		fee                TransferFee
		amount             uint64
		want, pre, inverse uint64
	}{
		{TransferFee{}, 1000, 0, 1000, 0},
		{TransferFee{Maximum: 9}, 1000, 0, 1000, 0},
		{one, 0, 0, 0, 0},
		{one, 1, 1, 2, 1},     // any fee is at least one unit
		{one, 100, 1, 102, 2}, // ceil(1000000/9900) = 102, whose fee is ceil(1.02)
		{one, 101, 2, 103, 2}, // 101 * 1% = 1.01, up
		{one, 9900, 99, 10000, 100},
		{TransferFee{Bps: 100, Maximum: 5}, 9900, 5, 9905, 5},
		{TransferFee{Bps: 10_000, Maximum: 7}, 3, 3, 10, 7},
		{TransferFee{Bps: 10_000, Maximum: 7}, 100, 7, 107, 7},
		{TransferFee{Bps: 1, Maximum: math.MaxUint64}, math.MaxUint64 / 2, 922337203685478, 9224294466301405948, 922429446630141},
	}
	for _, tt := range tests {
		if got := tt.fee.Fee(tt.amount); got != tt.want {
			t.Errorf("%+v: Fee(%d) = %d, want %d", tt.fee, tt.amount, got, tt.want)
		}
		if got, err := tt.fee.PreFee(tt.amount); err != nil || got != tt.pre {
			t.Errorf("%+v: PreFee(%d) = %d, %v, want %d", tt.fee, tt.amount, got, err, tt.pre)
		}
		if got, err := tt.fee.InverseFee(tt.amount); err != nil || got != tt.inverse {
			t.Errorf("%+v: InverseFee(%d) = %d, %v, want %d", tt.fee, tt.amount, got, err, tt.inverse)
		}
	}
}

func TestTransferFeeBeyond64Bits(t *testing.T) {
	for _, f := range []TransferFee{{Bps: 100, Maximum: math.MaxUint64}, {Bps: 9999, Maximum: math.MaxUint64}, {Bps: 10_000, Maximum: math.MaxUint64}} {
		if got, err := f.Gross(math.MaxUint64 - 1); !errors.Is(err, amm.ErrOverflow) {
			t.Errorf("%+v: Gross = %d, %v", f, got, err)
		}
	}
	// Here only the cap keeps the sum in range.
	if got, err := (TransferFee{Bps: 9999, Maximum: 10}).Gross(math.MaxUint64 - 10); err != nil || got != math.MaxUint64 {
		t.Errorf("Gross = %d, %v", got, err)
	}
}

// FuzzTransferFee compares with the definition over unbounded integers.
func FuzzTransferFee(f *testing.F) {
	f.Add(uint64(100), uint16(100), uint64(math.MaxUint64))
	f.Add(uint64(math.MaxUint64), uint16(9999), uint64(1000))
	f.Add(uint64(math.MaxUint64/2), uint16(5000), uint64(math.MaxUint64/2))
	f.Add(uint64(7), uint16(10_000), uint64(3))
	f.Fuzz(func(t *testing.T, amount uint64, bps uint16, maximum uint64) {
		bps %= oneInBps + 1
		fee := TransferFee{Bps: bps, Maximum: maximum}
		x := new(big.Int).SetUint64(amount)
		ceil := func(n, d *big.Int) *big.Int {
			q, r := new(big.Int).QuoRem(n, d, new(big.Int))
			if r.Sign() > 0 {
				q.Add(q, big.NewInt(1))
			}
			return q
		}
		want := ceil(new(big.Int).Mul(x, big.NewInt(int64(bps))), big.NewInt(oneInBps))
		if m := new(big.Int).SetUint64(maximum); want.Cmp(m) > 0 {
			want = m
		}
		if got := fee.Fee(amount); got != want.Uint64() {
			t.Fatalf("Fee = %d, want %s", got, want)
		}

		pre, err := fee.PreFee(amount)
		want = new(big.Int).Set(x)
		if bps > 0 && amount > 0 {
			want.Add(x, new(big.Int).SetUint64(maximum))
			if bps < oneInBps {
				raw := ceil(new(big.Int).Mul(x, big.NewInt(oneInBps)), big.NewInt(int64(oneInBps-bps)))
				if raw.Cmp(want) < 0 {
					want = raw
				}
			}
		}
		if !want.IsUint64() {
			if !errors.Is(err, amm.ErrOverflow) {
				t.Fatalf("PreFee = %d, %v, want an overflow", pre, err)
			}
			return
		}
		if err != nil || pre != want.Uint64() {
			t.Fatalf("PreFee = %d, %v, want %s", pre, err, want)
		}
		if gross, err := fee.Gross(amount); err == nil && fee.Net(gross) != amount {
			t.Fatalf("Gross = %d, of which %d arrive", gross, fee.Net(gross))
		}
	})
}

// FuzzDecode checks that no bytes make the decoders panic, and that every refusal is typed.
func FuzzDecode(f *testing.F) {
	f.Add(mint().Data)
	f.Add(mint(feeConfig(TransferFee{Bps: 1}, TransferFee{Bps: 2}), extension{extTransferHook, make([]byte, 64)}).Data)
	f.Add(tokenAccount(5, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, owner := range []solana.PublicKey{solana.TokenProgramID, solana.Token2022ProgramID} {
			accounts := amm.Accounts{mintKey: {Owner: owner, Data: data}}
			_, mintErr := DecodeMint(accounts, mintKey)
			_, accountErr := DecodeAccount(accounts, mintKey)
			for _, err := range []error{mintErr, accountErr} {
				var malformed *amm.DecodeError
				var unsupported *amm.UnsupportedError
				if err != nil && !errors.As(err, &malformed) && !errors.As(err, &unsupported) {
					t.Fatalf("untyped error %v", err)
				}
			}
			if mintErr == nil && accountErr == nil {
				t.Fatal("one account is both a mint and a token account")
			}
		}
	})
}

func BenchmarkTransferFee(b *testing.B) {
	b.ReportAllocs()
	fee := TransferFee{Bps: 100, Maximum: math.MaxUint64}
	amount := uint64(1)
	for b.Loop() {
		gross, err := fee.Gross(amount)
		if err != nil {
			b.Fatal(err)
		}
		amount = fee.Fee(gross)
	}
}
