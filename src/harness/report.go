package harness

import (
	"fmt"
	"io"
	"time"
)

// Report writes what was looked at, what is wrong and how to put it right, for a person at a terminal.
func Report(w io.Writer, r *Render, findings []Finding) error {
	out := &printer{w: w}
	last := Finding{}
	for _, f := range findings {
		if f.place() != last.place() {
			out.printf("\n%s\n", f.place())
		}
		out.printf("  %s\n", f.what())
		out.printf("      rule %s: %s\n      fix: %s\n", f.Rule, f.Reason, f.Fix)
		last = f
	}
	if len(findings) > 0 {
		out.printf("\n")
	}
	kinds := map[string]bool{}
	total := 0
	for _, o := range r.all() {
		verdict := "did not render"
		if o.Rendered() {
			verdict = fmt.Sprintf("%d objects", len(o.Objects))
		}
		out.printf("%-10s %s\n", o.Name, verdict)
		for _, object := range o.Objects {
			kinds[object.GroupVersionKind().String()] = true
			total++
		}
	}
	out.printf("%d rules, %d objects of %d kinds, %d findings; rendered in %s, decoded and validated in %s\n",
		len(Rules()), total, len(kinds), len(findings), r.Rendering.Round(time.Millisecond), r.Judging.Round(time.Millisecond))
	return out.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
