package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"jupiter-dex-integration/src/jupiter"
)

// client is who sent a request, as far as limits go.
type client struct {
	id    string // "key:" and the key's name, or "ip:" and the address
	limit quota  // its own, or the zero quota
}

// Kinds of client.
const (
	kindKey = "key"
	kindIP  = "ip"
)

// identity tells clients apart: by key where keys are configured, else by address.
type identity struct {
	keys     *keyring // nil: none configured
	required bool
	trusted  []netip.Prefix
}

// of fails for a key that is not known, and for none where one is required.
func (i *identity) of(r *http.Request) (client, error) {
	if i.keys != nil {
		if key := r.Header.Get("X-Api-Key"); key != "" {
			c, ok := i.keys.lookup(key)
			if !ok {
				return client{}, jupiter.Errorf(http.StatusUnauthorized, jupiter.CodeUnauthorized, "the API key in x-api-key is not known here")
			}
			return c, nil
		}
		if i.required {
			return client{}, jupiter.Errorf(http.StatusUnauthorized, jupiter.CodeUnauthorized, "an API key in the header x-api-key is needed")
		}
	}
	return client{id: i.address(r)}, nil
}

// address names the client by where the request came from: the peer, or what trusted peers say of it, read from the nearest to the farthest. An
// IPv6 client has a whole /64 to choose addresses from.
func (i *identity) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return kindIP + ":" + r.RemoteAddr
	}
	addr := peer.Addr().Unmap()
	if i.trusts(addr) {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for n := len(hops) - 1; n >= 0 && i.trusts(addr); n-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(hops[n]))
			if err != nil {
				break
			}
			addr = hop.Unmap().WithZone("")
		}
	}
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			addr = p.Addr()
		}
	}
	var buf [len(kindIP) + len(":ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]byte
	return string(addr.AppendTo(append(buf[:0], kindIP+":"...)))
}

func (i *identity) trusts(addr netip.Addr) bool {
	for _, p := range i.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// keyring knows keys by their SHA-256 alone. Its text has one client in each line: a name, the hash in hex, and, if it has
// a limit of its own, requests per minute and burst as "600/60". It is read again when it changes; a text that is wrong
// leaves the last right one in force.
type keyring struct {
	source func() string
	log    *slog.Logger

	mu   sync.Mutex
	text string
	keys map[[sha256.Size]byte]client
}

func newKeyring(source func() string, log *slog.Logger) (*keyring, error) {
	text := source()
	keys, err := parseKeys(text)
	return &keyring{source: source, log: log, text: text, keys: keys}, err
}

func (k *keyring) lookup(key string) (client, bool) {
	text := k.source()
	k.mu.Lock()
	if text != k.text {
		if keys, err := parseKeys(text); err == nil {
			k.keys = keys
		} else {
			k.log.Error("the new client keys are wrong; the last ones stay in force", "error", err)
		}
	}
	k.text = text
	keys := k.keys
	k.mu.Unlock()
	c, ok := keys[sha256.Sum256([]byte(key))]
	return c, ok
}

func parseKeys(text string) (map[[sha256.Size]byte]client, error) {
	keys := map[[sha256.Size]byte]client{}
	names := map[string]bool{}
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 || len(fields) > 3 {
			errs = append(errs, fmt.Errorf("CLIENT_KEYS line %d: want NAME SHA256 [REQUESTS_PER_MINUTE/BURST]", number))
			continue
		}
		c := client{id: kindKey + ":" + fields[0]}
		var hash [sha256.Size]byte
		if n, err := hex.Decode(hash[:], []byte(fields[1][:min(len(fields[1]), 2*sha256.Size)])); err != nil || n != sha256.Size || len(fields[1]) != 2*sha256.Size {
			errs = append(errs, fmt.Errorf("CLIENT_KEYS line %d: the second field is not a SHA-256 in hex", number))
		}
		if len(fields) == 3 {
			var err error
			if c.limit, err = parseQuota(fields[2]); err != nil {
				errs = append(errs, fmt.Errorf("CLIENT_KEYS line %d: %w", number, err))
			}
		}
		if names[fields[0]] {
			errs = append(errs, fmt.Errorf("CLIENT_KEYS line %d: the name %s is taken", number, fields[0]))
		}
		names[fields[0]], keys[hash] = true, c
	}
	return keys, errors.Join(errs...)
}
