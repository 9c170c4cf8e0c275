package chain

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
)

const (
	// maxBatch is what getMultipleAccounts takes.
	maxBatch = 100
	// beat is how often the market looks at what is due.
	beat            = 25 * time.Millisecond
	readConcurrency = 4
	// maxRounds bounds how often a pool may name further accounts before it must settle.
	maxRounds = 8
	// staleSlots is how far behind the newest slot a pool's state may be and still be quoted: about 20 s.
	staleSlots   = 50
	minSetAside  = 5 * time.Second
	maxSetAside  = 10 * time.Minute
	maxReadRetry = 5 * time.Second
)

// FollowConfig says which pools to follow and how.
type FollowConfig struct {
	Pools    []solana.PublicKey
	Programs []amm.Program
	// StreamURLs are websockets of nodes of the cluster, tried in turn. Without any, pools are polled.
	StreamURLs    []string
	Authorization func() string
	// PollInterval is how often pools are read that no subscription covers; AuditInterval how often those are that one does.
	// 0 means 1 s and 30 s.
	PollInterval, AuditInterval time.Duration
}

// Market follows pools. Run must be running for its snapshots to appear and to advance.
type Market struct {
	rpc      *Endpoints
	cfg      FollowConfig
	programs map[solana.PublicKey]amm.Program
	log      *slog.Logger
	snapshot atomic.Pointer[Snapshot]

	statusMu sync.Mutex
	status   []PoolStatus

	// The rest belongs to the goroutine of Run.
	pools      []*pool
	accounts   amm.Accounts
	watched    map[solana.PublicKey]*watched
	clock      amm.Clock
	session    *session
	heard      uint64                // newest slot that the stream has told of, 0 at first
	pending    map[uint64][]notified // by slot, not yet whole
	seals      uint64
	infos      []*amm.Info
	shared     bool // a snapshot has infos: copy before writing
	generation uint64

	reads    chan []answer
	reading  bool
	retryAt  time.Time
	readFail int
	pollAt   time.Time
	auditAt  time.Time
	statusAt time.Time

	streaming               atomic.Bool
	notifications, rejected prometheus.Counter
	readAccounts            prometheus.Counter
}

type pool struct {
	index   int
	address solana.PublicKey
	mints   [2]solana.PublicKey // zero before the account was seen
	keys    []solana.PublicKey
	state   amm.Pool // nil unless quotable
	source  *source  // of state
	slot    uint64   // of state, when it was last replaced
	live    bool     // subscriptions cover every key, and it was read since they do

	mustRead bool
	minSlot  uint64 // a read must be of this slot or later
	rounds   int
	sealed   uint64 // Market.seals at the last look

	reason   string
	err      error
	failures int
	retryAt  time.Time
}

type watched struct {
	slot  uint64
	live  bool
	pools []*pool
}

// answer is one getMultipleAccounts.
type answer struct {
	pools    []*pool
	keys     []solana.PublicKey
	slot     uint64
	accounts []*amm.Account
	err      error
}

// NewMarket makes a market that is not yet loaded.
func NewMarket(endpoints *Endpoints, cfg FollowConfig, log *slog.Logger, reg prometheus.Registerer) *Market {
	if cfg.PollInterval == 0 {
		cfg.PollInterval = time.Second
	}
	if cfg.AuditInterval == 0 {
		cfg.AuditInterval = 30 * time.Second
	}
	m := &Market{
		rpc: endpoints, cfg: cfg, log: log,
		programs: map[solana.PublicKey]amm.Program{},
		accounts: amm.Accounts{},
		watched:  map[solana.PublicKey]*watched{solana.SysVarClockPubkey: {}},
		pending:  map[uint64][]notified{},
		infos:    make([]*amm.Info, len(cfg.Pools)),
		reads:    make(chan []answer, 1),
		notifications: prometheus.NewCounter(prometheus.CounterOpts{Name: "solana_account_notifications_total",
			Help: "Account changes that the stream told of."}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{Name: "solana_subscriptions_rejected_total",
			Help: "Account subscriptions that the node refused; their pools are polled."}),
		readAccounts: prometheus.NewCounter(prometheus.CounterOpts{Name: "solana_accounts_read_total",
			Help: "Accounts that getMultipleAccounts returned."}),
	}
	for _, p := range cfg.Programs {
		m.programs[p.ID()] = p
	}
	for i, address := range cfg.Pools {
		p := &pool{index: i, address: address, keys: []solana.PublicKey{address}, mustRead: true, reason: ReasonLoading}
		m.pools = append(m.pools, p)
		m.watch(p, address)
	}
	m.publishStatus()
	reg.MustRegister(m.notifications, m.rejected, m.readAccounts, marketCollector{m})
	return m
}

