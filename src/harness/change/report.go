package change

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"jupiter-dex-integration/src/harness"
)

// Severity is how much attention a change needs before it is merged.
type Severity int

const (
	None    Severity = iota // nothing that is rendered changes
	Notice                  // something changes, nothing that runs is disturbed
	Warning                 // pods restart or go, or something opens up or stops being watched
	Danger                  // data goes, a sync fails, a rule is broken, or an image was not tried before
)

var severities = []string{"none", "notice", "warning", "danger"}

func (s Severity) String() string { return severities[s] }

// MarshalText is the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name back.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severities, string(text))
	if i < 0 {
		return fmt.Errorf("%q is no severity, only %s are", text, strings.Join(severities, ", "))
	}
	*s = Severity(i)
	return nil
}

// Report is everything that a change does.
type Report struct {
	Base     string    `json:"base,omitempty"` // the revision compared with
	Severity Severity  `json:"severity"`
	Networks []Network `json:"networks"` // the most precious first
	Findings []Finding `json:"findings,omitempty"`
	Mended   int       `json:"mended,omitempty"` // findings that the change puts right
}

// Network is what changes on one network, or, under the name "argocd", in what hands the networks to Argo CD.
type Network struct {
	Name     string             `json:"name"`
	Severity Severity           `json:"severity"`
	Verdict  string             `json:"verdict"` // one line
	Restarts []Restart          `json:"restarts,omitempty"`
	Scaling  []Scaling          `json:"scaling,omitempty"`
	Opened   []Flow             `json:"reachAdded,omitempty"`
	Closed   []harness.Flow     `json:"reachRemoved,omitempty"`
	Config   []Config           `json:"config,omitempty"`
	Alerts   []Alert            `json:"alerts,omitempty"`
	Images   []Image            `json:"images,omitempty"`
	APIs     []API              `json:"apis,omitempty"`
	Access   []Access           `json:"access,omitempty"`
	Needs    []harness.Provided `json:"needs,omitempty"`   // what somebody has to make before the sync
	Objects  []Object           `json:"objects,omitempty"` // in the order in which Argo CD deals with them
	Sync     string             `json:"sync,omitempty"`    // when Argo CD does all this
	Windows  []string           `json:"windows,omitempty"`
}

// Finding is a rule that the head breaks and the base does not.
type Finding struct {
	Rule    string `json:"rule"`
	Overlay string `json:"overlay,omitempty"`
	Object  string `json:"object"`
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
}

// Facts are what the renders cannot know.
type Facts struct {
	Base      string // what to call the revision compared with
	Before    []harness.Finding
	After     []harness.Finding
	Preceding map[string]string                 // the network that a network's images come from, such as mainnet's testnet
	Had       func(network, digest string) bool // whether a network has ever had an image; nil when that is not known
}

// precedes is the order in which images go from network to network: the one that a network gets them from.
var precedes = map[string]string{"mainnet": "testnet", "testnet": "devnet"}

// rank puts the network where most is at stake first.
var rank = []string{"mainnet", "testnet", "devnet"}

// Between compares two renders.
func Between(base, head *harness.Render, facts Facts) *Report {
	report := &Report{Base: facts.Base}
	report.Findings, report.Mended = newFindings(base, head, facts)
	for _, name := range names(base, head) {
		s := sides{Facts: facts, name: name, baseRender: base, headRender: head, base: overlay(base, name), head: overlay(head, name)}
		n := s.network()
		for _, f := range report.Findings {
			if f.Overlay == name {
				n.Severity = Danger
			}
		}
		n.Verdict = s.verdict(n, report.Findings)
		report.Networks = append(report.Networks, n)
		report.Severity = max(report.Severity, n.Severity)
	}
	if len(report.Findings) > 0 {
		report.Severity = Danger
	}
	return report
}

// names lists the overlays of either side, and argocd last.
func names(base, head *harness.Render) []string {
	var all []string
	for _, r := range []*harness.Render{base, head} {
		for _, o := range r.Overlays {
			all = append(all, o.Name)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		place := func(name string) string {
			if i := slices.Index(rank, name); i >= 0 {
				return fmt.Sprint(i)
			}
			return "x" + name
		}
		return strings.Compare(place(a), place(b))
	})
	return append(slices.Compact(all), argoName)
}

// workloads returns an overlay's by their ID.
func workloads(o *harness.Overlay) map[string]harness.Workload {
	all := map[string]harness.Workload{}
	for _, w := range o.Workloads() {
		all[w.ID()] = w
	}
	return all
}

const argoName = "argocd"

