package change

import (
	"net/netip"
	"slices"
	"strings"

	"jupiter-dex-integration/src/harness"
)

// Flow is a connection that the network policies let through only after the change.
type Flow struct {
	harness.Flow
	Within   string   `json:"within,omitempty"` // a wider one that was there before
	Severity Severity `json:"severity"`
}

// reach is the difference between the two reach tables.
func (s *sides) reach() (opened []Flow, closed []harness.Flow) {
	before, after := s.base.Reach(), s.head.Reach()
	for _, flow := range after {
		if slices.Contains(before, flow) {
			continue
		}
		f := Flow{Flow: flow, Severity: Warning}
		if i := slices.IndexFunc(before, func(wider harness.Flow) bool { return covers(wider, flow) }); i >= 0 {
			f.Within, f.Severity = before[i].String(), Notice
		}
		opened = append(opened, f)
	}
	for _, flow := range before {
		if !slices.Contains(after, flow) {
			closed = append(closed, flow)
		}
	}
	return opened, closed
}

// covers reports whether one connection is part of another: fewer addresses, or one port instead of any.
func covers(wide, narrow harness.Flow) bool {
	end := func(wide, narrow string) bool {
		return wide == narrow || wide == "anyone" || contains(wide, narrow)
	}
	return (wide.Port == narrow.Port || wide.Port == "any port") && end(wide.From, narrow.From) && end(wide.To, narrow.To)
}

// contains compares address blocks, written as "10.0.0.0/8 except 10.1.0.0/16, 10.2.0.0/16".
func contains(wide, narrow string) bool {
	parse := func(text string) (block netip.Prefix, except []netip.Prefix, ok bool) {
		first, rest, excepts := strings.Cut(text, " except ")
		block, err := netip.ParsePrefix(first)
		if err != nil {
			return block, nil, false
		}
		if excepts {
			for part := range strings.SplitSeq(rest, ", ") {
				p, err := netip.ParsePrefix(part)
				if err != nil {
					return block, nil, false
				}
				except = append(except, p)
			}
		}
		return block, except, true
	}
	a, aExcept, okA := parse(wide)
	b, _, okB := parse(narrow)
	return okA && okB && a.Bits() <= b.Bits() && a.Contains(b.Addr()) &&
		!slices.ContainsFunc(aExcept, func(hole netip.Prefix) bool { return hole.Overlaps(b) })
}
