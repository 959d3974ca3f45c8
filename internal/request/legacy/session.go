// Package legacy executes the requests of legacy connections against the storage
// (legacy protocol spec §3, §6–§8): one file a request, and the Session that reads one
// request after the other.
//
// A Session belongs to the loop of its connection. It is in one of three states:
//
//	        Produce, ProduceMulti            Consume
//	records ◀──────────────────── requests ────────────▶ consuming
//	        ────────────────────▶          ◀────────────
//	           end mark                     channel removed
//
// While it works through the input of one read it keeps the last channel locked, so that
// pipelined requests and the records of a stream take the lock once. The channel is
// unlocked, and waiting consumers are woken, before any reply is sent.
//
// The package imports connpool, storage, stats, names, logging and protocol/legacy.
package legacy

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Node is what all legacy sessions share. It is safe for concurrent use.
type Node struct {
	channels *storage.Channels
	options  Options
	stats    *stats.Legacy
	badInput *logging.Limited
	failures *request.Failures
	large    *logging.Limited
}

// Options are the settings of legacy sessions.
type Options struct {
	Limits request.Limits
}

// Loggers are where sessions report to.
type Loggers struct {
	Main     *zap.Logger // failures, and input that cannot be understood
	Handlers *zap.Logger // large values
}

// The shortest times between messages of the same kind, which clients could otherwise provoke
// without end, and how many lines there may be in that time if it is more than one.
const (
	badInputLines  = 20
	badInputPeriod = 10 * time.Second
	largePeriod    = 10 * time.Second
)

// largeValue is the length, in bytes, over which a value is worth a warning (operations spec
// §7.5). The original warns of a buffer that stays as large; here none does, but it may still
// be of interest who sends such records.
const largeValue = 65536

// NewNode returns a Node whose sessions work on channels, are counted in stats and report
// to logs.
func NewNode(channels *storage.Channels, options Options, stats *stats.Legacy, logs Loggers) *Node {
	return &Node{
		channels: channels,
		options:  options,
		stats:    stats,
		badInput: logging.NewLimitedTo(badInputLines, logs.Main, badInputPeriod),
		failures: request.NewFailures(logs.Main),
		large:    logging.NewLimited(logs.Handlers, largePeriod),
	}
}

// NewSession returns the session of a connection handler.
func (n *Node) NewSession(c *connpool.Conn) connpool.Session {
	s := &Session{node: n, conn: c, batch: storage.NewBatch(n.channels), count: newCount(n.stats)}
	s.consume.session = s
	s.synced = request.NewSynced(c, n.channels)
	return s
}

// Session executes the requests of one connection, in order.
type Session struct {
	node *Node
	conn *connpool.Conn

	decoder wire.Decoder

	batch   storage.Batch // ended before Receive returns
	synced  *request.Synced
	state   state
	multi   multi // a PushMulti that goes on with the next turn
	stream  stream
	consume consume
	popped  storage.Sending
	count   count
}

type state uint8

const (
	requests  state = iota // the next bytes are a request
	records                // of a Produce or ProduceMulti
	consuming              // the input is paused
)

// Opened implements connpool.Session.
func (s *Session) Opened() {}

// Receive implements connpool.Session.
func (s *Session) Receive(in []byte) (used int) {
	defer s.received()
	s.count.received()
	for more := true; more && s.conn.Turn() > 0 && !s.conn.Closing() && !s.conn.OutputFull(); {
		var n int
		switch s.state {
		case requests:
			n, more = s.receiveRequest(in[used:])
		case records:
			n, more = s.receiveRecords(in[used:])
		case consuming:
			more = false
		}
		used += n
	}
	s.count.waiting = s.state == requests && used < len(in)
	return used
}

// received ends what is common to the requests of one read.
func (s *Session) received() {
	s.batch.End()
	s.synced.Received()
}

// receiveRequest executes the request at the start of in. more tells that another one
// may follow at once.
func (s *Session) receiveRequest(in []byte) (used int, more bool) {
	if s.multi.size > 0 {
		return s.pushMultiOn(in)
	}
	r := new(wire.Request) // not kept, as it refers to the input
	n, err := s.decoder.Decode(in, r)
	if err != nil {
		return s.reject(n, err), false
	}
	if n == 0 {
		return 0, false
	}
	if len(r.Value) > largeValue {
		s.warnOfLarge(r, len(r.Value))
	}
	s.conn.Work(1)
	if !s.execute(r, n) {
		return 0, false
	}
	return n, true
}

