package chain

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

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

// hear takes one notification: it is held until its slot is known to be whole.
func (m *Market) hear(n notified) {
	if m.watched[n.key] == nil {
		return
	}
	if n.slot < m.heard { // out of order: what was concluded from the later one was wrong
		m.require(n.key, m.heard)
		return
	}
	m.pending[n.slot] = append(m.pending[n.slot], n)
	if n.slot == m.heard {
		return
	}
	if m.heard == 0 { // only now is it known what a read must have reached to be later than the subscriptions
		for _, p := range m.pools {
			m.requirePool(p, n.slot)
		}
	}
	m.heard = n.slot
	m.seal()
}

// seal applies what is pending of slots before the newest heard of.
func (m *Market) seal() {
	m.seals++
	var touched []*pool
	for _, slot := range slices.Sorted(maps.Keys(m.pending)) {
		if slot >= m.heard {
			break
		}
		for _, n := range m.pending[slot] {
			w := m.watched[n.key]
			if w == nil || w.slot >= slot {
				continue
			}
			m.accounts[n.key], w.slot = n.account, slot
			for _, p := range w.pools {
				if p.sealed != m.seals {
					p.sealed = m.seals
					touched = append(touched, p)
				}
			}
		}
		delete(m.pending, slot)
	}
	m.readClock()
	for _, p := range touched {
		switch {
		case !p.live: // another part of it may have changed unheard
			m.requirePool(p, m.heard-1)
		case !p.mustRead:
			m.refresh(p, m.heard-1)
		}
		if p.mustRead { // it is known to have changed, not into what
			p.state = nil
		}
	}
	m.publish()
}

// sealed is the newest slot of which everything has been heard.
func (m *Market) sealed() uint64 { return max(m.heard, 1) - 1 }

// require has the pools that depend on key read at minSlot or later.
func (m *Market) require(key solana.PublicKey, minSlot uint64) {
	if w := m.watched[key]; w != nil {
		for _, p := range w.pools {
			m.requirePool(p, minSlot)
		}
	}
}

func (m *Market) requirePool(p *pool, minSlot uint64) {
	p.slot = m.slotOf(p)
	p.mustRead, p.minSlot = true, max(p.minSlot, minSlot)
}

func (m *Market) unlive(p *pool) {
	p.slot = m.slotOf(p)
	p.live = false
}

// slotOf is the newest slot at which p's state is known to have been the present one.
func (m *Market) slotOf(p *pool) uint64 {
	if p.live && !p.mustRead {
		return max(p.slot, m.sealed())
	}
	return p.slot
}

// due starts what is due: reads of pools that need one, unless a round of reads is under way.
func (m *Market) due(ctx context.Context, now time.Time, wg *sync.WaitGroup) {
	poll, audit := now.After(m.pollAt), now.After(m.auditAt)
	if m.reading || now.Before(m.retryAt) {
		return
	}
	var must []*pool
	for _, p := range m.pools {
		switch {
		case now.Before(p.retryAt): // set aside
		case p.mustRead || p.reason != "" || audit || poll && !p.live:
			must = append(must, p)
		}
	}
	if poll {
		m.pollAt = now.Add(m.cfg.PollInterval)
	}
	if audit {
		m.auditAt = now.Add(m.cfg.AuditInterval)
	}
	if now.After(m.statusAt) {
		m.statusAt = now.Add(time.Second)
		m.publishStatus()
	}
	batches := m.batches(must)
	if len(batches) == 0 {
		return
	}
	m.reading = true
	wg.Go(func() { m.reads <- m.readAll(ctx, batches) })
}

// batches packs whole pools into reads of up to 100 accounts, shared ones once, the clock with each.
func (m *Market) batches(pools []*pool) []answer {
	var batches []answer
	in := map[solana.PublicKey]bool{}
	for _, p := range pools {
		missing := 0
		for _, key := range p.keys {
			if !in[key] {
				missing++
			}
		}
		if len(batches) == 0 || len(batches[len(batches)-1].keys)+missing > maxBatch {
			batches = append(batches, answer{keys: []solana.PublicKey{solana.SysVarClockPubkey}})
			clear(in)
		}
		b := &batches[len(batches)-1]
		b.pools = append(b.pools, p)
		b.slot = max(b.slot, p.minSlot)
		for _, key := range p.keys {
			if !in[key] {
				in[key] = true
				b.keys = append(b.keys, key)
			}
		}
	}
	return batches
}

