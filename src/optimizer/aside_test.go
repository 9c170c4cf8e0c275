package optimizer

import (
	"encoding/binary"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

// damage makes accounts worse of which a pool is made.
type damage func(amm.Accounts, *amm.Info)

// half is a market some of whose pools are set aside.
type half struct {
	still
	status []chain.PoolStatus
}

func (h half) Status() []chain.PoolStatus { return h.status }

// extended is a mint with one Token-2022 extension.
func extended(m *amm.Account, extension uint16, value []byte) *amm.Account {
	data := append(slices.Clone(m.Data[:82]), make([]byte, 84)...)
	data[165] = 1
	data = binary.LittleEndian.AppendUint16(data, extension)
	data = binary.LittleEndian.AppendUint16(data, uint16(len(value)))
	return &amm.Account{Owner: solana.Token2022ProgramID, Data: append(data, value...)}
}

func TestAMintWhosePoolsAreAllSetAsideIsToldWhy(t *testing.T) {
	c := newCluster(t)
	at := c.At(market.Confirmed)
	program := raydiumcpmm.New(cpmmID)
	usdcMint := solana.MustPublicKeyFromBase58(usdc)
	// The mint is that of a token which several pools trade.
	traded := map[solana.PublicKey][]int{}
	var mint solana.PublicKey
	for i, p := range at.Pools {
		for _, m := range p.Info().Mints {
			if traded[m] = append(traded[m], i); m != usdcMint && m.String() != wsol && len(traded[m]) == 2 {
				mint = m
			}
		}
	}
	if mint.IsZero() {
		t.Fatal("no token has two pools")
	}
	// damaged decodes a pool from accounts that change changes, and gives the error.
	damaged := func(t *testing.T, i int, change damage) error {
		accounts, info := amm.Accounts(maps.Clone(at.Accounts())), at.Pools[i].Info()
		change(accounts, info)
		_, err := program.Decode(info.Address, accounts)
		if err == nil {
			t.Fatal("the damaged pool decodes")
		}
		return err
	}
	freeze := func(accounts amm.Accounts, info *amm.Info) {
		vault := *accounts[info.Vaults[0]]
		vault.Data = slices.Clone(vault.Data)
		vault.Data[108] = 2
		accounts[info.Vaults[0]] = &vault
	}
	extend := func(extension uint16, value []byte) damage {
		return func(accounts amm.Accounts, _ *amm.Info) { accounts[mint] = extended(accounts[mint], extension, value) }
	}
	hook := extend(14, append(make([]byte, 32), cpmmID[:]...))
	cut := func(accounts amm.Accounts, info *amm.Info) { accounts[info.Vaults[0]] = nil }
	for name, tc := range map[string]struct {
		changes [2]damage // of the first pool and of all others; nil leaves them behind
		code    string
		says    string
	}{
		"frozen":                    {[2]damage{freeze, freeze}, "TOKEN_FROZEN", "frozen token account"},
		"transfer hook":             {[2]damage{hook, hook}, "TOKEN_NOT_SUPPORTED", "Token-2022 TransferHook"},
		"paused":                    {[2]damage{extend(26, append(make([]byte, 32), 1)), extend(26, append(make([]byte, 32), 1))}, "TOKEN_NOT_SUPPORTED", "PausableConfig is not supported: transfers are paused"},
		"non-transferable":          {[2]damage{extend(9, nil), extend(9, nil)}, "TOKEN_NOT_SUPPORTED", "NonTransferable"},
		"an extension nobody knows": {[2]damage{extend(999, nil), extend(999, nil)}, "TOKEN_NOT_SUPPORTED", "extension 999"},
		"frozen here, hooked there": {[2]damage{freeze, hook}, "TOKEN_NOT_SUPPORTED", "TransferHook"},
		"malformed":                 {[2]damage{cut, cut}, "TOKEN_NOT_QUOTABLE_NOW", "does not exist"},
		"behind":                    {[2]damage{}, "TOKEN_NOT_QUOTABLE_NOW", "is stale"},
		"frozen here, behind there": {[2]damage{freeze, nil}, "TOKEN_NOT_QUOTABLE_NOW", "is stale"},
	} {
		for _, known := range []bool{false, true} { // whether the pools could be quoted before
			t.Run(name, func(t *testing.T) {
				h := half{still: still{&chain.Snapshot{Slot: at.Slot, Clock: at.Clock(), Advanced: time.Now(), Generation: 1}}}
				for i, p := range at.Pools {
					info := p.Info()
					status := chain.PoolStatus{Address: info.Address, Mints: info.Mints, Pool: p}
					if n := slices.Index(traded[mint], i); n >= 0 {
						status.Pool, status.Reason = nil, chain.ReasonStale
						if change := tc.changes[min(n, 1)]; change != nil {
							status.Reason, status.Err = chain.ReasonUnsupported, damaged(t, i, change)
						}
						if p = nil; !known {
							info = nil
						}
					}
					h.status = append(h.status, status)
					h.snapshot.Pools, h.snapshot.Infos = append(h.snapshot.Pools, p), append(h.snapshot.Infos, info)
				}
				s := &service{market: h, maxRoutes: 5, feeMultiplier: 1, metrics: newMetrics(prometheus.NewRegistry()), log: quiet}
				ask := func(in, out string) (int, *jupiter.Error) {
					w := httptest.NewRecorder()
					s.handler().ServeHTTP(w, httptest.NewRequest("GET", "/quote?inputMint="+in+"&outputMint="+out+"&amount=1000000", nil))
					return w.Code, jupiter.DecodeError(w.Code, w.Body.Bytes())
				}
				for _, pair := range [][2]string{{mint.String(), usdc}, {usdc, mint.String()}} {
					if status, e := ask(pair[0], pair[1]); status != 400 || e.Code != tc.code || !strings.Contains(e.Message, tc.says) || !strings.Contains(e.Message, mint.String()) {
						t.Errorf("known=%v: %d %v", known, status, e)
					}
				}
				if status, e := ask(wsol, usdc); status != 200 {
					t.Errorf("another pair: %d %v", status, e)
				}
				if status, e := ask(cpmmID.String(), usdc); status != 400 || e.Code != jupiter.CodeTokenNotTradable {
					t.Errorf("a mint that no pool names: %d %v", status, e)
				}
			})
		}
	}
}
