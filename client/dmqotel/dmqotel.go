// Package dmqotel makes spans of OpenTelemetry of a client's requests.
//
//	c, err := client.New(client.Options{…, OnRequest: dmqotel.OnRequest(otel.GetTracerProvider())})
//
// It works with the clients of both protocols. There is a span for each Push and Pop, each Flush
// of a producer, and each record that a handler of Consumer.Each gets. Records carry no context of
// their producer: the protocols have no place for it.
package dmqotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

var kinds = map[string]trace.SpanKind{
	"Push":   trace.SpanKindProducer,
	"Flush":  trace.SpanKindProducer,
	"Pop":    trace.SpanKindConsumer,
	"Handle": trace.SpanKindConsumer,
}

// OnRequest returns what belongs into [dmq.Options].
func OnRequest(provider trace.TracerProvider) func(context.Context, dmq.Request) (context.Context, func(error)) {
	tracer := provider.Tracer("github.com/sociomantic-tsunami/dmqnode/v2/client/dmqotel")
	return func(ctx context.Context, request dmq.Request) (context.Context, func(error)) {
		ctx, span := tracer.Start(ctx, "dmq "+request.Name, trace.WithSpanKind(kinds[request.Name]), trace.WithAttributes(
			attribute.String("messaging.system", "dmq"),
			attribute.String("messaging.destination.name", request.Channel),
			attribute.Int("messaging.message.body.size", request.Bytes),
		))
		return ctx, func(err error) {
			var e *dmq.Error
			if errors.As(err, &e) && e.Node != "" {
				span.SetAttributes(attribute.String("server.address", e.Node))
			}
			if err != nil && !errors.Is(err, dmq.ErrEmpty) {
				span.RecordError(err)
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}
	}
}