// readAll fills in the batches, whose slots say what the answers must have reached.
func (m *Market) readAll(ctx context.Context, batches []answer) []answer {
	var g errgroup.Group
	g.SetLimit(readConcurrency)
	for i := range batches {
		b := &batches[i]
		g.Go(func() error {
			opts := &rpc.GetMultipleAccountsOpts{Encoding: solana.EncodingBase64, Commitment: Commitment}
			if b.slot > 0 {
				opts.MinContextSlot = &b.slot
			}
			b.err = m.rpc.do(ctx, "getMultipleAccounts", func(ctx context.Context, c *rpc.Client) (uint64, error) {
				res, err := c.GetMultipleAccountsWithOpts(ctx, b.keys, opts)
				if err != nil {
					return 0, err
				}
				if len(res.Value) != len(b.keys) {
					return 0, fmt.Errorf("%d accounts were asked for, %d came", len(b.keys), len(res.Value))
				}
				if res.Context.Slot < b.slot {
					return res.Context.Slot, fmt.Errorf("answer of slot %d where at least %d was asked for", res.Context.Slot, b.slot)
				}
				b.accounts = make([]*amm.Account, len(res.Value))
				for i, a := range res.Value {
					b.accounts[i] = fromRPC(a)
				}
				b.slot = res.Context.Slot
				return b.slot, nil
			})
			return nil
		})
	}
	_ = g.Wait() // errors are in the batches
	return batches
}

// install takes the answers of a round of reads.
func (m *Market) install(answers []answer) {
	var errs []error
	for i := range answers {
		if a := &answers[i]; a.err != nil {
			errs = append(errs, a.err)
		} else {
			m.readAccounts.Add(float64(len(a.keys)))
			m.installOne(a)
		}
	}
	if len(errs) == 0 {
		m.readFail = 0
	} else {
		wait := min(maxReadRetry, 100*time.Millisecond<<min(m.readFail, 10))
		m.readFail++
		m.retryAt = time.Now().Add(wait)
		m.log.Warn("pools could not be read", "batches", len(answers), "failed", len(errs), "error", errs[0], "retry_in", wait)
	}
	m.readClock()
	m.publish()
}

func (m *Market) installOne(a *answer) {
	index := make(map[solana.PublicKey]int, len(a.keys))
	for i, key := range a.keys {
		index[key] = i
	}
	fits := func(key solana.PublicKey) bool {
		i, ok := index[key]
		w := m.watched[key]
		return ok && w != nil && (w.slot <= a.slot || equal(m.accounts[key], a.accounts[i]))
	}
	var fit []*pool
	for _, p := range a.pools {
		// A pool whose keys changed since, or of which something newer is known, must be read again.
		if a.slot >= p.minSlot && !slices.ContainsFunc(p.keys, func(key solana.PublicKey) bool { return !fits(key) }) {
			fit = append(fit, p)
			p.mustRead = false
		} else if !p.live {
			p.mustRead = true
		}
	}
	keys := []solana.PublicKey{solana.SysVarClockPubkey}
	for _, p := range fit {
		keys = append(keys, p.keys...)
	}
	for _, key := range keys {
		w, account := m.watched[key], a.accounts[index[key]]
		if w.slot > a.slot {
			continue
		}
		old, loaded := m.accounts[key]
		m.accounts[key], w.slot = account, a.slot
		if loaded && !equal(old, account) {
			for _, p := range w.pools { // a shared account changed: who was not read with it must be
				if !slices.Contains(fit, p) {
					m.requirePool(p, a.slot)
				}
			}
		}
	}
	for _, p := range fit {
		m.refresh(p, a.slot)
		p.live = m.session != nil && m.heard > 0 && !p.mustRead && !slices.ContainsFunc(p.keys, func(key solana.PublicKey) bool { return !m.watched[key].live })
	}
}

