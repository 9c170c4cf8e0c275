package change

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"

	"jupiter-dex-integration/src/harness"
)

// CommentLimit is how many characters GitHub takes in a comment.
const CommentLimit = 65536

const (
	shortList = 10    // how many items of a list are in plain sight
	foldBytes = 12000 // how long a folded list may be
	codeRunes = 300   // how long one text from the repository may be
)

// Markdown writes the report for a pull request, in at most limit bytes: what does not fit is left out from the end, block
// by block, and the end says so. Every word that comes from the repository is in a code span, where it cannot be markup,
// a link or a mention.
func Markdown(r *Report, limit int) string {
	var d document
	d.summary(r)
	for _, n := range r.Networks {
		d.network(n)
	}
	d.findings(r)
	return d.within(limit)
}

// document is a list of blocks that each stand for themselves.
type document struct{ blocks []string }

func (d *document) add(format string, args ...any) {
	d.blocks = append(d.blocks, fmt.Sprintf(format, args...))
}

// within puts together as many blocks as fit.
func (d *document) within(limit int) string {
	const notice = "\n**Cut here:** %d further parts do not fit into a comment; `make diff` shows them.\n"
	room := limit - len(fmt.Sprintf(notice, len(d.blocks)))
	var text strings.Builder
	for i, block := range d.blocks {
		last := i == len(d.blocks)-1
		if text.Len()+len(block) > room && !(last && text.Len()+len(block) <= limit) {
			fmt.Fprintf(&text, notice, len(d.blocks)-i)
			break
		}
		text.WriteString(block)
	}
	return text.String()
}

// list adds a title and its items, with the long tail folded away.
func (d *document) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	d.add("\n#### %s\n\n%s", title, bullets(items[:min(len(items), shortList)]))
	if len(items) > shortList {
		d.fold(fmt.Sprintf("%d more", len(items)-shortList), items[shortList:])
	}
}

// fold adds items behind a line that opens them.
func (d *document) fold(summary string, items []string) {
	if len(items) == 0 {
		return
	}
	room, n := foldBytes, 0
	for n < len(items) && room >= len(items[n]) {
		room -= len(items[n])
		n++
	}
	rest := ""
	if n < len(items) {
		rest = fmt.Sprintf("- … and %d more\n", len(items)-n)
	}
	d.add("\n<details><summary>%s</summary>\n\n%s%s\n</details>\n", html.EscapeString(summary), bullets(items[:n]), rest)
}

func bullets(items []string) string { return "- " + strings.Join(items, "\n- ") + "\n" }

// code is a text from the repository as a code span.
func code(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "` `"
	}
	if runes := []rune(text); len(runes) > codeRunes {
		text = string(runes[:codeRunes]) + "…"
	}
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

// prose is a sentence of ours, in which a word may come from the repository: what could be markup is replaced.
func prose(text string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("<>[]`*_~@#!|\\&", c) {
			return '.'
		}
		return c
	}, text)
}

func codes(texts []string) string {
	var all []string
	for _, text := range texts {
		all = append(all, code(text))
	}
	return strings.Join(all, ", ")
}

// arrow is a value before and after.
func arrow(before, after string) string {
	switch {
	case before == after:
		return "changes"
	case before == "":
		return "is now " + code(after)
	case after == "":
		return "was " + code(before) + " and is gone"
	}
	return code(before) + " → " + code(after)
}

func (f Field) markdown() string { return code(f.Path) + " " + arrow(f.Before, f.After) }

func (d *document) summary(r *Report) {
	d.add("## What this change does\n\n")
	for _, n := range r.Networks {
		if n.Severity == None {
			d.add("- **%s**: %s\n", plain(n.Name), n.Verdict)
		} else {
			d.add("- **%s** (%s): %s\n", plain(n.Name), n.Severity, n.Verdict)
		}
	}
	var grave []string
	for _, n := range r.Networks {
		for _, what := range n.dangers() {
			grave = append(grave, "**"+plain(n.Name)+"**: "+what)
		}
	}
	for _, f := range r.Findings {
		grave = append(grave, fmt.Sprintf("new finding %s: %s", code(f.Rule), code(strings.TrimSpace(f.Overlay+" "+f.Object+": "+f.Problem))))
	}
	d.list("Look at this before you merge", grave)
	if r.Base != "" {
		d.add("\nCompared with %s.\n", code(r.Base))
	}
	if r.Mended > 0 {
		d.add("\nPuts right %s.\n", plural(r.Mended, "finding"))
	}
}

// plain is a network's name, a folder's, without anything that means something in Markdown.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, name)
}