// execute executes a request, which takes that many bytes of the input, and reports whether it is
// done. Otherwise it stays there: it goes on, or is executed again, later.
func (s *Session) execute(r *wire.Request, size int) (done bool) {
	switch r.Command {
	case wire.Push:
		if done = s.push(r); done {
			s.count.push.Add()
		}
	case wire.Pop:
		if done = s.pop(r); done {
			s.count.pop.Add()
		}
	case wire.Consume:
		if done = s.startConsume(r); done {
			s.count.startStream(&s.node.stats.Consume, s.state != requests)
		}
	case wire.GetNumConnections:
		s.reply(wire.NotSupported)
		done = true
	case wire.PushMulti:
		s.count.pushMulti.Add()
		done = s.pushMulti(r, size)
	case wire.Produce:
		if done = s.startProduce(r); done {
			s.count.startStream(&s.node.stats.Produce, s.state != requests)
		}
	case wire.ProduceMulti:
		s.startProduceMulti(r)
		s.count.startStream(&s.node.stats.ProduceMulti, s.state != requests)
		done = true
	case wire.RemoveChannel:
		done = s.removeChannel(r)
	}
	return done
}

// mustWait reports whether an error says that a request has to wait for files. It is executed
// again when these are ready.
func (s *Session) mustWait(err error) bool {
	if !s.batch.Waits(err, s) {
		return false
	}
	s.conn.Block()
	return true
}

// open returns the channel of that name, locked, and makes it if necessary and allowed.
func (s *Session) open(name []byte) (*storage.Channel, error) {
	if err := s.batch.Failed(); err != nil {
		return nil, err
	}
	if c := s.batch.Find(name); c != nil {
		return c, nil
	}
	s.conn.Work(request.CreateWork)
	return s.node.options.Limits.Make(s.node.channels, &s.batch, name)
}

// reject ends the connection because of input that cannot be understood. An array that
// is too long is read to its end first, so that the peer, still writing it, sees an
// orderly close.
func (s *Session) reject(used int, err error) int {
	text := "Invalid command"
	long, tooLong := err.(*wire.TooLongError)
	if tooLong || err == wire.ErrNames {
		text = "The input array is too long."
	}
	s.node.badInput.Log(zapcore.ErrorLevel, text, zap.String("client", s.conn.Peer()), zap.Error(err))
	if tooLong {
		s.conn.Swallow(long.Length)
		return used
	}
	s.conn.Close()
	return 0
}

// fail ends the connection because a request that has no status for it failed.
func (s *Session) fail(c wire.Command, err error) {
	s.failed(c, err)
	s.conn.Close()
}

func (s *Session) failed(c wire.Command, err error) {
	switch c {
	case wire.Push, wire.PushMulti, wire.Produce, wire.ProduceMulti:
		s.node.stats.Refused.Count(request.Refusal(err))
	}
	s.node.failures.Log(err, zap.String("client", s.conn.Peer()), zap.Stringer("request", c))
}

func (s *Session) warnOfLarge(r *wire.Request, size int) {
	channel := r.Channel
	for name := range r.Channels.All {
		channel = name // one of them
	}
	s.node.large.Log(zapcore.WarnLevel, "request with a large value", zap.String("client", s.conn.Peer()),
		zap.Stringer("request", r.Command), zap.ByteString("channel", channel), zap.Int("size", size))
}

func (s *Session) reply(status wire.Status) {
	s.conn.Appended(wire.AppendStatus(s.conn.Buffer(wire.CodeSize), status))
}

// Sent implements connpool.Session.
func (s *Session) Sent() {
	sent, unsent := s.conn.Progress()
	s.popped.Sent(sent)
	if unsent == 0 {
		s.count.sent()
	}
	if s.state == consuming {
		s.serve()
	}
}

// EndOfInput implements connpool.Session.
func (s *Session) EndOfInput() {
	if s.state == consuming {
		// The peer is taken for gone: what it has not got goes to others.
		s.leave()
		sent, _ := s.conn.Progress()
		s.popped.Broken(sent)
		s.conn.DropOutput()
		s.endConsume()
	}
}

// Closed implements connpool.Session.
func (s *Session) Closed() {
	s.batch.Leave(s)
	if s.state == consuming {
		s.leave()
	}
	sent, _ := s.conn.Progress()
	s.popped.Broken(sent)
	s.count.sent()
	s.count.endStream()
	s.synced.Closed()
	*s = Session{
		synced:  s.synced,
		node:    s.node,
		conn:    s.conn,
		batch:   storage.NewBatch(s.node.channels),
		count:   newCount(s.node.stats),
		popped:  s.popped,
		consume: consume{runs: s.consume.runs[:0], session: s, deferred: s.consume.deferred},
	}
}
