package dmqotel_test

import (
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmqotel"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

func TestSpanOfAFailedPush(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	c, err := legacy.New(legacy.Options{Nodes: []string{"127.0.0.1:1"}, OnRequest: dmqotel.OnRequest(provider)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Push(t.Context(), nil, "jobs"); err == nil {
		t.Error("got no error")
	}
	spans := recorder.Ended()
	if len(spans) != 1 || spans[0].Name() != "dmq Push" || spans[0].Status().Code != codes.Error {
		t.Errorf("got %v, want one span of a failed Push", spans)
	}
}
