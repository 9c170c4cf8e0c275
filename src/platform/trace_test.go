package platform

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

func TestWithoutAnEndpointSpansCostNothing(t *testing.T) {
	p := NewProcess("test", slog.New(slog.DiscardHandler))
	tracer, stop, err := p.newTracer(t.Context(), TraceConfig{SampleRatio: 1})
	if tracer != nil || err != nil {
		t.Fatalf("%v, %v", tracer, err)
	}
	stop()
	var ctx context.Context = &request{Context: t.Context()}
	if n := testing.AllocsPerRun(100, func() {
		_, span := Span(ctx, "part", trace.SpanKindInternal)
		span.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	h := http.Header{}
	if Propagate(ctx, h); len(h) != 0 {
		t.Errorf("sent %v", h)
	}
}

func TestWrongTraceSettingsAreRefusedAtStart(t *testing.T) {
	for want, cfg := range map[string]TraceConfig{
		"OTEL_EXPORTER_OTLP_ENDPOINT": {OTLPEndpoint: "collector:4318"},
		"OTEL_TRACES_SAMPLER_ARG":     {OTLPEndpoint: "http://collector:4318", SampleRatio: 2},
	} {
		p := NewProcess("test", slog.New(slog.DiscardHandler))
		if _, _, err := p.newTracer(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
