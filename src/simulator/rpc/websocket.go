package rpc

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/market"
)

const (
	// writeTimeout is how long a client may be too slow for.
	writeTimeout     = 10 * time.Second
	maxSubscriptions = 10_000
)

// connection is one websocket and what it subscribes to.
type connection struct {
	handler *Handler
	socket  *websocket.Conn
	ctx     context.Context

	mu            sync.Mutex // held while writing, so that a subscription's number is known before its first notification
	last          uint64
	subscriptions map[uint64]subscription
}

// subscription is what a slot's heads mean for one subscriber: the results to notify of, and whether it ends with them.
type subscription struct {
	notification string
	visit        func(market.Heads) (results []any, end bool, err error)
}

func (h *Handler) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any page may use a node
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	socket.SetReadLimit(maxBodyBytes)
	h.mu.Lock()
	ctx, cancel := context.WithCancel(h.present)
	h.mu.Unlock()
	defer cancel()

	c := &connection{handler: h, socket: socket, ctx: ctx, subscriptions: make(map[uint64]subscription)}
	var notifier sync.WaitGroup
	defer notifier.Wait()
	defer cancel()
	notifier.Go(func() {
		defer cancel() // a client that cannot be written to is not read from either
		h.market.Follow(ctx, c.notify)
	})
	for {
		_, message, err := socket.Read(ctx)
		if err != nil {
			return
		}
		if err := c.receive(message); err != nil {
			return
		}
	}
}

// receive answers one message.
func (c *connection) receive(message []byte) error {
	requests, _, invalid := parse(message)
	c.mu.Lock()
	defer c.mu.Unlock()
	if invalid != nil {
		return c.write(&response{Version: "2.0", Error: invalid, ID: null})
	}
	for _, r := range requests {
		if response := r.respond(c.call(r)); response != nil {
			if err := c.write(response); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *connection) call(r request) (any, error) {
	a, err := parseArgs(r.Params)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case "accountUnsubscribe", "programUnsubscribe", "slotUnsubscribe", "rootUnsubscribe", "signatureUnsubscribe":
		var id uint64
		if err := a.decode(0, &id); err != nil {
			return nil, err
		}
		if _, ok := c.subscriptions[id]; !ok {
			return nil, invalidParams("Invalid subscription id.")
		}
		delete(c.subscriptions, id)
		return true, nil
	}
	subscribe, known := map[string]func(args) (subscription, error){
		"accountSubscribe":   c.account,
		"programSubscribe":   c.program,
		"signatureSubscribe": c.signature,
		"slotSubscribe":      c.slot,
		"rootSubscribe":      c.root,
	}[r.Method]
	if !known {
		return nil, &Error{Code: codeNoMethod, Message: "Method not found"}
	}
	if len(c.subscriptions) >= maxSubscriptions {
		return nil, &Error{Code: codeInternal, Message: "Internal Error: Subscription refused. Node subscription limit reached"}
	}
	s, err := subscribe(a)
	if err != nil {
		return nil, err
	}
	c.last++
	c.subscriptions[c.last] = s
	return c.last, nil
}

// notify tells subscribers what happened in a slot, in the order in which they subscribed.
func (c *connection) notify(heads market.Heads) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.subscriptions)) {
		s := c.subscriptions[id]
		results, end, err := s.visit(heads)
		if err != nil {
			return err
		}
		for _, result := range results {
			if err := c.write(map[string]any{
				"jsonrpc": "2.0", "method": s.notification, "params": map[string]any{"result": result, "subscription": id},
			}); err != nil {
				return err
			}
		}
		if end {
			delete(c.subscriptions, id)
		}
	}
	return nil
}

func (c *connection) write(v any) error {
	message, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, writeTimeout)
	defer cancel()
	return c.socket.Write(ctx, websocket.MessageText, message)
}

// account notifies of each change of one account.
func (c *connection) account(a args) (subscription, error) {
	key, err := a.key(0)
	if err != nil {
		return subscription{}, err
	}
	o, level, err := c.options(a)
	if err != nil {
		return subscription{}, err
	}
	last := c.handler.market.At(level).Account(key)
	return subscription{"accountNotification", func(heads market.Heads) ([]any, bool, error) {
		s := heads[level]
		now := s.Account(key)
		if now == last {
			return nil, false, nil
		}
		last = now
		shown := now
		if shown == nil { // closed
			shown = &amm.Account{Owner: solana.SystemProgramID}
		}
		value, err := o.encode(shown)
		return []any{inContext(s, value)}, false, err
	}}, nil
}

// program notifies of each change of a program's accounts.
func (c *connection) program(a args) (subscription, error) {
	program, err := a.key(0)
	if err != nil {
		return subscription{}, err
	}
	o, level, err := c.options(a)
	if err != nil {
		return subscription{}, err
	}
	return subscription{"programNotification", func(heads market.Heads) (results []any, _ bool, _ error) {
		s := heads[level]
		for _, key := range s.Changed {
			account := s.Account(key)
			if account == nil || account.Owner != program || !o.match(account) {
				continue
			}
			value, err := o.encode(account)
			if err != nil {
				return nil, false, err
			}
			results = append(results, inContext(s, keyedAccount{key.String(), value}))
		}
		return results, false, nil
	}}, nil
}

// signature notifies once, when the transaction has been processed at the commitment.
func (c *connection) signature(a args) (subscription, error) {
	text, err := a.text(0)
	if err != nil {
		return subscription{}, err
	}
	signature, err := parseSignature(text)
	if err != nil {
		return subscription{}, err
	}
	_, level, err := c.options(a)
	if err != nil {
		return subscription{}, err
	}
	return subscription{"signatureNotification", func(heads market.Heads) ([]any, bool, error) {
		status, ok := c.handler.market.Status(signature)
		if !ok || status.Slot > heads[level].Slot {
			return nil, false, nil
		}
		return []any{inContext(heads[level], map[string]any{"err": status.Outcome.Err})}, true, nil
	}}, nil
}

func (c *connection) slot(args) (subscription, error) {
	return subscription{"slotNotification", func(heads market.Heads) ([]any, bool, error) {
		slot := heads[market.Processed].Slot
		return []any{map[string]uint64{"slot": slot, "parent": slot - 1, "root": heads[market.Finalized].Slot}}, false, nil
	}}, nil
}

func (c *connection) root(args) (subscription, error) {
	return subscription{"rootNotification", func(heads market.Heads) ([]any, bool, error) {
		return []any{heads[market.Finalized].Slot}, false, nil
	}}, nil
}

// options are those of a subscription, tried on an empty account, so that a wrong encoding is refused at once.
func (c *connection) options(a args) (options, market.Commitment, error) {
	o, err := a.options(1)
	if err != nil {
		return o, 0, err
	}
	level, err := commitment(o.Commitment)
	if err != nil {
		return o, 0, err
	}
	o.lossy = true
	_, err = o.encode(&amm.Account{})
	return o, level, err
}
