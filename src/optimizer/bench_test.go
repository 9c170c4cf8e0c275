package optimizer

import (
	"math/rand/v2"
	"net/url"
	"testing"
)

// BenchmarkQuote is a quote in process, on a market that stands still: parsing, routing within what a transaction holds, and the answer.
func BenchmarkQuote(b *testing.B) {
	c := newCluster(b)
	s := c.standing()
	s.metrics = nil
	r := rand.New(rand.NewPCG(3, 3))
	var queries []url.Values
	for len(queries) < 200 {
		text, _ := randomQuery(r, c.Market)
		query, err := url.ParseQuery(text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.quote(query, false); err == nil {
			queries = append(queries, query)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.quote(queries[i%len(queries)], false); err != nil {
			b.Fatal(err)
		}
	}
}
