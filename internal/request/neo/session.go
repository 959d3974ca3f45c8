// Package neo executes the requests of neo connections against the storage
// (neo protocol spec §7–§12): one file a request, and the Session that authenticates a
// client and then takes in frames of any number of requests at once.
//
// A Push or a Pop is over as soon as its one message is handled; only a Consume lives
// on, as an entry in the table of its session. Replies are appended to the output of the
// connection in the order in which requests are handled, and leave with one system call a
// round; a batch of records is not copied but sent from where it lies in the storage.
//
// While the output is full no further frame is handled and no Consume takes records:
// those that want to wait in a line, first come, first served. So the queue in front of a
// small reply is bounded, and so is what a peer that does not read can hold.
//
// A Session belongs to the loop of its connection. The last channel used stays locked
// while the frames of one read are handled, and is unlocked before any reply is sent.
//
// The package imports admin, connpool, listener, logging, stats, storage, names and protocol/neo.
package neo

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Options are the settings of neo sessions.
type Options struct {
	Keys             wire.Keys     // of the clients that may connect
	HandshakeTimeout time.Duration // until a client must be authenticated
	MaxFrame         uint64        // body of a frame in bytes
	MaxRequests      int           // active on one connection
	MaxUnconfirmed   int           // bytes of batches that a client has not confirmed
	Limits           request.Limits
	Admin            *admin.Operations
	Redeliver        bool // what a client has not confirmed goes back to the storage
}

// Loggers are where sessions report to.
type Loggers struct {
	Rejections *zap.Logger // clients that are not let in
	Requests   *zap.Logger // requests that fail
}

// Node is what all neo sessions share. It is safe for concurrent use.
type Node struct {
	channels *storage.Channels
	options  Options
	stats    *stats.Neo

	answering sync.WaitGroup // goroutines that answer questions
	answerers chan struct{}  // as many as there may be

	// What clients can provoke, by kind.
	rejections, malformed, breaches, ends *logging.Limited
	failures                              *request.Failures
}

const (
	// faultLines and faultPeriod bound what clients that break rules can have logged.
	faultLines  = 50
	faultPeriod = 10 * time.Second
)

// NewNode returns a Node whose sessions work on channels.
func NewNode(channels *storage.Channels, options Options, stats *stats.Neo, log Loggers) *Node {
	return &Node{
		channels: channels,
		options:  options,
		stats:    stats,

		answerers: make(chan struct{}, mostAnswering),

		rejections: logging.NewLimitedTo(faultLines, log.Rejections, faultPeriod),
		failures:   request.NewFailures(log.Requests),
		malformed:  logging.NewLimitedTo(faultLines, log.Requests, faultPeriod),
		breaches:   logging.NewLimitedTo(faultLines, log.Requests, faultPeriod),
		ends:       logging.NewLimitedTo(faultLines, log.Requests, faultPeriod),
	}
}

// NewSession returns the session of a connection handler.
func (n *Node) NewSession(c *connpool.Conn) connpool.Session {
	return &Session{
		node:   n,
		conn:   c,
		batch:  storage.NewBatch(n.channels),
		synced: request.NewSynced(c, n.channels),
		active: make(map[uint64]active),
		count:  newCount(n.stats),
	}
}

// Session executes the requests of one connection.
type Session struct {
	node *Node
	conn *connpool.Conn

	client    string // its name, once it is authenticated
	handshake wire.Handshake
	timeout   *listener.Timer // of the handshake

	batch     storage.Batch // ended before Receive returns
	synced    *request.Synced
	begun     bool              // the request at the start of the input: it goes on later
	copying   copying           // how far it has come, if it is a Push
	questions questions         // not answered yet
	active    map[uint64]active // requests that go on, by id
	held      int               // what their batches cost
	line      []active          // those that wait for room in the output
	sending   storage.Sending
	crossed   storage.Sending // batches that have crossed a Stop, until they have arrived
	arrival   *listener.Timer // of the next look whether they have
	flushing  bool            // a Continue of the connection is posted
	count     count
	logged    bool // which requests the end of the connection cuts short
}

// active is a request that goes on after its first message.
type active interface {
	// receive handles a message of the client.
	receive(payload []byte)
	// next goes on, because there is room in the output and it was first in line.
	next()
	// sent tells whether nothing of the request is on its way to the kernel.
	sent() bool
	// abandon ends it, because the connection ends.
	abandon()

	code() wire.Code
	unconfirmed() []*storage.Run
	fmt.Stringer // the storage, for messages
}

