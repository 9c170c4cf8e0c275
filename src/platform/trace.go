package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TraceConfig says where OpenTelemetry traces go. What else OpenTelemetry's specification names, such as
// OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES, its library reads from the environment itself.
type TraceConfig struct {
	// OTLPEndpoint is the base URL of a collector that takes OTLP over HTTP. Empty: no traces.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	// SampleRatio is the share of requests that are traced, from 0 to 1, where the caller's own trace does not say whether.
	SampleRatio float64 `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1"`
}

const (
	tracerName = "jupiter-dex-integration/src/platform"
	// flushTimeout bounds what a collector that is slow adds to the end of a process.
	flushTimeout = 2 * time.Second
)

var (
	traceContext propagation.TraceContext
	noSpan       = trace.SpanFromContext(context.Background())
)

// newTracer returns nil where no endpoint is set. stop sends what is left. A collector that is slow or gone costs spans, never
// requests.
func (p *Process) newTracer(ctx context.Context, cfg TraceConfig) (tracer trace.Tracer, stop func(), err error) {
	if cfg.OTLPEndpoint == "" {
		return nil, func() {}, nil
	}
	u, err := url.Parse(cfg.OTLPEndpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT is not a URL like http://collector:4318")
	}
	if cfg.SampleRatio < 0 || cfg.SampleRatio > 1 {
		return nil, nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be from 0 to 1, not %v", cfg.SampleRatio)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	named := resource.NewSchemaless(attribute.String("service.name", p.Name), attribute.String("service.version", Version()))
	described, err := resource.Merge(named, resource.Environment())
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { slog.Warn("traces are lost", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))))
	return provider.Tracer(tracerName), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			p.Log.Warn("the last traces are lost", "error", err)
		}
	}, nil
}

// traced begins a request's span, as a part of the caller's trace if there is one.
func (r *request) traced(tracer trace.Tracer, in *http.Request) {
	ctx := traceContext.Extract(r.Context, propagation.HeaderCarrier(in.Header))
	r.Context, r.span = tracer.Start(ctx, in.Method, trace.WithSpanKind(trace.SpanKindServer))
}

// endSpan says in the semantic conventions' terms what became of a request.
func (r *request) endSpan(method string, status int, brokenOff bool) {
	r.span.SetName(method + " " + r.route)
	r.span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", r.route),
		attribute.Int("http.response.status_code", status), attribute.String("request_id", r.id))
	if status >= 500 || brokenOff {
		r.span.SetStatus(codes.Error, "")
	}
	r.span.End()
}

// Span begins a part of the traced request that ctx belongs to; the caller ends it. For a request that is not traced it does
// nothing, and the span it returns records nothing.
func Span(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if r, ok := ctx.(*request); ok && r.span == nil { // the common case needs no search
		return ctx, noSpan
	}
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, noSpan
	}
	return parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(kind))
}

// Propagate writes the trace that ctx belongs to into the header of a request (W3C Trace Context). It is for our own services:
// others need not know who called us.
func Propagate(ctx context.Context, h http.Header) {
	traceContext.Inject(ctx, propagation.HeaderCarrier(h))
}