// Snapshot is the present market, nil before the first pool could be quoted.
func (m *Market) Snapshot() *Snapshot { return m.snapshot.Load() }

// Status tells of every configured pool.
func (m *Market) Status() []PoolStatus {
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	return m.status
}

// Lag is how many slots the snapshot is behind the newest slot that any node has told of.
func (m *Market) Lag() uint64 {
	s := m.snapshot.Load()
	if s == nil {
		return 0
	}
	return max(m.rpc.Slot(), s.Slot) - s.Slot
}

// Run loads the pools and follows them until ctx ends.
func (m *Market) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	events := make(chan any, 1024)
	var wg sync.WaitGroup
	if len(m.cfg.StreamURLs) > 0 {
		st := &stream{urls: m.cfg.StreamURLs, authorization: m.cfg.Authorization, events: events, log: m.log}
		wg.Go(func() { st.run(ctx) })
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			m.rpc.probe(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(probeInterval):
			}
		}
	})
	ended := make(chan struct{})
	defer func() {
		cancel()
		go func() { wg.Wait(); close(ended) }()
		for { // a stream that ends says so
			select {
			case <-events:
			case <-ended:
				return
			}
		}
	}()
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	m.due(ctx, time.Now(), &wg)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-events:
			m.handle(event)
		case answers := <-m.reads:
			m.reading = false
			m.install(answers)
			m.due(ctx, time.Now(), &wg)
		case now := <-ticker.C:
			m.due(ctx, now, &wg)
		}
	}
}

func (m *Market) handle(event any) {
	switch e := event.(type) {
	case connected:
		m.session, m.heard = e.session, 0
		m.streaming.Store(true)
		m.session.subscribe(true, slices.Collect(maps.Keys(m.watched))...)
		m.log.Info("account stream is up", "accounts", len(m.watched))
	case disconnected:
		for slot, list := range m.pending { // it will never be known to be whole
			for _, n := range list {
				m.require(n.key, slot)
			}
		}
		clear(m.pending)
		for _, w := range m.watched {
			w.live = false
		}
		for _, p := range m.pools {
			m.unlive(p)
		}
		m.session = nil
		m.streaming.Store(false)
	case acknowledged:
		if w := m.watched[e.key]; w != nil && e.err == nil {
			w.live = true
			for _, p := range w.pools {
				m.unlive(p)
			}
			m.require(e.key, m.heard)
		} else if e.err != nil {
			m.rejected.Inc()
			m.log.Debug("subscription refused", "account", e.key, "error", e.err)
		}
	case notified:
		m.notifications.Inc()
		m.hear(e)
	}
}

// readClock decodes the clock sysvar: slot u64, epoch start i64, epoch u64, leader schedule epoch u64, unix time i64
// (Solana's sysvar::clock::Clock, bincode).
func (m *Market) readClock() {
	account := m.accounts[solana.SysVarClockPubkey]
	if account == nil || len(account.Data) < 40 {
		return
	}
	m.clock = amm.Clock{
		Slot:          binary.LittleEndian.Uint64(account.Data),
		Epoch:         binary.LittleEndian.Uint64(account.Data[16:]),
		UnixTimestamp: int64(binary.LittleEndian.Uint64(account.Data[32:])),
	}
}

// publish makes the present state the snapshot.
func (m *Market) publish() {
	if m.generation == 0 || m.clock.Slot == 0 {
		return
	}
	s := &Snapshot{Slot: m.newest(), Clock: m.clock, Pools: make([]amm.Pool, len(m.pools)), Infos: m.infos, Generation: m.generation, sources: make([]*source, len(m.pools))}
	m.shared = true
	newest := s.Slot
	for i, p := range m.pools {
		slot := m.slotOf(p)
		if p.state == nil || slot+staleSlots < newest {
			continue
		}
		s.Slot = min(s.Slot, slot)
		s.Pools[i], s.sources[i] = p.state, p.source
	}
	s.Advanced = time.Now()
	old := m.snapshot.Load()
	if old != nil && s.Slot <= old.Slot {
		s.Advanced = old.Advanced
	}
	m.snapshot.Store(s)
	if old == nil {
		m.publishStatus()
	}
}

func (m *Market) newest() uint64 { return max(m.sealed(), m.clock.Slot) }

func (m *Market) publishStatus() {
	status := make([]PoolStatus, len(m.pools))
	for i, p := range m.pools {
		status[i] = PoolStatus{Address: p.address, Mints: p.mints, Pool: p.state, Slot: m.slotOf(p), Reason: p.reason, Err: p.err}
		if p.state != nil && status[i].Slot+staleSlots < m.newest() {
			status[i].Pool, status[i].Reason = nil, ReasonStale
		}
	}
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	m.status = status
}
