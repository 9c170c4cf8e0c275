package jupiter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswerBytes bounds what Prices reads: 50 entries are 10 kB.
const maxAnswerBytes = 1 << 20

// Client sends requests to one server that speaks Jupiter's API: Jupiter itself, a self-hosted router, or a service of
// this tier. It follows no redirect, retries nothing and sets no deadline of its own: the context bounds every call.
type Client struct {
	base *url.URL // where the swap operations are
	root *url.URL // where /price/v3, /tokens/v2 and /swap/v2 are
	key  func() string
	http http.RoundTripper // not an http.Client: all that one would add is redirects and copies of headers
}

// NewClient returns a client of the server whose four swap operations are directly under baseURL, for example
// https://api.jup.ag/swap/v1. The rest of the API is taken to start where "/swap/v1" starts, or at baseURL if that ends
// otherwise, as a self-hosted router's does. A user and password in it are sent as basic authentication. key is asked at each
// request and sent as x-api-key unless it is empty; it may be nil, and so may transport.
func NewClient(baseURL string, key func() string, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not a URL like https://api.jup.ag/swap/v1", baseURL)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return nil, fmt.Errorf("%q must end with its path: no query, no fragment, no escaped slash", baseURL)
	}
	base, root := *u, *u
	base.Path = strings.TrimRight(u.Path, "/")
	root.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/swap/v1"), "/swap/v2")
	if key == nil {
		key = func() string { return "" }
	}
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &Client{base: &base, root: &root, key: key, http: transport}, nil
}

// NewTransport returns a transport for many concurrent requests to few hosts.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   512,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		// The answer's header, not its body: 32 KiB is what our own servers accept too.
		MaxResponseHeaderBytes: 32 << 10,
	}
}

// NewRequest makes a request for the operation that path names, which is not escaped: relative to the base URL ("quote"), or,
// with a leading slash, to the root of the API ("/price/v3"). The query is sent as it is.
func (c *Client) NewRequest(ctx context.Context, method, path, rawQuery string, body io.Reader) (*http.Request, error) {
	target := *c.root
	if strings.HasPrefix(path, "/") {
		target.Path += path
	} else {
		target.Path = c.base.Path + "/" + path
	}
	target.RawQuery = rawQuery
	req, err := http.NewRequestWithContext(ctx, method, "", body) // parsing what has been parsed takes longer than all the rest
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = &target, target.Host
	return req, nil
}

// Do sends a request of NewRequest with the client's key in place of any that it carries. The answer has whatever status
// the server gave it; the caller closes its body.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if key := c.key(); key != "" {
		req.Header.Set("X-Api-Key", key)
	} else {
		req.Header.Del("X-Api-Key")
	}
	if user := req.URL.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	return c.http.RoundTrip(req)
}

// PriceStateHeader says how much the least reliable price of an answer in Jupiter's shape can be relied on: fresh, degraded
// or stale. It is the price-oracle's; the shape itself has no place for it.
const PriceStateHeader = "X-Price-State"

// ErrStalePrices means that the server itself calls one or more of the prices too old to rely on.
var ErrStalePrices = errors.New("there are stale prices among them")

// Prices asks GET /price/v3 for at most MaxPriceIDs mints. A mint without a price is not in the map. An answer other
// than 200 is an *Error; one with a price that is stale is ErrStalePrices.
func (c *Client) Prices(ctx context.Context, mints []string) (map[string]Price, error) {
	if len(mints) == 0 {
		return nil, nil
	}
	if len(mints) > MaxPriceIDs {
		return nil, fmt.Errorf("asking for %d prices: at most %d in one request", len(mints), MaxPriceIDs)
	}
	req, err := c.NewRequest(ctx, http.MethodGet, "/price/v3", "ids="+url.QueryEscape(strings.Join(mints, ",")), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for prices: %w", err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for prices: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	if len(body) > maxAnswerBytes {
		return nil, fmt.Errorf("reading prices: the answer is larger than %d bytes", maxAnswerBytes)
	}
	if resp.StatusCode != http.StatusOK {
		e := DecodeError(resp.StatusCode, body)
		e.RetryAfter = RetryAfter(resp.Header, time.Now())
		return nil, fmt.Errorf("asking for prices: %w", e)
	}
	if resp.Header.Get(PriceStateHeader) == "stale" {
		return nil, fmt.Errorf("reading prices: %w", ErrStalePrices)
	}
	var entries map[string]*Price
	if err := json.Unmarshal(body, &entries); err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	prices := make(map[string]Price, len(entries))
	for mint, p := range entries {
		if p != nil && p.USDPrice != "" { // some servers say null where Jupiter leaves the mint out
			prices[mint] = *p
		}
	}
	return prices, nil
}

// RetryAfter is how long the header of a refusal asks to wait: Retry-After in seconds, else Jupiter's x-ratelimit-reset,
// which is the Unix second at which a slot frees; 0 if it says neither.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if s, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
		return max(0, time.Unix(s, 0).Sub(now))
	}
	return 0
}
