package gateway

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spanCollector is a collector that takes OTLP over HTTP.
type spanCollector struct {
	*httptest.Server
	mu       sync.Mutex
	services []string
	spans    map[string]*tracepb.Span // by name
}

func newSpanCollector(t *testing.T) *spanCollector {
	c := &spanCollector{spans: map[string]*tracepb.Span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s got what is no export: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, a := range resource.Resource.Attributes {
				if a.Key == "service.name" {
					c.services = append(c.services, a.Value.GetStringValue())
				}
			}
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans[s.Name] = s
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func TestARequestsPartsAreTracedAndTheTraceLeavesTheHouseNeitherWithKeysNorToStrangers(t *testing.T) {
	traces := newSpanCollector(t)
	jup, optimizer := newFake(t, says(500, `{}`)), newFake(t, says(200, `{"outAmount":"1"}`))
	gw := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+traces.URL, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_API_KEY=secret-key",
		"OPTIMIZER_FALLBACK=true", "ROUTE_OPTIMIZER_URL="+optimizer.URL, "JUPITER_PLAN=pro")
	const callers = "4bf92f3577b34da6a3ce929d0e0e4736"
	if r := get(t, gw.api+goodQuote, "traceparent", "00-"+callers+"-00f067aa0ba902b7-01"); r.status != 200 {
		t.Fatalf("status %d", r.status)
	}
	if err := gw.stop(); err != nil {
		t.Fatal(err)
	}
	traces.mu.Lock()
	defer traces.mu.Unlock()
	parents := map[string]string{}
	for name, s := range traces.spans {
		if id := hexOf(s.TraceId); id != callers {
			t.Errorf("%s is of trace %s", name, id)
		}
		parents[name] = "00f067aa0ba902b7"
		for other, p := range traces.spans {
			if string(p.SpanId) == string(s.ParentSpanId) {
				parents[name] = other
			}
		}
		if strings.Contains(s.String(), "secret-key") {
			t.Errorf("%s tells the key", name)
		}
	}
	want := map[string]string{"GET quote": "00f067aa0ba902b7", "rate limit": "GET quote", "wait for Jupiter's quota": "GET quote",
		"jupiter quote": "GET quote", "route-optimizer quote": "GET quote"}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Error(diff)
	}
	if s := traces.spans["jupiter quote"]; s != nil && s.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("the failed call's status is %v", s.Status)
	}
	if diff := cmp.Diff([]string{"api-gateway"}, traces.services); diff != "" {
		t.Error(diff)
	}
	own := traces.spans["route-optimizer quote"]
	if got := optimizer.last(t).Header.Get("Traceparent"); own == nil || got != "00-"+callers+"-"+hexOf(own.SpanId)+"-01" {
		t.Errorf("the optimizer was told %q", got)
	}
	if got := jup.last(t).Header.Get("Traceparent"); got != "" {
		t.Errorf("Jupiter was told %q", got)
	}
	if !strings.Contains(gw.logs.String(), `"trace_id":"`+callers+`"`) {
		t.Error("the access log does not name the trace")
	}
}

func TestACollectorThatIsGoneHoldsUpNoRequest(t *testing.T) {
	gw := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "JUPITER_API_URL="+newFake(t, says(200, `{}`)).URL)
	for range 100 {
		if r := get(t, gw.api+goodQuote); r.status != 200 {
			t.Fatalf("status %d", r.status)
		}
	}
}

func TestTheSampleRatioHoldsUnlessTheCallerTraces(t *testing.T) {
	traces := newSpanCollector(t)
	gw := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+traces.URL, "OTEL_TRACES_SAMPLER_ARG=0", "JUPITER_API_URL="+newFake(t, says(200, `{}`)).URL)
	get(t, gw.api+goodQuote)
	get(t, gw.api+"/program-id-to-label", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	gw.stop()
	traces.mu.Lock()
	defer traces.mu.Unlock()
	if traces.spans["GET quote"] != nil || traces.spans["GET program-id-to-label"] == nil {
		t.Errorf("traced: %v", traces.spans)
	}
}

func hexOf(id []byte) string { return hex.EncodeToString(id) }
