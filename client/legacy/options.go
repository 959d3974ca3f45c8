package legacy

import (
	"errors"
	"log/slog"
	"time"
)

// Defaults of [Options].
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultRequestTimeout = 30 * time.Second
	DefaultMaxConnections = 64
	DefaultMaxIdle        = 5 // the pool size of existing clients (§11.2)
	DefaultMaxUnconfirmed = 4 << 20
)

// Options say which nodes a client sends requests to, and how. Only nodes are required; a
// zero value of anything else means the default.
type Options struct {
	// Nodes are addresses, "host:port" of the legacy listener, host being a name or an IP
	// address. Names are looked up at every attempt to connect.
	Nodes []string

	// NodesFile names a file with more nodes (§11.9): one address a line, # begins a
	// comment. It is read once, by New.
	NodesFile string

	// ConnectTimeout bounds each attempt to connect, from the name lookup to the first
	// answer of the node. Default 10 s.
	ConnectTimeout time.Duration

	// RequestTimeout is how long a node may take to answer a request, from its first byte
	// to the last of the answer, and to take in 64 KiB, or a record if that is larger, of a
	// Produce. For the records of a Consume there is no limit. Default 30 s. To bound
	// single requests use their contexts.
	RequestTimeout time.Duration

	// MaxConnections is how many requests may be sent to a node at the same time, each over
	// a connection of its own; more wait for one of them to end. Streams do not count:
	// Consume and producers. Default 64.
	MaxConnections int

	// MaxIdle is how many connections to each node are kept for the next requests.
	// Default 5.
	MaxIdle int

	// AtLeastOnce makes Push, PushMulti and Producer go on to the next node when a node
	// may have stored a record but did not confirm it, so that it may be stored twice.
	// By default they stop, with ErrUncertain.
	AtLeastOnce bool

	// MaxUnconfirmed is for producers with AtLeastOnce: how many bytes of records a
	// Producer holds, to send them again, before it waits for the node to confirm them.
	// Default 4 MiB. The last record may exceed it.
	MaxUnconfirmed int

	// ConsumeOnce makes Consume report a lost connection and not connect again.
	ConsumeOnce bool

	// Logger is told of nodes that fail and come back. nil means silence.
	Logger *slog.Logger
}

// fill checks the options and fills in defaults.
func (o *Options) fill() error {
	if o.ConnectTimeout < 0 || o.RequestTimeout < 0 || o.MaxConnections < 0 || o.MaxIdle < 0 || o.MaxUnconfirmed < 0 {
		return errors.New("a negative time-out or limit")
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = DefaultRequestTimeout
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = DefaultMaxIdle
	}
	if o.MaxUnconfirmed == 0 {
		o.MaxUnconfirmed = DefaultMaxUnconfirmed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
