package client

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Defaults of [Options].
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultRequestTimeout = 15 * time.Second
	DefaultMaxRequests    = 4096
	DefaultMaxMessage     = 256 << 20
)

// Options say which nodes a client connects to, and how. Only nodes and credentials are
// required; a zero value of anything else means the default.
type Options struct {
	// Nodes are addresses, "host:port" of the neo listener, host being a name or an IP
	// address. Names are looked up at every attempt to connect.
	Nodes []string

	// NodesFile names a file with more nodes: one address a line, # begins a comment.
	// It is read once, by New.
	NodesFile string

	// Credentials are what the client authenticates with.
	Credentials Credentials

	// ConnectTimeout bounds each attempt to connect, from the name lookup to the end of
	// the authentication. Default 10 s.
	ConnectTimeout time.Duration

	// RequestTimeout is how long a node may send nothing while requests wait for it,
	// before its connection is given up; taking in a large record counts as an answer.
	// Default 15 s. To bound single requests use their contexts.
	RequestTimeout time.Duration

	// AtMostOnce makes Push and Producer stop at a node that may have stored the record,
	// with ErrUncertain. By default they go on to the next node, so that the record is
	// stored twice if it was stored at the first.
	AtMostOnce bool

	// MaxRequests is how many Push and Pop requests may be active on one connection, at
	// most 5000, which is what a node allows; more wait. Default 4096.
	MaxRequests int

	// MaxMessage is the size in bytes of the largest record to be pushed or received, with
	// its channel names. It has to agree with [Limits] neo_frame of the nodes. Default
	// 256 MiB, at least 64 KiB.
	MaxMessage int

	// Logger is told of connections made and lost. nil means silence.
	Logger *slog.Logger

	// OnStateChange is called whenever the connection of a node is made, lost, or not
	// made, and when the client is closed. It must not block, nor call Close.
	OnStateChange func(NodeState)
}

// fill checks the options and fills in defaults.
func (o *Options) fill() error {
	if err := o.Credentials.check(); err != nil {
		return err
	}
	if o.ConnectTimeout < 0 || o.RequestTimeout < 0 || o.MaxRequests < 0 || o.MaxMessage < 0 {
		return errors.New("a negative time-out or limit")
	}
	setDefault(&o.ConnectTimeout, DefaultConnectTimeout)
	setDefault(&o.RequestTimeout, DefaultRequestTimeout)
	setDefault(&o.MaxRequests, DefaultMaxRequests)
	setDefault(&o.MaxMessage, DefaultMaxMessage)
	if o.MaxRequests > wire.MaxRequests {
		return fmt.Errorf("MaxRequests is %d, allowed are %d", o.MaxRequests, wire.MaxRequests)
	}
	if o.MaxMessage < minMessage {
		return fmt.Errorf("MaxMessage is %d, must be at least %d", o.MaxMessage, minMessage)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// maxInput is the largest body of a frame accepted from a node: a batch has less than
// MinBatch bytes and one record more (§11.3).
func (o *Options) maxInput() uint64 { return uint64(o.MaxMessage) + 2*wire.MinBatch }

// minMessage has room for every request without its value.
const minMessage = 64 << 10

func setDefault[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}
