package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"

	"jupiter-dex-integration/src/amm"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	// silenceTimeout ends a connection on which nothing comes. The clock sysvar changes with every slot, so silence is a
	// dead connection or a stuck node.
	silenceTimeout   = 20 * time.Second
	maxNotification  = 16 << 20
	minReconnectWait = 250 * time.Millisecond
	maxReconnectWait = 30 * time.Second
	// steadySession is how long a connection must have lasted for the next wait to be short again.
	steadySession = 30 * time.Second
)

// StreamURL is where a node at rpcURL serves websockets by convention: the same host, the port after the RPC's where one is
// stated.
func StreamURL(rpcURL string) (string, error) {
	u, err := url.Parse(rpcURL)
	if err != nil || u.Host == "" {
		return "", errors.New("not a URL with a host")
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("no websocket scheme for %q", u.Scheme)
	}
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		if err != nil {
			return "", err
		}
		u.Host = u.Hostname() + ":" + strconv.Itoa(n+1)
	}
	return u.String(), nil
}

// stream keeps one websocket to a node open and turns what comes into events. Of solana-go's websocket client only the wire types
// are used: it neither reconnects nor tells an acknowledgement, on which consistency rests here, and it blocks on a slow reader.
type stream struct {
	urls          []string
	authorization func() string
	events        chan<- any
	log           *slog.Logger
}

// Events of a stream. A connection begins with connected and ends with disconnected; in between come the others.
type (
	connected    struct{ session *session }
	disconnected struct{ session *session }
	acknowledged struct {
		session *session
		key     solana.PublicKey
		err     error // the node refuses the subscription
	}
	notified struct {
		session *session
		slot    uint64
		key     solana.PublicKey
		account *amm.Account
	}
)

// session is one connection. Its queue is unbounded (by the number of accounts), so that whoever enqueues never waits for the
// network while the network waits for him.
type session struct {
	mu    sync.Mutex
	queue []subscription
	wake  chan struct{}
}

type subscription struct {
	key solana.PublicKey
	on  bool
}

func (s *session) subscribe(on bool, keys ...solana.PublicKey) {
	s.mu.Lock()
	for _, key := range keys {
		s.queue = append(s.queue, subscription{key, on})
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) take() []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queue
	s.queue = nil
	return queue
}

// run connects again and again until ctx ends, each time to the next URL.
func (st *stream) run(ctx context.Context) {
	wait := minReconnectWait
	for i := 0; ctx.Err() == nil; i++ {
		start := time.Now()
		err := st.connect(ctx, st.urls[i%len(st.urls)])
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) >= steadySession {
			wait = minReconnectWait
		}
		st.log.Warn("no account stream: pools are polled until it is back", "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)): // spread, so that replicas do not reconnect together
		}
		wait = min(2*wait, maxReconnectWait)
	}
}

func (st *stream) connect(ctx context.Context, address string) error {
	header := http.Header{}
	if st.authorization != nil {
		if value := st.authorization(); value != "" {
			header.Set("Authorization", value)
		}
	}
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	conn, _, err := websocket.Dial(dialCtx, address, &websocket.DialOptions{HTTPHeader: header, HTTPClient: &http.Client{}})
	cancel()
	if err != nil {
		return fmt.Errorf("websocket: %w", withoutURL(err))
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxNotification)

	ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	s := &session{wake: make(chan struct{}, 1)}
	c := &connection{conn: conn, session: s, requests: map[uint64]subscription{}, keys: map[uint64]solana.PublicKey{}, ids: map[solana.PublicKey]uint64{}}
	if !st.emit(ctx, connected{s}) {
		return ctx.Err()
	}
	var wg sync.WaitGroup
	var writeErr error
	wg.Go(func() {
		defer cancel()
		writeErr = c.write(ctx)
	})
	err = c.read(ctx, st)
	cancel()
	wg.Wait()
	st.emit(context.WithoutCancel(ctx), disconnected{s})
	return errors.Join(err, writeErr)
}

