package ammtest

import (
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Vectors replays recorded swaps of a real program: what it accepted must be quoted to the last unit, and what it refused must be refused.
type Vectors struct {
	Program func(id solana.PublicKey) amm.Program
	// Kinds are the recorded kinds, each a file vectors-KIND.json.gz; recorded mainnet pools of a kind are replayed with it.
	Kinds []string
	// Unread are the positions in the swap instruction of accounts that the program does not look at.
	Unread []int
}

type vectorFile struct {
	Kind        string           `json:"kind"`
	ProgramID   solana.PublicKey `json:"program_id"`
	Clock       vectorClock      `json:"clock"`
	UserBalance uint64           `json:"user_balance_each,string"`
	// User is set for mainnet pools only.
	User  solana.PublicKey `json:"user"`
	Pools []vectorPool     `json:"pools"`
}

type vectorClock struct {
	Slot          uint64 `json:"slot"`
	Epoch         uint64 `json:"epoch"`
	UnixTimestamp int64  `json:"unix_timestamp"`
}

type vectorPool struct {
	ID string `json:"id"`
	// Kind, ProgramID and Clock are set for mainnet pools only, whose file has several.
	Kind        string             `json:"kind"`
	ProgramID   solana.PublicKey   `json:"program_id"`
	Clock       vectorClock        `json:"clock"`
	Pool        solana.PublicKey   `json:"pool"`
	Accounts    []vectorAccount    `json:"accounts"`
	User        solana.PublicKey   `json:"user"`
	Swaps       []vectorSwap       `json:"swaps"`
	Instruction *vectorInstruction `json:"example_instruction"`
}

type vectorAccount struct {
	Key   solana.PublicKey `json:"pubkey"`
	Owner solana.PublicKey `json:"owner"`
	Data  []byte           `json:"data"`
}

type vectorSwap struct {
	InMint  solana.PublicKey `json:"in_mint"`
	OutMint solana.PublicKey `json:"out_mint"`
	Mode    string           `json:"mode"`
	Amount  uint64           `json:"amount,string"`
	OK      bool             `json:"ok"`
	In      uint64           `json:"in_amount,string"`
	Out     uint64           `json:"out_amount,string"`
	Error   string           `json:"error"`
}

type vectorInstruction struct {
	ProgramID solana.PublicKey `json:"program_id"`
	Data      string           `json:"data"`
	Keys      []struct {
		Key      solana.PublicKey `json:"pubkey"`
		Signer   bool             `json:"signer"`
		Writable bool             `json:"writable"`
	} `json:"keys"`
}

// Run replays every kind, each as a subtest that logs how many swaps it tried.
func (v Vectors) Run(t *testing.T) {
	for _, kind := range v.Kinds {
		t.Run(kind, func(t *testing.T) {
			var file vectorFile
			ReadFixture(t, "solana/vectors/vectors-"+kind+".json.gz", &file)
			for i := range file.Pools {
				pool := &file.Pools[i]
				pool.ProgramID, pool.Clock = file.ProgramID, file.Clock
			}
			v.replay(t, &file)
		})
		t.Run(kind+" on mainnet pools", func(t *testing.T) {
			var file vectorFile
			ReadFixture(t, "solana/vectors/vectors-real-pools.json.gz", &file)
			file.Pools = slices.DeleteFunc(file.Pools, func(p vectorPool) bool { return p.Kind != kind })
			if len(file.Pools) == 0 {
				t.Skip("no mainnet pool of this kind was recorded")
			}
			for i := range file.Pools {
				file.Pools[i].User = file.User
			}
			v.replay(t, &file)
		})
	}
}

// tally counts the swaps of one mode.
type tally struct{ accepted, refused, mismatches int }

func (v Vectors) replay(t *testing.T, file *vectorFile) {
	tallies := map[string]*tally{"exact_in": {}, "exact_out": {}}
	instructions := 0
	for _, vector := range file.Pools {
		accounts := amm.Accounts{}
		for _, account := range vector.Accounts {
			accounts[account.Key] = &amm.Account{Owner: account.Owner, Data: account.Data}
		}
		program := v.Program(vector.ProgramID)
		pool, err := Decode(program, vector.Pool, accounts)
		if err != nil {
			t.Errorf("%s: %v", vector.ID, err)
			continue
		}
		for _, swap := range vector.Swaps {
			n := tallies[swap.Mode]
			if n == nil {
				t.Fatalf("%s: unknown mode %q", vector.ID, swap.Mode)
			}
			n.replay(t, vector, pool, swap, file.UserBalance)
		}
		if vector.Instruction != nil {
			instructions++
			v.instruction(t, vector, pool)
		}
	}
	for _, mode := range []string{"exact_in", "exact_out"} {
		n := tallies[mode]
		t.Logf("%s: tried %d (accepted %d, refused %d), mismatches %d", mode, n.accepted+n.refused, n.accepted, n.refused, n.mismatches)
	}
	t.Logf("pools %d, instructions compared %d", len(file.Pools), instructions)
}

func (n *tally) replay(t *testing.T, vector vectorPool, pool amm.Pool, swap vectorSwap, balance uint64) {
	request := amm.Request{AToB: swap.InMint == pool.Info().Mints[0], ExactOut: swap.Mode == "exact_out", Amount: swap.Amount}
	quote, err := pool.Quote(amm.Clock(vector.Clock), request)
	switch {
	case swap.OK:
		n.accepted++
		if err != nil || quote.In != swap.In || quote.Out != swap.Out || quote.Request != request {
			n.mismatches++
			t.Errorf("%s: %+v: quoted %+v, %v; the program took %d for %d", vector.ID, request, quote, err, swap.In, swap.Out)
		}
	default:
		n.refused++
		// An input beyond what the made-up user owned says nothing about the pool.
		if err == nil && quote.In <= balance {
			n.mismatches++
			t.Errorf("%s: %+v: quoted %+v; the program refused with %s", vector.ID, request, quote, swap.Error)
		}
	}
}

// instruction compares the recorded swap instruction, which is the first accepted swap without a limit, with the one built for it.
func (v Vectors) instruction(t *testing.T, vector vectorPool, pool amm.Pool) {
	t.Helper()
	i := slices.IndexFunc(vector.Swaps, func(s vectorSwap) bool { return s.OK })
	if i < 0 {
		t.Errorf("%s: an instruction without an accepted swap", vector.ID)
		return
	}
	info, swap, want := pool.Info(), vector.Swaps[i], vector.Instruction
	request := amm.Request{AToB: swap.InMint == info.Mints[0], ExactOut: swap.Mode == "exact_out", Amount: swap.Amount}
	quote, err := pool.Quote(amm.Clock(vector.Clock), request)
	if err != nil {
		t.Errorf("%s: %v", vector.ID, err)
		return
	}
	built, err := pool.SwapInstruction(quote, swapOf(t, vector.User, info, request))
	if err != nil {
		t.Errorf("%s: %v", vector.ID, err)
		return
	}
	data, err := built.Data()
	if err != nil {
		t.Errorf("%s: %v", vector.ID, err)
		return
	}
	if built.ProgramID() != want.ProgramID || hex.EncodeToString(data) != want.Data {
		t.Errorf("%s: program %s, data %x, want %s and %s", vector.ID, built.ProgramID(), data, want.ProgramID, want.Data)
	}
	if len(built.Accounts()) != len(want.Keys) {
		t.Errorf("%s: %d accounts, want %d", vector.ID, len(built.Accounts()), len(want.Keys))
		return
	}
	for i, got := range built.Accounts() {
		key := want.Keys[i]
		if slices.Contains(v.Unread, i) {
			continue
		}
		if got.PublicKey != key.Key || got.IsSigner != key.Signer || got.IsWritable != key.Writable {
			t.Errorf("%s: account %d is %s (signer %t, writable %t), want %+v", vector.ID, i, got.PublicKey, got.IsSigner, got.IsWritable, key)
		}
	}
}

// swapOf moves between the user's associated token accounts, without a limit.
func swapOf(t testing.TB, user solana.PublicKey, info *amm.Info, request amm.Request) amm.Swap {
	t.Helper()
	var accounts [2]solana.PublicKey
	for i := range accounts {
		var err error
		if accounts[i], err = associatedTokenAddress(user, info.TokenPrograms[i], info.Mints[i]); err != nil {
			t.Fatal(err)
		}
	}
	swap := amm.Swap{User: user, Source: accounts[0], Destination: accounts[1]}
	if !request.AToB {
		swap.Source, swap.Destination = accounts[1], accounts[0]
	}
	if request.ExactOut {
		swap.Threshold = math.MaxUint64
	}
	return swap
}