// dangers lists what is gravest on a network.
func (n Network) dangers() []string {
	var all []string
	for _, x := range n.Scaling {
		if x.Severity == Danger {
			all = append(all, code(x.Object)+": "+prose(x.Warning))
		}
	}
	for _, x := range n.Images {
		if x.Severity == Danger {
			all = append(all, code(x.After)+": "+prose(x.Promotion))
		}
	}
	for _, x := range n.APIs {
		if x.Severity == Danger {
			all = append(all, fmt.Sprintf("%s of %s: %s", code(x.Object), code(x.Version), prose(x.Says)))
		}
	}
	for _, x := range n.Access {
		if x.Severity == Danger {
			all = append(all, x.markdown())
		}
	}
	for _, x := range n.Objects {
		if x.Severity == Danger {
			all = append(all, x.line())
		}
	}
	return all
}

func (d *document) network(n Network) {
	if len(n.Objects)+len(n.APIs)+len(n.Needs) == 0 {
		return
	}
	d.add("\n### %s\n\n%s\n", plain(n.Name), n.Sync)
	if len(n.Windows) > 0 {
		d.add("\nIt does so in the %s.\n", codes(n.Windows))
	}
	d.list("Restarts", collapse(n.Restarts, func(r Restart) (string, string) {
		var why []string
		for _, reason := range r.Because {
			why = append(why, reason.markdown())
		}
		return code(r.Workload), fmt.Sprintf("%s, %s: %s", podsOf(r), prose(r.How), some(why, "reason"))
	}))
	d.list("Scale", collapse(n.Scaling, func(s Scaling) (string, string) {
		return code(s.Object), code(s.What) + " " + arrow(s.Before, s.After) + warn(s.Warning)
	}))
	d.list("May now connect", collapse(n.Opened, func(f Flow) (string, string) {
		within := ""
		if f.Within != "" {
			within = ", which " + code(f.Within) + " allowed before"
		}
		return code(f.From), "to " + code(f.To) + " on " + code(f.Port) + within
	}))
	d.list("May no longer connect", collapse(n.Closed, func(f harness.Flow) (string, string) {
		return code(f.From), "to " + code(f.To) + " on " + code(f.Port)
	}))
	d.list("Configuration and secrets (names only)", collapse(n.Config, func(c Config) (string, string) {
		return code(c.Object), c.markdown()
	}))
	d.list("Alerts", collapse(n.Alerts, func(a Alert) (string, string) {
		var fields []string
		for _, f := range a.Fields {
			fields = append(fields, f.markdown())
		}
		return code(a.Name), string(a.Action) + ": " + some(fields, "field")
	}))
	d.list("Images", collapse(n.Images, func(i Image) (string, string) {
		return code(i.Workload), strings.TrimSuffix(arrow(i.Before, i.After)+": "+prose(i.Promotion), ": ")
	}))
	d.list("APIs on the way out", collapse(n.APIs, func(a API) (string, string) {
		old := ""
		if !a.New {
			old = " (as before)"
		}
		return code(a.Object), code(a.Version) + " is " + prose(a.Says) + old
	}))
	d.list("Access to the API server", collapse(n.Access, func(a Access) (string, string) {
		return code(a.Subject), a.does()
	}))
	d.list("To be made before the sync", collapse(n.Needs, func(p harness.Provided) (string, string) {
		keys := ""
		if len(p.Keys) > 0 {
			keys = " with " + codes(p.Keys)
		}
		return code(p.Kind + "/" + p.Name), code(p.Why) + keys
	}))
	d.objects(n)
}

func podsOf(r Restart) string {
	switch r.Pods {
	case "1":
		return "1 pod"
	case "one per node":
		return "one pod per node"
	}
	return r.Pods + " pods"
}

func warn(text string) string {
	if text == "" {
		return ""
	}
	return " — " + prose(text)
}

func (r Reason) markdown() string {
	switch {
	case len(r.Config) > 0:
	case strings.HasPrefix(r.Path, checksums):
		return code(r.Path) + " changes, though no key that its pods read does"
	default:
		return r.Field.markdown()
	}
	var from []string
	for _, c := range r.Config {
		from = append(from, code(c.Object)+" "+c.keysMarkdown())
	}
	return "its configuration: " + strings.Join(from, ", ")
}

func (c Config) keysMarkdown() string {
	var parts []string
	for _, list := range []struct {
		sign string
		keys []string
	}{{"+", c.Added}, {"changed ", c.Changed}, {"−", c.Removed}} {
		if len(list.keys) > 0 {
			shown := list.keys[:min(len(list.keys), 2*shortList)]
			more := ""
			if len(shown) < len(list.keys) {
				more = fmt.Sprintf(" and %d more", len(list.keys)-len(shown))
			}
			parts = append(parts, list.sign+codes(shown)+more)
		}
	}
	return strings.Join(parts, "; ")
}

func (c Config) markdown() string {
	text := c.keysMarkdown()
	byEffect := map[string][]string{}
	for _, r := range c.Readers {
		byEffect[r.Effect] = append(byEffect[r.Effect], r.Workload)
	}
	for _, effect := range sorted(byEffect) {
		text += "; " + prose(effect) + ": " + codes(byEffect[effect])
	}
	if len(c.Readers) == 0 {
		text += "; no rendered pod reads it"
	}
	return text
}