// Opened implements connpool.Session.
func (s *Session) Opened() {
	s.handshake = wire.Handshake{Keys: s.node.options.Keys}
	s.timeout = s.conn.Loop().After(s.node.options.HandshakeTimeout, listener.TaskFunc(func() {
		s.timeout = nil
		s.conn.Close()
		s.conn.Continue()
	}))
}

// received ends what is common to the requests of one read.
func (s *Session) received() {
	s.batch.End()
	s.synced.Received()
}

// Receive implements connpool.Session.
func (s *Session) Receive(in []byte) (used int) {
	defer s.received()
	if s.client == "" {
		if used = s.authenticate(in); s.client == "" {
			return used
		}
	}
	s.count.received()
	for s.conn.Turn() > 0 && !s.conn.Closing() && !s.conn.OutputFull() {
		id, payload, size, err := wire.Next(in[used:], s.node.options.MaxFrame)
		if err != nil {
			s.breach()
			return used
		}
		if size > len(in)-used {
			return used
		}
		s.conn.Work(1)
		if a := s.active[id]; a != nil {
			s.batch.End() // it takes the lock of its own channel
			a.receive(payload)
		} else if len(s.questions) > 0 && s.asked(id) {
			s.breach()
			return used
		} else if !s.start(id, payload) {
			return used
		}
		used += size
	}
	return used
}

// authenticate does the next steps of the handshake.
func (s *Session) authenticate(in []byte) (used int) {
	used, out, done, err := s.handshake.Step(in, s.buffer())
	s.conn.Appended(out)
	switch {
	case err != nil:
		var rejection *wire.Rejection
		if errors.As(err, &rejection) {
			s.node.rejections.Log(zapcore.WarnLevel, rejection.Error(), zap.String("address", s.conn.Peer()))
		}
		s.conn.Close()
	case done:
		s.client = s.handshake.Name()
		s.conn.Loop().StopTimer(s.timeout)
		s.timeout = nil
	}
	return used
}

// start handles a message on an id that has no request: the first one of a new request,
// or a late one of a Consume that is over (neo protocol spec §7.2, §15). It reports whether it is done
// with it: one that takes long, or has to wait for files, goes on later.
func (s *Session) start(id uint64, payload []byte) (done bool) {
	code, version, fields, err := wire.ParseStart(payload)
	if err != nil {
		s.late(id, payload)
		return true
	}
	if !s.begun {
		if wire.IsSettlement(payload) {
			return true // of a batch that was there when it was sent
		}
		if len(s.active)+len(s.questions) >= s.node.options.MaxRequests {
			s.breach()
			return true
		}
		support := wire.Supports(code, version)
		s.conn.Appended(wire.AppendSupport(s.buffer(), id, support))
		if support != wire.Supported {
			return true
		}
		s.counted(code)
	}
	done = true
	switch code {
	case wire.CodePush:
		done, err = s.push(id, fields)
	case wire.CodePop:
		done, err = s.pop(id, fields)
	case wire.CodeConsume:
		done, err = s.startConsume(id, fields)
	case wire.CodePopWait:
		done = s.startPopWait(id, fields)
	case wire.CodeWork:
		done = s.startWork(id, fields)
	default:
		s.startQuestion(id, code, fields)
	}
	s.begun = !done
	if err != nil {
		s.node.malformed.Log(zapcore.ErrorLevel, "malformed request, connection closed",
			zap.String("client", s.client), zap.String("request", requestName(code)), zap.Error(err))
		s.breach()
	}
	return done
}

// counted counts a request that is begun.
func (s *Session) counted(code wire.Code) {
	switch code {
	case wire.CodePush:
		s.count.push.Add()
	case wire.CodePop:
		s.count.pop.Add()
	}
}

// mustWait reports whether an error says that a request has to wait for files. It goes on when
// these are ready.
func (s *Session) mustWait(err error) bool {
	if !s.batch.Waits(err, s) {
		return false
	}
	s.conn.Block()
	return true
}

// Wake implements storage.Waker, for a request that waits.
func (s *Session) Wake() { s.conn.Loop().Post(s) }

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

// late handles a message of one byte on an id without request. A Continue or Stop may
// have crossed the end of its Consume; a client that sent Stop waits for the answer.
func (s *Session) late(id uint64, payload []byte) {
	switch feedback, err := wire.ParseFeedback(payload); {
	case wire.IsCancel(payload):
	case err != nil:
		s.breach()
	case feedback == wire.Stop:
		s.conn.Appended(wire.AppendStopped(s.buffer(), id))
	}
}

