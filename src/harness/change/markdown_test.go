package change

import (
	"fmt"
	"strings"
	"testing"
)

// many is a network of n objects of one kind; with different set each has a value of its own.
func many(n int, value string, different bool) string {
	var text strings.Builder
	for i := range n {
		own := value
		if different {
			own = fmt.Sprint(value, i)
		}
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: service-with-a-rather-long-name-%d\n  namespace: shop\n  labels: {release: %q}\nspec:\n  ports: [{port: 80, name: %q}]\n", i, value, own)
	}
	return text.String()
}

func TestFiveHundredObjectsStayReadable(t *testing.T) {
	argocd := file(t, "testdata/argocd.yaml")
	for _, tt := range []struct {
		name          string
		before, after string
		longest       int // bytes
		want          []string
	}{
		{"all alike are one line", many(500, "one", false), many(500, "two", false), 2000, []string{
			"**mainnet** (notice): 500 objects changed, no deletions",
			"- `metadata.labels.release` `one` → `two` in 500 objects: 500 Services",
			"- `spec.ports[80].name` `one` → `two` in 500 objects: 500 Services",
		}},
		{"each for itself is folded away and counted", many(500, "one", true), many(500, "two", true), 20000, []string{
			"500 objects changed",
			"<details><summary>500 objects with changes of their own, field by field</summary>",
			"`spec.ports[80].name` `one0` → `two0`",
			"- … and ",
		}},
		{"all new", "", many(500, "one", false), 20000, []string{"500 objects created, no deletions", "<details><summary>490 more</summary>"}},
		{"all gone", many(500, "one", false), "", 20000, []string{"**500 objects deleted**", "#### Deleted: 500 objects"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report := Between(render(map[string]string{"mainnet": tt.before}, argocd), render(map[string]string{"mainnet": tt.after}, argocd), Facts{})
			text := Markdown(report, CommentLimit)
			if len(text) > tt.longest {
				t.Errorf("%d bytes, want at most %d", len(text), tt.longest)
			}
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text[:min(len(text), 3000)])
				}
			}
			if len(report.Networks[0].Objects) != 500 {
				t.Errorf("the report itself holds %d objects", len(report.Networks[0].Objects))
			}
		})
	}
}

func TestWhatDoesNotFitIsCutBetweenParts(t *testing.T) {
	networks := map[string]string{}
	for _, name := range []string{"mainnet", "testnet", "devnet"} {
		networks[name] = many(300, "one", true)
	}
	report := Between(render(nil, ""), render(networks, ""), Facts{})
	whole := Markdown(report, CommentLimit)
	for _, limit := range []int{500, 4000, 20000, len(whole) - 1, len(whole)} {
		text := Markdown(report, limit)
		if len(text) > limit {
			t.Errorf("%d bytes, want at most %d", len(text), limit)
		}
		if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
			t.Errorf("%d: something stays open", limit)
		}
		if cut := strings.Contains(text, "**Cut here:**"); cut != (limit < len(whole)) {
			t.Errorf("%d of %d bytes: says it is cut: %v", limit, len(whole), cut)
		}
		if !strings.Contains(text, "**mainnet** (notice): 300 objects created") {
			t.Errorf("%d: lacks the verdict", limit)
		}
	}
}

// A stranger's words are neither markup nor mentions nor links.
func TestWordsOfTheRepositoryAreNoMarkup(t *testing.T) {
	const evil = "x` <img src=https://example.com/x> @team [click](https://example.com) | **b** ``"
	base := "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {x: y}}\n"
	head := strings.ReplaceAll(base, "x: y", fmt.Sprintf("%q: %q", evil, evil)) +
		fmt.Sprintf("---\napiVersion: v1\nkind: %q\nmetadata: {name: %q, annotations: {argocd.argoproj.io/hook: %q}}\n", evil, evil, evil) +
		fmt.Sprintf("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %q}\nspec: {strategy: {rollingUpdate: {maxSurge: %q}}, template: {spec: {containers: [{name: %q, image: %q}]}}}\n", evil, evil, evil, evil)
	text := Markdown(Between(render(map[string]string{"mainnet": base}, ""), render(map[string]string{"mainnet": head}, ""), Facts{}), CommentLimit)
	if !strings.Contains(text, "@team") {
		t.Fatal("the words are not in the report at all")
	}
	for _, word := range []string{"<img", "@team", "[click]", "**b**"} {
		if outside := outsideCode(text); strings.Contains(outside, word) {
			t.Errorf("%s is outside of a code span:\n%s", word, outside)
		}
	}
}

// outsideCode removes the code spans, as CommonMark finds them: from a run of backticks to the next run of the same length.
func outsideCode(text string) string {
	var out strings.Builder
	for text != "" {
		start := strings.IndexByte(text, '`')
		if start < 0 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:start])
		text = text[start:]
		fence := len(text) - len(strings.TrimLeft(text, "`"))
		rest := text[fence:]
		text = rest // unless the span is closed
		for at := 0; at < len(rest); {
			next := strings.IndexByte(rest[at:], '`')
			if next < 0 {
				break
			}
			at += next
			run := len(rest[at:]) - len(strings.TrimLeft(rest[at:], "`"))
			at += run
			if run == fence {
				text = rest[at:]
				break
			}
		}
	}
	return out.String()
}