func (a Access) does() string {
	verb := "may no longer "
	switch {
	case a.Gains && strings.HasPrefix(a.What, "its pods"):
		verb = "now has "
	case strings.HasPrefix(a.What, "its pods"):
		verb = "no longer has "
	case a.Gains:
		verb = "may now "
	}
	return verb + code(a.What) + " in " + code(a.Where)
}

func (a Access) markdown() string { return code(a.Subject) + " " + a.does() }

// some joins the first of many texts.
func some(texts []string, thing string) string {
	if more := len(texts) - shortList; more > 0 {
		return strings.Join(texts[:shortList], "; ") + " and " + plural(more, "more "+thing)
	}
	return strings.Join(texts, "; ")
}

// collapse says once what is true of several: one line per statement, with its subjects.
func collapse[T any](list []T, say func(T) (subject, statement string)) []string {
	var order []string
	subjects := map[string][]string{}
	for _, item := range list {
		subject, statement := say(item)
		if subjects[statement] == nil {
			order = append(order, statement)
		}
		if !slices.Contains(subjects[statement], subject) {
			subjects[statement] = append(subjects[statement], subject)
		}
	}
	var lines []string
	for _, statement := range order {
		who := subjects[statement]
		more := ""
		if len(who) > shortList {
			more = fmt.Sprintf(" and %d more", len(who)-shortList)
			who = who[:shortList]
		}
		lines = append(lines, strings.Join(who, ", ")+more+": "+statement)
	}
	return lines
}

// objects lists what is created, changed and deleted. A change that several objects share is said once, before what each
// has of its own.
func (d *document) objects(n Network) {
	counted := map[Action]int{}
	type shared struct {
		Field
		objects []Object
	}
	byField := map[Field]*shared{}
	for _, o := range n.Objects {
		counted[o.Action]++
		for _, f := range o.Fields {
			if byField[f] == nil {
				byField[f] = &shared{Field: f}
			}
			byField[f].objects = append(byField[f].objects, o)
		}
	}
	var common []*shared
	for _, s := range byField {
		if len(s.objects) > 2 {
			common = append(common, s)
		}
	}
	slices.SortFunc(common, func(a, b *shared) int {
		return cmp.Or(cmp.Compare(len(b.objects), len(a.objects)), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Before, b.Before), cmp.Compare(a.After, b.After))
	})

	for _, action := range []Action{Created, Deleted} {
		var items []string
		for _, o := range n.Objects {
			if o.Action == action {
				items = append(items, o.line())
			}
		}
		title := map[Action]string{Created: "Created", Deleted: "Deleted"}[action]
		d.list(fmt.Sprintf("%s: %s", title, plural(len(items), "object")), items)
	}
	if counted[Changed] == 0 {
		return
	}
	var same []string
	for _, s := range common {
		kinds := map[string]int{}
		for _, o := range s.objects {
			kind, _, _ := strings.Cut(o.ID, "/")
			kinds[kind]++
		}
		same = append(same, fmt.Sprintf("%s in %s: %s", s.markdown(), plural(len(s.objects), "object"), prose(counts(kinds))))
	}
	var own []string
	for _, o := range n.Objects {
		if o.Action != Changed {
			continue
		}
		var fields []string
		for _, f := range o.Fields {
			if len(byField[f].objects) <= 2 {
				fields = append(fields, f.markdown())
			}
		}
		if len(fields) == 0 && o.Severity <= Notice {
			continue
		}
		own = append(own, strings.TrimSuffix(o.line()+": "+some(fields, "field"), ": "))
	}
	d.add("\n#### Changed: %s\n", plural(counted[Changed], "object"))
	if len(same) > 0 {
		d.add("\nThe same in several:\n\n%s", bullets(same[:min(len(same), shortList)]))
		d.fold(fmt.Sprintf("%d more changes that several share", len(same)-shortList), same[min(len(same), shortList):])
	}
	d.fold(fmt.Sprintf("%s with changes of their own, field by field", plural(len(own), "object")), own)
}

// line is an object and what Argo CD does about it.
func (o Object) line() string {
	where := ""
	if o.Wave != 0 {
		where = fmt.Sprintf(" (wave %d)", o.Wave)
	}
	refused := ""
	if len(o.Refused) > 0 {
		refused = " (" + codes(o.Refused) + ")"
	}
	return code(o.ID) + where + ": Argo CD " + prose(o.Argo) + warn(o.Warning) + refused
}

func (d *document) findings(r *Report) {
	var items []string
	for _, f := range r.Findings {
		items = append(items, fmt.Sprintf("%s %s: %s. To do: %s", code(f.Rule), code(strings.TrimSpace(f.Overlay+" "+f.Object)), code(f.Problem), code(f.Fix)))
	}
	d.list("New findings of `harness check`", items)
}
