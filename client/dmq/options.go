package dmq

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Defaults of [Options].
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultRequestTimeout = 15 * time.Second
	DefaultMaxRequests    = 4096 // with neo
	DefaultMaxConnections = 64   // with legacy
	DefaultMaxIdle        = 5
	DefaultMaxMessage     = 256 << 20
)

// Options say which nodes a client connects to, and how. Only nodes are required, and
// credentials with neo; a zero value of anything else means the default.
type Options struct {
	// Nodes are addresses, "host:port" of the listener for the protocol, host being a name
	// or an IP address. Names are looked up at every attempt to connect.
	Nodes []string

	// NodesFile names a file with more nodes: one address a line, # begins a comment. It is
	// read again when it changes, about once a second: nodes that are new are connected to,
	// those that are gone get no more requests. A file that can't be read, or has a fault,
	// changes nothing.
	NodesFile string

	// Credentials are what the client authenticates with. The legacy protocol has none.
	Credentials Credentials

	// Dial makes a connection, for example through TLS or SSH, or inside of a test. The
	// default is a TCP connection that notices the death of the node's machine in 14 s. ctx
	// ends after ConnectTimeout.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// ConnectTimeout bounds each attempt to connect, from the name lookup to the end of
	// the authentication, with legacy to the first answer of the node. Default 10 s.
	ConnectTimeout time.Duration

	// RequestTimeout is how long a node may send nothing while requests wait for it,
	// before its connection is given up; taking in a large record counts as an answer, with
	// legacy that of a producer only. Consumers wait for records for any time. Default 15 s.
	// To bound single requests use their contexts.
	RequestTimeout time.Duration

	// AtMostOnce makes Push and Producer stop at a node that may have stored the record,
	// with ErrUncertain. By default they go on to the next node, so that the record is
	// stored twice if it was stored at the first.
	AtMostOnce bool

	// MaxRequests is how many Push and Pop requests may be active at one node; more wait.
	// With neo they share a connection: default 4096, at most 5000, which is what a node
	// allows. With legacy each has a connection: default 64.
	MaxRequests int

	// MaxIdle is how many connections to each node are kept for the next requests with
	// legacy. Default 5.
	MaxIdle int

	// MaxMessage is the size in bytes of the largest record to be pushed or received, with
	// its channel names. It has to agree with [Limits] neo_frame of the nodes. Default
	// 256 MiB, at least 64 KiB. With legacy the largest record is 10 MiB, by the protocol.
	MaxMessage int

	// Logger is told of connections made and lost, and of records that wait. nil means
	// silence.
	Logger *slog.Logger

	// OnStateChange is called whenever a node becomes connected or ceases to be, an attempt
	// to connect fails, and when the client is closed. It must not block, nor call Close.
	OnStateChange func(NodeState)

	// OnRequest is called when a request begins, and what it returns when that ends, for
	// metrics and traces: see packages client/dmqprometheus and client/dmqotel. Both must not
	// block. The context it returns is that of the request, and of a handler of Each.
	OnRequest func(context.Context, Request) (context.Context, func(error))
}

// Request is what Options.OnRequest is told of a request: Push, Pop and PopWait of a client, Flush
// of a producer, and Handle, which is the time that the handler of Consumer.Each takes for a
// record.
type Request struct {
	Name    string // "Push", "Pop", "PopWait", "Flush", "Handle"
	Channel string // several with commas between
	Bytes   int    // of the record, if it is known at the beginning
}

// Hooks returns an OnRequest that calls several; what is nil is left out.
func Hooks(hooks ...func(context.Context, Request) (context.Context, func(error))) func(context.Context, Request) (context.Context, func(error)) {
	return func(ctx context.Context, request Request) (context.Context, func(error)) {
		ends := make([]func(error), 0, len(hooks))
		for _, hook := range hooks {
			if hook == nil {
				continue
			}
			var end func(error)
			ctx, end = hook(ctx, request)
			ends = append(ends, end)
		}
		return ctx, func(err error) {
			for i := range ends {
				ends[len(ends)-1-i](err)
			}
		}
	}
}
