package legacy

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// readRequest reads a Push or Pop and returns its arrays; for a GetNumConnections none, after
// answering it.
func readRequest(r *bufio.Reader, w io.Writer) (arrays [][]byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:4]); err != nil {
		return nil, err
	}
	count := 0
	switch wire.Command(b[0]) {
	case wire.GetNumConnections:
		_, err := w.Write(wire.AppendStatus(nil, wire.NotSupported))
		return nil, err
	case wire.Push:
		count = 2
	case wire.Pop:
		count = 1
	}
	for range count {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, err
		}
		array := make([]byte, binary.LittleEndian.Uint64(b[:]))
		if _, err := io.ReadFull(r, array); err != nil {
			return nil, err
		}
		arrays = append(arrays, array)
	}
	return arrays, nil
}

// TestGoingOnToTheNextNode has two nodes; whichever is asked first gives the first answer.
func TestGoingOnToTheNextNode(t *testing.T) {
	const hangUp = ""
	status := func(s Status) string { return string(wire.AppendStatus(nil, wire.Status(s))) }
	value := func(v string) string { return string(wire.AppendArray([]byte(status(200)), v)) }
	push := func(c *Client, t *testing.T) (string, error) { return "", c.Push(t.Context(), []byte("x"), "a") }
	pop := func(c *Client, t *testing.T) (string, error) {
		v, err := c.Pop(t.Context(), "a")
		return string(v), err
	}
	for _, tc := range []struct {
		name    string
		call    func(*Client, *testing.T) (string, error)
		answers []string // as many as there have to be
		again   bool     // not Options.AtMostOnce
		want    string
		errs    []error
	}{
		{"Push: out of memory", push, []string{status(407), status(200)}, false, "", nil},
		{"Push: all out of memory", push, []string{status(407), status(407)}, false, "", []error{ErrOutOfMemory}},
		{"Push: bad name", push, []string{status(409)}, true, "", []error{ErrBadChannelName}},
		{"Push: empty value", push, []string{status(408)}, true, "", []error{ErrEmptyValue}},
		{"Push: 500", push, []string{status(500)}, false, "", []error{ErrUncertain, ErrInternal}},
		{"Push: unknown status", push, []string{status(1)}, false, "", []error{ErrUncertain}},
		{"Push: connection lost", push, []string{hangUp}, false, "", []error{ErrUncertain, io.ErrUnexpectedEOF}},
		{"Push at least once: 500", push, []string{status(500), status(200)}, true, "", nil},
		{"Push at least once: connection lost", push, []string{hangUp, status(200)}, true, "", nil},
		{"Push at least once: in vain", push, []string{hangUp, status(407)}, true, "", []error{ErrUncertain, ErrOutOfMemory}},
		{"Pop: the first has it", pop, []string{value("v")}, false, "v", nil},
		{"Pop: the second has it", pop, []string{value(""), value("v")}, false, "v", nil},
		{"Pop: the first does not know the channel", pop, []string{status(500), value("v")}, false, "v", nil},
		{"Pop: all empty", pop, []string{value(""), value("")}, false, "", []error{ErrEmpty}},
		{"Pop: one empty, one does not know", pop, []string{value(""), status(500)}, false, "", []error{ErrEmpty}},
		{"Pop: none knows", pop, []string{status(500), status(500)}, false, "", []error{ErrNoSuchChannelOrSubscribed}},
		{"Pop: failure is not empty", pop, []string{value(""), hangUp}, false, "", []error{ErrUncertain}},
		{"Pop: connection lost", pop, []string{hangUp}, true, "", []error{ErrUncertain}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked atomic.Int64
			answer := func(r *bufio.Reader, w io.Writer) error {
				arrays, err := readRequest(r, w)
				if err != nil || arrays == nil {
					return err
				}
				n := int(asked.Add(1))
				if n > len(tc.answers) || tc.answers[n-1] == hangUp {
					return io.EOF
				}
				_, err = io.WriteString(w, tc.answers[n-1])
				return err
			}
			client, err := New(Options{Nodes: []string{serve(t, answer), serve(t, answer)}, AtMostOnce: !tc.again})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.WaitConnected(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			got, err := tc.call(client, t)
			if got != tc.want || (err == nil) != (len(tc.errs) == 0) {
				t.Errorf("got %q, error %v, want %q, errors %v", got, err, tc.want, tc.errs)
			}
			for _, want := range tc.errs {
				if !errors.Is(err, want) {
					t.Errorf("got error %v, want %v", err, want)
				}
			}
			if n := int(asked.Load()); n != len(tc.answers) {
				t.Errorf("nodes asked: got %d, want %d", n, len(tc.answers))
			}
		})
	}
}

// A caller with little patience costs the others nothing.
func TestShortDeadlineDoesNotDisconnectTheNode(t *testing.T) {
	slow := make(chan struct{})
	defer close(slow)
	client, err := connect(t.Context(), serve(t, func(r *bufio.Reader, w io.Writer) error {
		arrays, err := readRequest(r, w)
		if err != nil || arrays == nil {
			return err
		}
		if string(arrays[0]) == "slow" {
			<-slow
		}
		_, err = w.Write(wire.AppendStatus(nil, wire.OK))
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for client.Nodes()[0].Connects < 2 { // until it was made sure that the node does not hang
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err := client.Push(ctx, []byte("x"), "slow")
		if cancel(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Push without an answer: got %v, want %v", err, context.DeadlineExceeded)
		}
	}
	if err := client.Push(t.Context(), []byte("x"), "fast"); err != nil {
		t.Error(err)
	}
	if n := client.Nodes()[0]; n.State != Connected || n.Err != nil {
		t.Errorf("got %+v, want the node connected all the time", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, options := range []Options{
		{},
		{Nodes: []string{"nohost"}},
		{Nodes: []string{"a:1"}, RequestTimeout: -1},
		{Nodes: []string{"a:1"}, MaxIdle: -1},
		{NodesFile: "/nonexistent/nodes"},
	} {
		var e *Error
		if _, err := New(options); !errors.As(err, &e) || e.Request != "New" {
			t.Errorf("%+v: got %v, want an *Error of New", options, err)
		}
	}
}
