package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// Kinds of upstream for the four swap operations.
const (
	// kindSwapV1 speaks what our clients speak.
	kindSwapV1 = "swap-v1"
	// kindSwapV2 is Jupiter's newer pair of quote and swap.
	kindSwapV2 = "swap-v2"
	// kindMetis is a router of the operator's own: it has no quota and no key of Jupiter's, and does not know every token.
	kindMetis = "metis"
)

// UpstreamConfig is one item of UPSTREAMS: NAME=KIND URL [KEYFILE [QUOTA]].
type UpstreamConfig struct {
	Name, Kind, URL string
	// keyFile holds the key to send, and is read again when it changes.
	keyFile string
	key     platform.Secret
	// quota is what that key's organisation may ask: the name of a plan, or a number of requests per minute.
	quota     string
	perMinute int64
}

var upstreamName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// UnmarshalText reads an item.
func (u *UpstreamConfig) UnmarshalText(text []byte) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(string(text)), "=")
	fields := strings.Fields(rest)
	if len(fields) < 2 || len(fields) > 4 || !upstreamName.MatchString(name) {
		return fmt.Errorf("%q: want NAME=KIND URL [KEYFILE [QUOTA]]", text)
	}
	u.Name, u.Kind, u.URL = name, fields[0], fields[1]
	if !slices.Contains([]string{kindSwapV1, kindSwapV2, kindMetis}, u.Kind) {
		return fmt.Errorf("%s: kind must be %s, %s or %s, not %q", name, kindSwapV1, kindSwapV2, kindMetis, u.Kind)
	}
	if len(fields) > 2 {
		u.keyFile = fields[2]
		if err := u.key.UnmarshalText([]byte("file:" + u.keyFile)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(fields) > 3 {
		u.quota = fields[3]
		quota := jupiter.Quota{Plan: u.quota}
		if n, err := strconv.ParseInt(u.quota, 10, 64); err == nil {
			quota = jupiter.Quota{RequestsPerMinute: n}
		}
		if err := quota.Validate(); err != nil {
			return fmt.Errorf("%s: the quota %q is neither a plan of Jupiter's nor requests per minute: %w", name, u.quota, err)
		}
		u.perMinute = quota.PerMinute()
	}
	return nil
}

// organisation is whose quota the upstream counts in, if it is not that of JUPITER_API_KEY.
func (u UpstreamConfig) organisation() string {
	if u.Kind == kindMetis {
		return ""
	}
	return u.Name
}

// String is what UnmarshalText reads, without a password that the URL may hold.
func (u UpstreamConfig) String() string {
	where := u.URL
	if parsed, err := url.Parse(where); err == nil {
		where = parsed.Redacted()
	}
	return strings.Join(strings.Fields(u.Name+"="+u.Kind+" "+where+" "+u.keyFile+" "+u.quota), " ")
}

// checkUpstreamNames wants each name once, and none of those that the gateway gives itself.
func checkUpstreamNames(upstreams []UpstreamConfig) error {
	taken := map[string]bool{jupiterName: true, optimizerName: true, optimizedName: true, oracleName: true}
	var errs []error
	for _, u := range upstreams {
		if taken[u.Name] {
			errs = append(errs, fmt.Errorf("UPSTREAMS: the name %s is taken", u.Name))
		}
		taken[u.Name] = true
	}
	return errors.Join(errs...)
}

// sharesKey says whether an upstream is asked with JUPITER_API_KEY and within that key's quota: one at the host of
// JUPITER_API_URL that has no key of its own. No other host ever sees that key.
func (u UpstreamConfig) sharesKey(jupiterURL string) bool {
	if u.Kind == kindMetis || u.keyFile != "" {
		return false
	}
	own, err := url.Parse(u.URL)
	theirs, err2 := url.Parse(jupiterURL)
	return err == nil && err2 == nil && own.Host == theirs.Host && own.Scheme == theirs.Scheme
}

// cannotServe says that an upstream's kind has no words for a call: another upstream may have.
type cannotServe struct{ refusal *jupiter.Error }

func (e cannotServe) Error() string { return e.refusal.Error() }
func (e cannotServe) Unwrap() error { return e.refusal }

func notSupported(format string, args ...any) error {
	return cannotServe{jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, format, args...)}
}
