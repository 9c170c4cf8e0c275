package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/ratelimit"
)

const (
	// dexesTrusted is for how long a list of DEXes may refuse a label: labels come and go without notice.
	dexesTrusted = 10 * time.Minute
	// dexesPause is the least time between two calls for the list.
	dexesPause = time.Minute
)

// dexes are the labels that the upstream knows. The list is asked for when a request names a DEX that is not in it, never by
// the clock, and no request waits for it: while it is unknown or old, labels go on unchecked.
type dexes struct {
	wanted chan struct{}

	mu     sync.Mutex
	labels map[string]bool
	at     time.Time
}

func newDexes() *dexes { return &dexes{wanted: make(chan struct{}, 1)} }

// check refuses a request that names a DEX which is not.
func (d *dexes) check(q jupiter.QuoteRequest, now time.Time) error {
	if err := d.checkList("dexes", q.Dexes, now); err != nil {
		return err
	}
	return d.checkList("excludeDexes", q.ExcludeDexes, now)
}

func (d *dexes) checkList(parameter string, labels []string, now time.Time) error {
	if len(labels) == 0 {
		return nil
	}
	d.mu.Lock()
	known, at := d.labels, d.at
	d.mu.Unlock()
	for _, label := range labels {
		if known[label] {
			continue
		}
		if known == nil || now.Sub(at) >= dexesTrusted {
			select {
			case d.wanted <- struct{}{}:
			default:
			}
			return nil
		}
		return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest,
			"Query parameter %s: there is no DEX %.64q; the nearest label in /program-id-to-label is %q", parameter, label, nearest(label, known))
	}
	return nil
}

// run fetches the list when it is wanted, until ctx ends.
func (d *dexes) run(ctx context.Context, fetch func(context.Context) (map[string]bool, error), log *slog.Logger) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.wanted:
		}
		labels, err := fetch(ctx)
		if err == nil {
			d.mu.Lock()
			d.labels, d.at = labels, time.Now()
			d.mu.Unlock()
		} else if ctx.Err() == nil {
			log.Warn("the list of DEXes is not available; labels in requests go on unchecked", "error", err)
		}
		select { // what was wanted meanwhile was this list
		case <-d.wanted:
		default:
		}
		pause.Reset(dexesPause)
	}
}

// fetchDexes asks the upstream, within its budget and after everybody else.
func (g *gateway) fetchDexes(ctx context.Context) (map[string]bool, error) {
	a, err := g.fetchSwap(ctx, &call{
		endpoint: endpointLabels, method: http.MethodGet, path: endpointLabels, header: http.Header{"Accept": {"application/json"}}, priority: ratelimit.Price,
	})
	if err != nil {
		return nil, err
	}
	defer a.close()
	var byProgram map[string]string
	if a.status != http.StatusOK || json.Unmarshal(a.body, &byProgram) != nil || len(byProgram) == 0 {
		return nil, fmt.Errorf("an answer with status %d that is no list of labels", a.status)
	}
	labels := make(map[string]bool, len(byProgram))
	for _, label := range byProgram {
		labels[label] = true
	}
	return labels, nil
}

// nearest returns the label with the least edit distance to text; case counts for little.
func nearest(text string, labels map[string]bool) string {
	text = strings.ToLower(text[:min(len(text), 64)])
	best, least := "", -1
	for label := range labels {
		distance := editDistance(text, strings.ToLower(label))
		if least < 0 || distance < least || distance == least && label < best {
			best, least = label, distance
		}
	}
	return best
}

// editDistance is the number of bytes to insert, delete or replace that make a into b (Levenshtein), by the rows of the usual
// matrix.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
