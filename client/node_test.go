package client_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

var adminOption = nodetest.Set("Admin.clients", "test")

// must returns a value that there has to be.
func must[T any](t testing.TB) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// names returns the names of queues.
func names(queues []client.Queue) (all []string) {
	for _, q := range queues {
		all = append(all, q.Name)
	}
	return all
}

// The structs of the client have every field that the node tells, and no other.
func TestAnswersOfTheNodeAreComplete(t *testing.T) {
	one := admin.Amount{Records: 1, Bytes: 1}
	queue := admin.Queue{
		Name: "s@c", Channel: "c", Subscriber: "s", Subscribed: true,
		Records: 1, Bytes: 1, InRing: one, Spilled: one, Capacity: 1, Used: 1,
		Unconfirmed: one, UnconfirmedSeconds: 1, OldestSeconds: 1, Paused: true, Consumers: 1, Waiting: 1,
		Pushed: one, Delivered: one, Redelivered: one, Overflowed: one, Cleared: one, Failed: one, Delayed: one,
	}
	told, err := json.Marshal(admin.Detail{Queue: queue, Clients: []admin.Client{{
		ID: 1, Address: "a", Protocol: "neo", Name: "n", Since: time.Unix(1, 0).UTC(), Received: 1, Sent: 1, Unsent: 1,
		Requests: []admin.Request{{Request: "Consume", Queue: "s@c", Unconfirmed: 1, UnconfirmedBytes: 1, UnconfirmedSeconds: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(told))
	decoder.DisallowUnknownFields()
	var info client.QueueInfo
	if err := decoder.Decode(&info); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(info); err != nil || !sameJSON(t, again, told) {
		t.Errorf("got  %s, %v\nwant %s", again, err, told)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	values := [2]any{}
	for i, text := range [][]byte{a, b} {
		if err := json.Unmarshal(text, &values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(values[0]) == fmt.Sprint(values[1])
}

// Every node is asked, and each answers for itself.
func TestAskAll(t *testing.T) {
	nodes := startNodes(t, 2)
	c := connect(t, nodes...)
	pushAll(t, c, "jobs", numbered(10)...)
	pushAll(t, connect(t, nodes[1]), "other", "x")
	ctx := patient(t)
	answers := client.AskAll(c, func(n *client.Node) ([]client.Queue, error) { return n.Queues(ctx, "") })
	if len(answers) != 2 || answers[0].Node != nodes[0].Neo() || answers[1].Node != nodes[1].Neo() {
		t.Fatalf("got %+v, want an answer of each node in order", answers)
	}
	wantValues(t, names(must[[]client.Queue](t)(answers[0].Value, answers[0].Err)), []string{"jobs"})
	wantValues(t, names(must[[]client.Queue](t)(answers[1].Value, answers[1].Err)), []string{"jobs", "other"})
	if answers[0].Value[0].Records != 5 {
		t.Errorf("got %d records, want 5", answers[0].Value[0].Records)
	}
	wantValues(t, names(must[[]client.Queue](t)(c.Node(nodes[1].Neo()).Queues(ctx, "o*"))), []string{"other"})
}

// More queues than a node tells of at once: asked for behind the last one, until there are no more.
func TestQueuesOfManyPages(t *testing.T) {
	stub := startStub(t, func(c *stubConn) {
		for _, page := range []struct{ after, answer string }{
			{"", `[{"queue":"a"},{"queue":"b"}]`}, {"b", `[{"queue":"c"}]`}, {"c", `[]`},
		} {
			want := wire.AppendQuestion(nil, 0, wire.Question{
				Code: wire.CodeListQueues, Names: [][]byte{[]byte("?"), []byte(page.after)}, Numbers: []uint64{1000},
			})
			id, ok := c.expect(hex.EncodeToString(want[wire.FramePrefixSize:]))
			if !ok {
				return
			}
			answer := append(wire.AppendAnswerPrefix(nil, 0, wire.Answered, len(page.answer)), page.answer...)
			c.send(id, "fd", hex.EncodeToString(answer[wire.FramePrefixSize:]))
		}
		c.drain()
	})
	c := newClient(t, client.Options{Nodes: []string{stub.address}})
	waitConnected(t, c, 1)
	wantValues(t, names(must[[]client.Queue](t)(c.Node(stub.address).Queues(patient(t), "?"))), []string{"a", "b", "c"})
}

func TestPeek(t *testing.T) {
	node := startNodes(t, 1)[0]
	c := connect(t, node)
	pushAll(t, c, "jobs", "one", "", strings.Repeat("x", 1000))
	n := c.Node(node.Neo())
	got := must[[]client.Peeked](t)(n.Peek(patient(t), "jobs", 0, 10, 200))
	if len(got) != 3 || string(got[0].Bytes) != "one" || got[1].Size != 0 || got[2].Size != 1000 || len(got[2].Bytes) >= 1000 || len(got[2].Bytes) == 0 {
		t.Errorf("got %d records %+v, want 3, the last one cut", len(got), got)
	}
	if got := must[[]client.Peeked](t)(n.Peek(patient(t), "jobs", 1, 1, 200)); len(got) != 1 || got[0].Size != 0 {
		t.Errorf("got %+v, want the second record", got)
	}
	wantValues(t, popAll(t, c, "jobs"), []string{"", "one", strings.Repeat("x", 1000)})
}

// What changes something, seen by what looks.
func TestSteering(t *testing.T) {
	node := startNodes(t, 1, adminOption)[0]
	c := connect(t, node)
	n := c.Node(node.Neo())
	ctx := patient(t)
	pushAll(t, c, "jobs", "one", "three")
	try := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	try("Pause", n.Pause(ctx, "jobs"))
	if info := must[client.QueueInfo](t)(n.QueueInfo(ctx, "jobs")); !info.Paused || info.Records != 2 || info.Bytes != 8 {
		t.Errorf("got %+v, want 2 records, paused", info)
	}
	_, err := c.Pop(ctx, "jobs")
	wantError(t, err, client.ErrEmpty)
	try("Resume", n.Resume(ctx, "jobs"))
	if got, err := c.Pop(ctx, "jobs"); string(got) != "one" || err != nil {
		t.Errorf("after Resume: got %q, %v", got, err)
	}
	if dropped, err := n.Clear(ctx, "jobs"); dropped != (client.Amount{Records: 1, Bytes: 5}) || err != nil {
		t.Errorf("Clear: got %v, %v", dropped, err)
	}
	try("RemoveChannel", n.RemoveChannel(ctx, "jobs"))

	consumer, err := connect(t, node).Consume(ctx, "hits", client.ConsumeOptions{Subscriber: "audit", Once: true})
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	try("WaitStarted", consumer.WaitStarted(ctx, 1))
	info := must[client.QueueInfo](t)(n.QueueInfo(ctx, "audit@hits"))
	if len(info.Connections) != 1 || info.Connections[0].Name != "test" || info.Connections[0].Requests[0].Queue != "audit@hits" {
		t.Fatalf("got %+v, want one consumer", info)
	}
	if all := must[[]client.Connection](t)(n.Connections(ctx, "")); len(all) < 2 || !slices.ContainsFunc(all, func(c client.Connection) bool { return c.ID == info.Connections[0].ID }) {
		t.Errorf("got connections %+v", all)
	}
	wantError(t, n.RemoveUnused(ctx, "audit@hits"), client.ErrInUse)
	try("RemoveSubscriber", n.RemoveSubscriber(ctx, "audit@hits"))
	for _, err := range consumer.Records() {
		wantError(t, err, client.ErrChannelRemoved)
	}

	other := connect(t, node)
	all := must[[]client.Connection](t)(n.Connections(ctx, ""))
	try("Disconnect", n.Disconnect(ctx, all[len(all)-1].ID))
	eventually(t, "the connection is made again", func() bool { return other.Nodes()[0].Connects == 2 })
	wantError(t, n.Disconnect(ctx, all[len(all)-1].ID), client.ErrNotFound)
}

// A refusal is an error of its own, and names what was asked of which node.
func TestQuestionsRefused(t *testing.T) {
	node := startNodes(t, 1)[0]
	c := connect(t, node)
	n := c.Node(node.Neo())
	ctx := patient(t)
	pushAll(t, c, "jobs", "kept")
	err := n.Pause(ctx, "jobs")
	wantError(t, err, client.ErrDenied)
	wantText(t, err, fmt.Sprintf(`Pause "jobs" at %s: denied: client test may not`, node.Neo()))
	_, err = n.Clear(ctx, "jobs")
	wantError(t, err, client.ErrDenied)
	_, err = n.QueueInfo(ctx, "nothing")
	wantError(t, err, client.ErrNotFound)
	_, err = n.Queues(ctx, "[")
	wantError(t, err, client.ErrMalformed)
	wantValues(t, popAll(t, c, "jobs"), []string{"kept"})
	if connects := c.Nodes()[0].Connects; connects != 1 {
		t.Errorf("a refusal cost the connection: %d were made", connects)
	}
}

// A D node does not know these requests.
func TestQuestionsToADNode(t *testing.T) {
	stub := answerer(t, "ff")
	c := newClient(t, client.Options{Nodes: []string{stub.address}})
	waitConnected(t, c, 1)
	n := c.Node(stub.address)
	_, err := n.Queues(patient(t), "")
	wantError(t, err, client.ErrUnsupported)
	wantError(t, n.RemoveSubscriber(patient(t), "s@c"), client.ErrUnsupported)
}

// Who only looks is never left uncertain; who changes something is.
func TestQuestionsWithoutAnswer(t *testing.T) {
	stub := startStub(t, (*stubConn).drain)
	c := newClient(t, client.Options{Nodes: []string{stub.address}})
	waitConnected(t, c, 1)
	n := c.Node(stub.address)
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error)
	for _, ask := range []func() error{
		func() error { _, err := n.Queues(ctx, ""); return err },
		func() error { return n.Pause(ctx, "jobs") },
	} {
		go func() { asked <- ask() }()
	}
	eventually(t, "both are asked", func() bool { return c.Nodes()[0].InFlight == 2 })
	cancel()
	uncertain := 0
	for range 2 {
		err := <-asked
		wantError(t, err, context.Canceled)
		if errorIs(err, client.ErrUncertain) {
			uncertain++
			wantText(t, err, "Pause")
		}
	}
	if uncertain != 1 {
		t.Errorf("got %d uncertain outcomes, want that of Pause", uncertain)
	}
	wantError(t, c.Node("127.0.0.1:1").Pause(t.Context(), "jobs"), client.ErrNotConnected)
	c.Close()
	wantError(t, n.Pause(t.Context(), "jobs"), client.ErrClosed)
}
