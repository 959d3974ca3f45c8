package dmqprometheus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmqprometheus"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

func TestNodes(t *testing.T) {
	c, err := legacy.New(legacy.Options{Nodes: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := `
# HELP dmq_client_node_connected Whether the client is connected to the node.
# TYPE dmq_client_node_connected gauge
dmq_client_node_connected{client="a",node="127.0.0.1:1"} 0
`
	nodes := dmqprometheus.NewNodes(c, prometheus.Labels{"client": "a"})
	if err := testutil.CollectAndCompare(nodes, strings.NewReader(want), "dmq_client_node_connected"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(nodes); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}

func TestRequests(t *testing.T) {
	requests := dmqprometheus.NewRequests(nil)
	c, err := legacy.New(legacy.Options{Nodes: []string{"127.0.0.1:1"}, OnRequest: requests.OnRequest})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Push(t.Context(), nil, "jobs"); !errors.Is(err, dmq.ErrEmptyRecord) {
		t.Errorf("got %v, want %v", err, dmq.ErrEmptyRecord)
	}
	if n := testutil.CollectAndCount(requests); n != 1 {
		t.Errorf("got %d series, want 1: Push, failed", n)
	}
}
