package neo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/credentials"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// serve is a node that stores nothing: it accepts every Push, pops the name of the channel,
// and delivers it once to a consumer. It reads and writes the way a node does.
func serve(conn net.Conn, keys neo.Keys) error {
	defer conn.Close()
	handshake := neo.Handshake{Keys: keys}
	chunk := make([]byte, 7) // so that everything comes in pieces
	var in, out []byte
	for authenticated := false; ; {
		n, err := conn.Read(chunk)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		in, out = append(in, chunk[:n]...), out[:0]
		if !authenticated {
			n, out, authenticated, err = handshake.Step(in, out)
			in = in[n:]
		}
		for authenticated && err == nil {
			id, payload, size, bad := neo.Next(in, 1<<20)
			if bad != nil || size > len(in) {
				err = bad
				break
			}
			out, err = answer(out, id, payload)
			in = in[size:]
		}
		if len(out) > 0 {
			if _, failed := conn.Write(out); failed != nil {
				return failed
			}
		}
		if err != nil {
			return err
		}
	}
}

func answer(out []byte, id uint64, payload []byte) ([]byte, error) {
	if len(payload) < 2 {
		feedback, err := neo.ParseFeedback(payload)
		if err == nil && feedback == neo.Stop {
			out = neo.AppendStopped(out, id)
		}
		return out, err
	}
	code, version, fields, err := neo.ParseStart(payload)
	if err != nil {
		return out, err
	}
	support := neo.Supports(code, version)
	out = neo.AppendSupport(out, id, support)
	if support != neo.Supported {
		return out, nil
	}
	switch code {
	case neo.CodePush:
		_, err := neo.ParsePush(fields)
		return neo.AppendPushStatus(out, id, neo.Pushed), err
	case neo.CodePop:
		channel, err := neo.ParsePop(fields)
		return append(neo.AppendPoppedPrefix(out, id, len(channel)), channel...), err
	default:
		c, err := neo.ParseConsume(fields)
		out = neo.AppendConsumeStatus(out, id, neo.Started)
		batch := neoclient.Array(c.Channel)
		return append(neo.AppendRecordsPrefix(out, id, len(batch)), batch...), err
	}
}

// connect starts a node for one client and returns that client, connected and nothing else.
func connect(t *testing.T) (c *neoclient.Client, ended <-chan error) {
	t.Helper()
	table, err := credentials.Parse("file", []byte("client:"+strings.Repeat("7f", 128)))
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	result := make(chan error, 1)
	go func() { result <- serve(far, table) }()
	c = neoclient.New(near)
	c.Timeout = 5 * time.Second
	t.Cleanup(func() { c.Close() })
	return c, result
}

func login() neoclient.Login {
	return neoclient.Now("client", [128]byte(bytes.Repeat([]byte{0x7f}, 128)))
}

// The client of the black-box tests knows the specification and not this package.
func TestAnIndependentClientUnderstandsThisPackage(t *testing.T) {
	c, ended := connect(t)
	if err := c.Authenticate(login()); err != nil {
		t.Fatal(err)
	}
	if status, err := c.Push([]byte("value"), "a", "b"); status != 1 || err != nil {
		t.Errorf("Push: got %d, %v, want 1", status, err)
	}
	if status, value, err := c.Pop("channel"); status != 1 || string(value) != "channel" || err != nil {
		t.Errorf("Pop: got %d, %q, %v, want 1, channel", status, value, err)
	}
	consumer, err := c.Consume("channel", "subscriber")
	if err != nil {
		t.Fatal(err)
	}
	records, err := consumer.Collect(1)
	if got := fmt.Sprintf("%s", records); got != "[channel]" || err != nil {
		t.Errorf("Consume: got %s, %v, want [channel]", got, err)
	}
	if records, err := consumer.End(); len(records) != 0 || err != nil {
		t.Errorf("Stop: got %s, %v, want Stopped", records, err)
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Errorf("at the node: %v", err)
	}
}

func TestAnIndependentClientIsRejected(t *testing.T) {
	c, ended := connect(t)
	wrong := login()
	wrong.Key[0]++
	if err := c.Authenticate(wrong); !errors.Is(err, neoclient.ErrRejected) {
		t.Errorf("got %v, want %v", err, neoclient.ErrRejected)
	}
	if err := c.ExpectClose(); err != nil {
		t.Error(err)
	}
	c.Close()
	var rejection *neo.Rejection
	if err := <-ended; !errors.As(err, &rejection) || rejection.Reason != neo.CodeDiffers {
		t.Errorf("at the node: got %v, want %v", err, neo.CodeDiffers)
	}
}