// emit hands an event to the market, which reads until the stream has ended.
func (st *stream) emit(ctx context.Context, event any) bool {
	select {
	case st.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

type connection struct {
	conn    *websocket.Conn
	session *session

	mu       sync.Mutex
	lastID   uint64
	requests map[uint64]subscription     // by request id, unanswered
	keys     map[uint64]solana.PublicKey // by subscription id
	ids      map[solana.PublicKey]uint64
}

func (c *connection) write(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.session.wake:
		}
		for _, sub := range c.session.take() {
			message, err := c.request(sub)
			if err != nil {
				return err
			}
			if message == nil {
				continue
			}
			writeCtx, cancel := context.WithTimeout(ctx, writeTimeout)
			err = c.conn.Write(writeCtx, websocket.MessageText, message)
			cancel()
			if err != nil {
				return fmt.Errorf("websocket write: %w", err)
			}
		}
	}
}

func (c *connection) request(sub subscription) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	method, params := "accountSubscribe", []any{sub.key, map[string]any{"encoding": solana.EncodingBase64, "commitment": Commitment}}
	if !sub.on {
		id, ok := c.ids[sub.key]
		if !ok {
			return nil, nil
		}
		delete(c.ids, sub.key)
		delete(c.keys, id)
		method, params = "accountUnsubscribe", []any{id}
	}
	c.lastID++
	c.requests[c.lastID] = sub
	return json.Marshal(struct {
		Version string `json:"jsonrpc"`
		ID      uint64 `json:"id"`
		Method  string `json:"method"`
		Params  []any  `json:"params"`
	}{"2.0", c.lastID, method, params})
}

// message is an answer (ID set) or a notification.
type message struct {
	ID     *uint64         `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Params struct {
		Subscription uint64 `json:"subscription"`
		Result       struct {
			Context struct {
				Slot uint64 `json:"slot"`
			} `json:"context"`
			Value *rpc.Account `json:"value"`
		} `json:"result"`
	} `json:"params"`
}

func (c *connection) read(ctx context.Context, st *stream) error {
	for {
		readCtx, cancel := context.WithTimeout(ctx, silenceTimeout)
		_, data, err := c.conn.Read(readCtx)
		silent := readCtx.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			return fmt.Errorf("nothing came for %v", silenceTimeout)
		}
		if err != nil {
			return fmt.Errorf("websocket read: %w", err)
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("websocket message: %w", err)
		}
		event, err := c.handle(&m)
		if err != nil {
			return err
		}
		if event != nil && !st.emit(ctx, event) {
			return ctx.Err()
		}
	}
}

func (c *connection) handle(m *message) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.ID == nil {
		key, ok := c.keys[m.Params.Subscription]
		if !ok { // unsubscribed meanwhile
			return nil, nil
		}
		r := m.Params.Result
		return notified{c.session, r.Context.Slot, key, fromRPC(r.Value)}, nil
	}
	sub, ok := c.requests[*m.ID]
	if !ok {
		return nil, nil
	}
	delete(c.requests, *m.ID)
	if !sub.on {
		return nil, nil
	}
	if m.Error != nil {
		return acknowledged{c.session, sub.key, fmt.Errorf("%s (%d)", m.Error.Message, m.Error.Code)}, nil
	}
	var id uint64
	if err := json.Unmarshal(m.Result, &id); err != nil {
		return nil, fmt.Errorf("answer to accountSubscribe: %w", err)
	}
	c.keys[id], c.ids[sub.key] = sub.key, id
	return acknowledged{c.session, sub.key, nil}, nil
}

// fromRPC is nil for an account that does not exist: nodes say so with null or, in notifications, with no lamports.
func fromRPC(a *rpc.Account) *amm.Account {
	if a == nil || a.Lamports == 0 {
		return nil
	}
	account := &amm.Account{Owner: a.Owner, Lamports: a.Lamports}
	if a.Data != nil {
		account.Data = a.Data.GetBinary()
	}
	return account
}

// withoutURL strips the URL, which may hold a key, from an error of net/http.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