func equal(a, b *amm.Account) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Owner == b.Owner && a.Lamports == b.Lamports && bytes.Equal(a.Data, b.Data)
}

// refresh decodes a pool all of whose accounts are of slot.
func (m *Market) refresh(p *pool, slot uint64) {
	account := m.accounts[p.address]
	if account == nil {
		m.setAside(p, ReasonNotFound, errors.New("the account does not exist on this cluster"))
		return
	}
	program := m.programs[account.Owner]
	if program == nil {
		m.setAside(p, ReasonUnknownProgram, fmt.Errorf("its owner %s is no AMM program known for this cluster", account.Owner))
		return
	}
	keys, err := program.Watch(p.address, m.accounts)
	if err != nil {
		m.setAside(p, reasonOf(err), err)
		return
	}
	if len(keys) >= maxBatch {
		m.setAside(p, ReasonTooManyAccounts, fmt.Errorf("it depends on %d accounts, one read takes %d", len(keys), maxBatch-1))
		return
	}
	if m.rewatch(p, keys) {
		if p.rounds++; p.rounds > maxRounds {
			m.setAside(p, ReasonMalformed, fmt.Errorf("it names further accounts after %d rounds", maxRounds))
			return
		}
		m.unlive(p)
		m.requirePool(p, slot)
		return
	}
	p.rounds = 0
	state, err := program.Decode(p.address, m.accounts)
	if err != nil {
		m.setAside(p, reasonOf(err), err)
		return
	}
	p.state, p.slot, p.reason, p.err, p.failures, p.retryAt = state, slot, "", nil, 0, time.Time{}
	p.source = newSource(p.keys, m.accounts)
	if old := m.infos[p.index]; old == nil || *old != *state.Info() {
		if m.shared {
			m.infos, m.shared = slices.Clone(m.infos), false
		}
		m.infos[p.index] = state.Info()
		m.generation++
	}
}

func reasonOf(err error) string {
	if _, ok := errors.AsType[*amm.UnsupportedError](err); ok {
		return ReasonUnsupported
	}
	return ReasonMalformed
}

// setAside takes a pool out of quoting. It is tried again after a while, and when the stream tells of a change to it.
func (m *Market) setAside(p *pool, reason string, err error) {
	if p.reason != reason {
		m.log.Warn("pool set aside", "pool", p.address, "reason", reason, "error", err)
	}
	p.state, p.reason, p.err, p.rounds = nil, reason, err, 0
	p.retryAt = time.Now().Add(min(maxSetAside, minSetAside<<min(p.failures, 10)))
	p.failures++
}

// rewatch makes keys what p depends on. It reports whether any of them has yet to be loaded.
func (m *Market) rewatch(p *pool, keys []solana.PublicKey) (more bool) {
	if slices.Equal(p.keys, keys) {
		return false
	}
	keys = slices.Clone(keys)
	for _, key := range keys {
		if !slices.Contains(p.keys, key) {
			m.watch(p, key)
			more = true
		}
	}
	for _, key := range p.keys {
		if slices.Contains(keys, key) {
			continue
		}
		w := m.watched[key]
		w.pools = slices.DeleteFunc(w.pools, func(q *pool) bool { return q == p })
		if len(w.pools) == 0 && key != solana.SysVarClockPubkey {
			delete(m.watched, key)
			delete(m.accounts, key)
			if m.session != nil {
				m.session.subscribe(false, key)
			}
		}
	}
	p.keys = keys
	return more
}

func (m *Market) watch(p *pool, key solana.PublicKey) {
	w := m.watched[key]
	if w == nil {
		w = &watched{}
		m.watched[key] = w
		if m.session != nil {
			m.session.subscribe(true, key)
		}
	}
	if !slices.Contains(w.pools, p) {
		w.pools = append(w.pools, p)
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
		status[i] = PoolStatus{Address: p.address, Pool: p.state, Slot: m.slotOf(p), Reason: p.reason, Err: p.err}
		if p.state != nil && status[i].Slot+staleSlots < m.newest() {
			status[i].Pool, status[i].Reason = nil, ReasonStale
		}
	}
	m.statusMu.Lock()
	defer m.statusMu.Unlock()
	m.status = status
}
