package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// source is the accounts that a pool was decoded from. It is immutable.
type source struct {
	accounts []KeyedAccount
	digest   func() [sha256.Size]byte
}

// KeyedAccount is an account with its address; a nil Account is known not to exist.
type KeyedAccount struct {
	Key     solana.PublicKey `json:"key"`
	Account *amm.Account     `json:"account"`
}

func newSource(keys []solana.PublicKey, accounts amm.Accounts) *source {
	s := &source{}
	for _, key := range keys {
		s.accounts = append(s.accounts, KeyedAccount{key, accounts[key]})
	}
	s.digest = sync.OnceValue(s.sum)
	return s
}

// sum is the SHA-256 of every account: key, 1, owner, lamports u64 LE, data length u64 LE and data, or key and 0 for none.
func (s *source) sum() (digest [sha256.Size]byte) {
	h := sha256.New()
	for _, a := range s.accounts {
		h.Write(a.Key[:])
		if a.Account == nil {
			h.Write([]byte{0})
			continue
		}
		head := append([]byte{1}, a.Account.Owner[:]...)
		head = binary.LittleEndian.AppendUint64(head, a.Account.Lamports)
		h.Write(binary.LittleEndian.AppendUint64(head, uint64(len(a.Account.Data))))
		h.Write(a.Account.Data)
	}
	h.Sum(digest[:0])
	return digest
}

// Hash names the snapshot's state: equal hashes have equal pools and clocks, and so equal quotes.
func (s *Snapshot) Hash() (hash [sha256.Size]byte) {
	h := sha256.New()
	for _, v := range []uint64{s.Slot, s.Clock.Slot, s.Clock.Epoch, uint64(s.Clock.UnixTimestamp), uint64(len(s.Pools))} {
		h.Write(binary.LittleEndian.AppendUint64(nil, v))
	}
	for i := range s.Pools {
		if s.Pools[i] == nil {
			h.Write([]byte{0})
			continue
		}
		digest := s.sources[i].digest()
		h.Write(append([]byte{1}, digest[:]...))
	}
	h.Sum(hash[:0])
	return hash
}

// Dump is a snapshot as raw accounts, to be saved as JSON and quoted from again.
type Dump struct {
	Slot  uint64      `json:"slot"`
	Clock amm.Clock   `json:"clock"`
	Infos []*amm.Info `json:"infos"`
	// Pools are the accounts of each pool, its own first; none for one that could not be quoted.
	Pools [][]KeyedAccount `json:"pools"`
}

// Dump is the snapshot's raw form. It shares the accounts' data.
func (s *Snapshot) Dump() Dump {
	d := Dump{Slot: s.Slot, Clock: s.Clock, Infos: s.Infos, Pools: make([][]KeyedAccount, len(s.Pools))}
	for i, pool := range s.Pools {
		if pool != nil {
			d.Pools[i] = s.sources[i].accounts
		}
	}
	return d
}

// Snapshot decodes the dump's pools by the programs that own them.
func (d Dump) Snapshot(programs []amm.Program) (*Snapshot, error) {
	if len(d.Infos) != len(d.Pools) {
		return nil, fmt.Errorf("%d infos for %d pools", len(d.Infos), len(d.Pools))
	}
	byID := map[solana.PublicKey]amm.Program{}
	for _, p := range programs {
		byID[p.ID()] = p
	}
	s := &Snapshot{Slot: d.Slot, Clock: d.Clock, Infos: d.Infos, Generation: 1, Advanced: time.Now(),
		Pools: make([]amm.Pool, len(d.Pools)), sources: make([]*source, len(d.Pools))}
	for i, list := range d.Pools {
		if len(list) == 0 {
			continue
		}
		if d.Infos[i] == nil {
			return nil, fmt.Errorf("pool %d has accounts and no info", i)
		}
		address := d.Infos[i].Address
		accounts, keys := amm.Accounts{}, make([]solana.PublicKey, len(list))
		for j, a := range list {
			accounts[a.Key], keys[j] = a.Account, a.Key
		}
		own := accounts[address]
		if own == nil || byID[own.Owner] == nil {
			return nil, fmt.Errorf("pool %s: its account is missing, or of a program that is not known", address)
		}
		pool, err := byID[own.Owner].Decode(address, accounts)
		if err != nil {
			return nil, fmt.Errorf("pool %s: %w", address, err)
		}
		s.Pools[i], s.sources[i] = pool, newSource(keys, accounts)
	}
	return s, nil
}
