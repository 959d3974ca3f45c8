package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy/legacytest"
)

// dial connects to a node that plays the dialogue, until the end of the test.
func dial(t testing.TB, dialogue string) (*legacy.Client, *legacytest.Node) {
	t.Helper()
	node := legacytest.Play(t, dialogue)
	client, err := legacy.New(legacy.Options{Nodes: []string{node.Addr}, AtMostOnce: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.WaitConnected(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return client, node
}

// result is what a call returned, in short.
func result(value []byte, err error) string {
	if err != nil {
		return "error: " + reason(err)
	}
	return string(value)
}

// reason is the error without request, channel and address.
func reason(err error) string {
	var e *legacy.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("%v (not an *Error)", err)
	}
	return e.Err.Error()
}

func TestRequestsFollowTheVectors(t *testing.T) {
	type step = func(context.Context, *legacy.Client) string
	push := func(channel, value string) step {
		return func(ctx context.Context, c *legacy.Client) string {
			return result(nil, c.Push(ctx, []byte(value), channel))
		}
	}
	pop := func(channel string) step {
		return func(ctx context.Context, c *legacy.Client) string { return result(c.Pop(ctx, channel)) }
	}
	remove := func(channel string) step {
		return func(ctx context.Context, c *legacy.Client) string { return result(nil, c.RemoveChannel(ctx, channel)) }
	}
	pushMulti := func(value string, channels ...string) step {
		return func(ctx context.Context, c *legacy.Client) string {
			return result(nil, c.Push(ctx, []byte(value), channels...))
		}
	}

	for _, tc := range []struct {
		name     string
		dialogue string
		steps    []step
		want     []string
	}{
		{"V02 push then pop", `
			1> 01000000 0400000000000000 74657374 0300000000000000 616263
			1< c8000000
			1> 02000000 0400000000000000 74657374
			1< c8000000 0300000000000000 616263`,
			[]step{push("test", "abc"), pop("test")}, []string{"", "abc"}},
		{"V03 pop drained channel", `
			1> 02000000 0400000000000000 74657374
			1< c8000000 0000000000000000`,
			[]step{pop("test")}, []string{"error: the channel is empty"}},
		{"V04 pop unknown channel", `
			1> 02000000 0600000000000000 6e6f6368616e
			1< f4010000`,
			[]step{pop("nochan")}, []string{"error: no such channel, or it has subscribers"}},
		{"V12 remove existing", `
			1> 0c000000 0400000000000000 74657374
			1< c8000000`,
			[]step{remove("test")}, []string{""}},
		{"V15 push multi", `
			1> 09000000 0200000000000000 6d31 0200000000000000 6d32 0000000000000000 0300000000000000 76616c
			1< c8000000`,
			[]step{pushMulti("val", "m1", "m2")}, []string{""}},
		{"V16 push multi duplicate channel", `
			1> 09000000 0200000000000000 6d31 0200000000000000 6d31 0000000000000000 0300000000000000 76616c
			1< c8000000`,
			[]step{pushMulti("val", "m1", "m1")}, []string{""}},
		{"V34 connection survives every known status", `
			1> 02000000 0200000000000000 7a7a
			1< f4010000
			1> 01000000 0100000000000000 65 0100000000000000 31
			1< 97010000
			1> 01000000 0100000000000000 65 0100000000000000 31
			1< 99010000
			1> 01000000 0100000000000000 65 0100000000000000 31
			1< c8000000`,
			[]step{pop("zz"), push("e", "1"), push("e", "1"), push("e", "1")},
			[]string{"error: no such channel, or it has subscribers", "error: the node can't store the record now", "error: bad channel name", ""}},
		{"unknown status: the connection is not used again", `
			1> 02000000 0200000000000000 7a7a
			1< 39050000
			1>CLOSE
			2> 02000000 0200000000000000 7a7a
			2< c8000000 0100000000000000 61`,
			[]step{pop("zz"), pop("zz")}, []string{"error: outcome uncertain: unknown status 1337", "a"}},
		{"500 to a push leaves its outcome uncertain", `
			1> 01000000 0100000000000000 65 0100000000000000 31
			1< f4010000`,
			[]step{push("e", "1")}, []string{"error: outcome uncertain: internal error of the node"}},
		{"O01 largest record", `
			1> 01000000 0300000000000000 626967 0000a00000000000 78*10485760
			1< c8000000
			1> 02000000 0300000000000000 626967
			1< c8000000 0000a00000000000 78*10485760`,
			[]step{push("big", strings.Repeat("x", legacy.MaxValue)), pop("big")}, []string{"", strings.Repeat("x", legacy.MaxValue)}},
		{"record above 10 MiB from the node", `
			1> 02000000 0300000000000000 626967
			1< c8000000 0100a00000000000
			1>CLOSE`,
			[]step{pop("big")}, []string{"error: outcome uncertain: record too big: the node sent a record of 10485761 bytes, accepted are 10485760"}},
		{"answer cut off", `
			1> 02000000 0300000000000000 626967
			1< c8000000 0300000000000000 61
			1<EOF`,
			[]step{pop("big")}, []string{"error: outcome uncertain: the connection was lost: the node has closed the connection: unexpected EOF"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, _ := dial(t, tc.dialogue)
			for i, step := range tc.steps {
				if got := step(t.Context(), client); got != tc.want[i] {
					t.Errorf("call %d: got %.200q, want %.200q", i+1, got, tc.want[i])
				}
			}
		})
	}
}

func TestBadRequestsAreRefusedLocally(t *testing.T) {
	client, _ := dial(t, "1>CLOSE")
	ctx := t.Context()
	produce := func(channel string) error {
		return client.Producer(legacy.ProducerOptions{}).Push(ctx, []byte("x"), channel)
	}
	consume := func(channel string) error {
		_, err := client.Consume(ctx, channel, legacy.ConsumeOptions{})
		return err
	}
	pop := func(channel string) error {
		_, err := client.Pop(ctx, channel)
		return err
	}
	for _, channel := range []string{"", "a.b", "te st", "sub@chan", "a/b", "ä", "a\x00", strings.Repeat("a", 252)} {
		for request, err := range map[string]error{
			"Push":          client.Push(ctx, []byte("x"), channel),
			"PushMulti":     client.Push(ctx, []byte("x"), []string{"good", channel}...),
			"Pop":           pop(channel),
			"Produce":       produce(channel),
			"Consume":       consume(channel),
			"RemoveChannel": client.RemoveChannel(ctx, channel),
		} {
			if !errors.Is(err, legacy.ErrBadName) {
				t.Errorf("%s %q: got %v, want %v", request, channel, err, legacy.ErrBadName)
			}
		}
	}
	if err := client.Push(ctx, nil, "test"); !errors.Is(err, legacy.ErrEmptyValue) {
		t.Errorf("Push of an empty record: got %v, want %v", err, legacy.ErrEmptyValue)
	}
	if err := client.Push(ctx, nil, []string{"a"}...); !errors.Is(err, legacy.ErrEmptyValue) {
		t.Errorf("PushMulti of an empty record: got %v, want %v", err, legacy.ErrEmptyValue)
	}
	if err := client.Push(ctx, make([]byte, legacy.MaxValue+1), "test"); !errors.Is(err, legacy.ErrValueTooBig) {
		t.Errorf("Push of 10 MiB + 1: got %v, want %v", err, legacy.ErrValueTooBig)
	}
	if err := client.Push(ctx, []byte("x"), nil...); err == nil {
		t.Error("PushMulti without channels: got no error")
	}
}

func TestErrorNamesRequestChannelAndNode(t *testing.T) {
	client, node := dial(t, "1> 02000000 0400000000000000 74657374\n1< c8000000 0000000000000000")
	_, err := client.Pop(t.Context(), "test")
	if want := `Pop "test" at ` + node.Addr + ": the channel is empty"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !errors.Is(err, legacy.ErrEmpty) {
		t.Errorf("errors.Is(%v, ErrEmpty) = false", err)
	}
}

func TestLostConnection(t *testing.T) {
	// The second request goes over a connection that has been used before.
	const first = "1> 02000000 0100000000000000 61\n1< c8000000 0100000000000000 7a\n"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, tc := range []struct {
		name     string
		dialogue string
		call     func(*legacy.Client) error
		want     error
	}{
		{"Push is not repeated", "1> 01000000 0100000000000000 65 0100000000000000 31\n1<EOF",
			func(c *legacy.Client) error { return c.Push(ctx, []byte("1"), "e") }, legacy.ErrUncertain},
		{"Pop is not repeated", "1> 02000000 0100000000000000 65\n1<EOF",
			func(c *legacy.Client) error { _, err := c.Pop(ctx, "e"); return err }, legacy.ErrUncertain},
		{"RemoveChannel is repeated", "1> 0c000000 0100000000000000 65\n1<EOF\n2> 0c000000 0100000000000000 65\n2< c8000000",
			func(c *legacy.Client) error { return c.RemoveChannel(ctx, "e") }, nil},
		{"RemoveChannel is not repeated endlessly", "1> 0c000000 0100000000000000 65\n1<EOF\n2> 0c000000 0100000000000000 65\n2<EOF",
			func(c *legacy.Client) error { return c.RemoveChannel(ctx, "e") }, io.ErrUnexpectedEOF},
		{"the start of Produce is repeated", "1> 0a000000 0100000000000000 65\n1<EOF\n2> 0a000000 0100000000000000 65\n2< c8000000\n2> 0100000000000000 31\n2> 0000000000000000 08000000\n2< 96010000",
			func(c *legacy.Client) error {
				p := c.Producer(legacy.ProducerOptions{})
				if err := p.Push(ctx, []byte("1"), "e"); err != nil {
					return err
				}
				return p.Close(ctx)
			}, nil},
		{"the start of Consume is repeated", "1> 06000000 0100000000000000 65\n1<EOF\n2> 06000000 0100000000000000 65\n2< c8000000 0000000000000000",
			func(c *legacy.Client) error {
				consumer, err := c.Consume(ctx, "e", legacy.ConsumeOptions{})
				if err != nil {
					return err
				}
				defer consumer.Close()
				return consumer.Each(nil)
			}, legacy.ErrChannelRemoved},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, _ := dial(t, first+tc.dialogue)
			if _, err := client.Pop(ctx, "a"); err != nil {
				t.Fatal(err)
			}
			if err := tc.call(client); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestContextEndsRequest(t *testing.T) {
	client, node := dial(t, "1> 02000000 0400000000000000 74657374") // and no answer
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-node.Done
		cancel()
	}()
	_, err := client.Pop(ctx, "test")
	if !errors.Is(err, context.Canceled) || !errors.Is(err, legacy.ErrUncertain) {
		t.Errorf("Pop without an answer: got %v, want %v and %v", err, context.Canceled, legacy.ErrUncertain)
	}
	if _, err = client.Pop(ctx, "test"); !errors.Is(err, context.Canceled) || errors.Is(err, legacy.ErrUncertain) {
		t.Errorf("Pop with an ended context: got %v, want %v alone", err, context.Canceled)
	}
}
