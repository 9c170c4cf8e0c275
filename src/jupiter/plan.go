package jupiter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// PlanRequestsPerMinute are the quotas of Jupiter's plans, each for all calls of an organisation together, whatever its keys.
var PlanRequestsPerMinute = map[string]int64{"keyless": 30, "free": 60, "developer": 600, "launch": 3000, "pro": 9000}

// Quota says what an organisation may ask of Jupiter: by the name of its plan or as a number, not both.
type Quota struct {
	Plan              string `env:"JUPITER_PLAN"`
	RequestsPerMinute int64  `env:"JUPITER_REQUESTS_PER_MINUTE"`
}

// PerMinute is the quota in requests per minute, 0 if it is not known.
func (q Quota) PerMinute() int64 { return max(q.RequestsPerMinute, PlanRequestsPerMinute[q.Plan]) }

// Validate names every variable that is wrong.
func (q Quota) Validate() error {
	var errs []error
	if _, ok := PlanRequestsPerMinute[q.Plan]; q.Plan != "" && !ok {
		errs = append(errs, fmt.Errorf("JUPITER_PLAN must be one of %s, not %q", strings.Join(slices.Sorted(maps.Keys(PlanRequestsPerMinute)), ", "), q.Plan))
	}
	if q.Plan != "" && q.RequestsPerMinute != 0 {
		errs = append(errs, errors.New("JUPITER_PLAN and JUPITER_REQUESTS_PER_MINUTE are both set: set one"))
	}
	if q.RequestsPerMinute < 0 || q.RequestsPerMinute > 60e6 {
		errs = append(errs, fmt.Errorf("JUPITER_REQUESTS_PER_MINUTE must be from 1 to 60000000, or 0 for not known, not %d", q.RequestsPerMinute))
	}
	return errors.Join(errs...)
}