// breach ends the connection because the peer has broken the protocol. Nothing tells the
// peer; each request that this cuts short is logged. The connection may take long to
// close, so batches that do not have to be sent any more are given back now.
func (s *Session) breach() {
	s.batch.End() // consumers take the locks of their own channels
	s.cutShort(s.node.breaches, zap.ErrorLevel, "connection closed after a protocol error")
	s.conn.Close()
	for _, a := range s.active {
		if a.sent() {
			a.abandon()
		}
	}
}

// cutShort logs once each request that the end of the connection cuts short.
func (s *Session) cutShort(log *logging.Limited, level zapcore.Level, reason string) {
	if s.logged {
		return
	}
	s.logged = true
	for _, a := range s.active {
		log.Log(level, reason,
			zap.String("client", s.client), zap.String("request", requestName(a.code())), zap.Stringer("storage", a))
	}
}

// refused logs that a request is malformed, which has cost nothing but the request.
func (s *Session) refused(code wire.Code, err error) {
	s.node.malformed.Log(zapcore.ErrorLevel, "malformed request, refused",
		zap.String("client", s.client), zap.String("request", requestName(code)), zap.Error(err))
}

// failed logs that a request could not be carried out.
func (s *Session) failed(code wire.Code, err error) {
	if code == wire.CodePush {
		s.node.stats.Refused.Count(request.Refusal(err))
	}
	s.node.failures.Log(err, zap.String("client", s.client), zap.String("request", requestName(code)))
}

// requestName is the name of a request in messages and statistics.
func requestName(code wire.Code) string {
	switch code {
	case wire.CodePush:
		return "push"
	case wire.CodePop:
		return "pop"
	case wire.CodePopWait:
		return "pop-wait"
	case wire.CodeWork:
		return "work"
	}
	return "consume"
}

// messageSize is more than any message has without a value or batch.
const messageSize = 64

// buffer returns the buffer to append a small message to.
func (s *Session) buffer() []byte { return s.conn.Buffer(messageSize) }

// Sent implements connpool.Session.
func (s *Session) Sent() {
	sent, unsent := s.conn.Progress()
	s.sending.Sent(sent)
	if unsent == 0 {
		s.count.sent()
	}
	if len(s.line) > 0 && !s.full() {
		s.advanceLine()
	}
}

// arrivalPeriod is the time between two looks whether batches have arrived. Nobody waits for it.
const arrivalPeriod = 5 * time.Millisecond

// deliverWhenArrived makes the records of a batch, which ends at that position of the output,
// count as delivered once they have arrived. If the connection ends before, they go back.
func (s *Session) deliverWhenArrived(runs []*storage.Run, end uint64) {
	for _, run := range runs {
		s.crossed.Add(run, end)
	}
	if s.arrival == nil {
		s.arrival = s.conn.Loop().After(arrivalPeriod, listener.TaskFunc(s.settleCrossed))
	}
}

func (s *Session) settleCrossed() {
	s.arrival = nil
	s.crossed.Sent(s.conn.Acknowledged())
	if !s.crossed.Empty() {
		s.arrival = s.conn.Loop().After(arrivalPeriod, listener.TaskFunc(s.settleCrossed))
	}
}

// flushSoon sends what is appended at the end of the round, together with what others
// append until then.
func (s *Session) flushSoon() {
	if !s.flushing {
		s.flushing = true
		s.conn.Loop().Post(s)
	}
}

// Run implements listener.Task: see flushSoon and Wake.
func (s *Session) Run() {
	s.flushing = false
	if !s.batch.Waiting() {
		s.conn.Unblock()
	}
	s.conn.Continue()
}

// EndOfInput implements connpool.Session. The input is never paused.
func (s *Session) EndOfInput() {}

// Closed implements connpool.Session.
func (s *Session) Closed() {
	s.batch.Leave(s)
	s.conn.Loop().StopTimer(s.timeout)
	s.count.sent()
	sent, _ := s.conn.Progress()
	s.sending.Broken(sent)
	s.conn.Loop().StopTimer(s.arrival)
	s.crossed.Broken(s.conn.Acknowledged())
	s.cutShort(s.node.ends, zap.InfoLevel, "connection ended")
	s.forgetQuestions()
	for _, a := range s.active {
		a.abandon()
	}
	clear(s.line)
	s.synced.Closed()
	*s = Session{
		synced:   s.synced,
		node:     s.node,
		conn:     s.conn,
		batch:    storage.NewBatch(s.node.channels),
		active:   s.active,
		count:    newCount(s.node.stats),
		line:     s.line[:0],
		sending:  s.sending,
		crossed:  s.crossed,
		flushing: s.flushing,
	}
}
