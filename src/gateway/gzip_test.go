package gateway

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestLargeAnswersAreGzippedForThoseWhoAccept(t *testing.T) {
	small, large := `{"a":1}`, `{"a":"`+strings.Repeat("0123456789", 1000)+`"}`
	long := `"` + strings.Repeat("0123456789abcdef", maxBuffered/8) + `"` // streams
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("size") {
		case "small":
			says(200, small)(w, r)
		case "large":
			says(200, large, "Vary", "Origin")(w, r)
		case "long":
			says(200, long)(w, r)
		default:
			says(400, large)(w, r)
		}
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	for _, tt := range []struct {
		path, accept, want string
		status             int
		zipped             bool
	}{
		{"/tokens/v2/x?size=small", "gzip", small, 200, false},
		{"/tokens/v2/x?size=large", "gzip, deflate", large, 200, true},
		{"/tokens/v2/x?size=large", "br;q=1, gzip;q=0.5", large, 200, true},
		{"/tokens/v2/x?size=large", "gzip;q=0", large, 200, false},
		{"/tokens/v2/x?size=large", "identity", large, 200, false},
		{"/tokens/v2/x?size=long", "gzip", long, 200, true},
		{"/tokens/v2/x?size=long", "", long, 200, false},
		{"/tokens/v2/x?size=error", "gzip", large, 400, false},
		{goodQuote + "&size=large", "gzip", large, 200, true},
		{goodQuote + "&size=large", "gzip", large, 200, true}, // from the cache
		{goodQuote + "&size=large", "identity", large, 200, false},
	} {
		r := get(t, gw.api+tt.path, "Accept-Encoding", tt.accept)
		zipped := r.header.Get("Content-Encoding") == "gzip"
		body := r.body
		if zipped {
			z, err := gzip.NewReader(strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			body = string(text)
		}
		if zipped != tt.zipped || body != tt.want || r.status != tt.status {
			t.Errorf("%s for %q: status %d, zipped %v, %d bytes of %d", tt.path, tt.accept, r.status, zipped, len(body), len(tt.want))
		}
		if vary := strings.Join(r.header.Values("Vary"), ","); zipped && !strings.HasSuffix(vary, "Accept-Encoding") || strings.Count(vary, "Accept") > 1 {
			t.Errorf("%s: Vary %q", tt.path, vary)
		}
	}
}