// overlay is one network of a render, or nil.
func overlay(r *harness.Render, name string) *harness.Overlay {
	if name == argoName {
		return r.Argo
	}
	for _, o := range r.Overlays {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// sides is one network before and after.
type sides struct {
	Facts
	name                   string
	baseRender, headRender *harness.Render
	base, head             *harness.Overlay // nil where the network does not exist
	broken                 string           // which of them does not render
	restarting             map[string]bool  // by workload
}

func (s *sides) network() Network {
	n := Network{Name: s.name}
	failed := func(o *harness.Overlay) bool { return o != nil && !o.Rendered() }
	switch {
	case failed(s.head):
		s.broken = "does not render"
	case failed(s.base):
		s.broken = "did not render before, so there is nothing to compare with"
	}
	if s.broken != "" {
		n.Severity = Danger
		return n
	}
	if s.base == nil {
		s.base = &harness.Overlay{Name: s.name}
	}
	if s.head == nil {
		s.head = &harness.Overlay{Name: s.name}
	}
	pairs := pair(s.base.Objects, s.head.Objects)
	n.Restarts = s.restarts(pairs)
	n.Scaling = s.scaling()
	n.Opened, n.Closed = s.reach()
	n.Config = s.config(pairs)
	n.Alerts = s.alerts(pairs)
	n.Images = s.images()
	n.APIs = s.apis()
	n.Access = s.access()
	n.Needs = s.needs()
	n.Objects = s.objects(pairs)
	if len(n.Objects) > 0 {
		n.Sync, n.Windows = s.sync(), s.argo().windows
	}
	n.Severity = n.severity()
	return n
}

// severity is that of the gravest part.
func (n Network) severity() Severity {
	worst := None
	add := func(s Severity) { worst = max(worst, s) }
	for _, x := range n.Restarts {
		add(x.Severity)
	}
	for _, x := range n.Scaling {
		add(x.Severity)
	}
	for _, x := range n.Opened {
		add(x.Severity)
	}
	if len(n.Closed) > 0 {
		add(Warning)
	}
	if len(n.Config) > 0 {
		add(Notice)
	}
	if len(n.Needs) > 0 {
		add(Warning)
	}
	for _, x := range n.Alerts {
		add(x.Severity)
	}
	for _, x := range n.Images {
		add(x.Severity)
	}
	for _, x := range n.APIs {
		add(x.Severity)
	}
	for _, x := range n.Access {
		add(x.Severity)
	}
	for _, x := range n.Objects {
		add(x.Severity)
	}
	return worst
}

// verdict is the network's line.
func (s *sides) verdict(n Network, findings []Finding) string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if s.broken != "" {
		say("%s", s.broken)
	}
	pods := 0
	kinds := map[string]int{}
	for _, r := range n.Restarts {
		kind, _, _ := strings.Cut(r.Workload, "/")
		kinds[kind]++
		pods += r.AtLeast
	}
	if len(kinds) > 0 {
		atLeast := ""
		if slices.ContainsFunc(n.Restarts, func(r Restart) bool { return r.Pods != fmt.Sprint(r.AtLeast) }) {
			atLeast = "at least "
		}
		verb := "restart"
		if len(n.Restarts) == 1 {
			verb = "restarts"
		}
		say("%s %s (%s%s)", counts(kinds), verb, atLeast, plural(pods, "pod"))
	}
	if scaled := slices.DeleteFunc(slices.Clone(n.Scaling), func(s Scaling) bool { return s.Object == total }); len(scaled) > 0 {
		say("%s of scale", plural(len(scaled), "change"))
	}
	if len(n.Opened)+len(n.Closed) > 0 {
		say("reach +%d −%d", len(n.Opened), len(n.Closed))
	}
	if keys := countKeys(n.Config); keys > 0 {
		say("%s", plural(keys, "configuration key"))
	}
	if len(n.Alerts) > 0 {
		say("%s", plural(len(n.Alerts), "alert"))
	}
	if len(n.Images) > 0 {
		say("%s", plural(len(n.Images), "image"))
	}
	if fresh := slices.DeleteFunc(slices.Clone(n.APIs), func(a API) bool { return !a.New }); len(fresh) > 0 {
		say("%s on the way out", plural(len(fresh), "API"))
	}
	if len(n.Access) > 0 {
		say("%s of access", plural(len(n.Access), "change"))
	}
	if len(n.Needs) > 0 {
		say("%s to be made first", plural(len(n.Needs), "object"))
	}
	actions := map[Action]int{}
	for _, o := range n.Objects {
		actions[o.Action]++
	}
	for _, action := range []Action{Created, Changed} {
		if actions[action] > 0 {
			say("%s %s", plural(actions[action], "object"), action)
		}
	}
	if count := len(slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Overlay != s.name })); count > 0 {
		say("%s", plural(count, "new finding"))
	}
	switch {
	case actions[Deleted] > 0:
		say("**%s deleted**", plural(actions[Deleted], "object"))
	case len(parts) == 0:
		return "nothing changes"
	case s.broken == "":
		say("no deletions")
	}
	return strings.Join(parts, ", ")
}

// line is what moves when a file is edited above a finding.
var line = regexp.MustCompile(`:\d+$`)

// newFindings returns what the head breaks and the base does not, and how many of the base's are gone.
func newFindings(base, head *harness.Render, facts Facts) (fresh []Finding, mended int) {
	key := func(f harness.Finding) harness.Finding {
		return harness.Finding{Rule: f.Rule, Overlay: f.Overlay, Object: line.ReplaceAllString(f.Object, ""), Field: f.Field, Problem: f.Problem}
	}
	// What kustomize and Helm say of a file names the folder that the revision lies in.
	local := func(list []harness.Finding, root string) (same []harness.Finding) {
		for _, f := range list {
			f.Problem = strings.ReplaceAll(f.Problem, root+"/", "")
			same = append(same, f)
		}
		return same
	}
	known := map[harness.Finding]int{}
	for _, f := range local(facts.Before, base.Root) {
		known[key(f)]++
	}
	for _, f := range local(facts.After, head.Root) {
		if known[key(f)] > 0 {
			known[key(f)]--
			continue
		}
		fresh = append(fresh, Finding{
			Rule: f.Rule, Overlay: f.Overlay, Object: f.Object, Fix: f.Fix,
			Problem: strings.TrimPrefix(f.Field+": ", ": ") + harness.Masked(f.Problem),
		})
	}
	for _, count := range known {
		mended += count
	}
	return fresh, mended
}

// plural is a count of things in English.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if strings.HasSuffix(thing, "cy") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(thing, "y"))
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// counts lists how many there are of each kind.
func counts(kinds map[string]int) string {
	var parts []string
	for _, kind := range sorted(kinds) {
		parts = append(parts, plural(kinds[kind], kind))
	}
	return strings.Join(parts, ", ")
}
