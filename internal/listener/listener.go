package listener

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
)

// Options describe a TCP listener.
type Options struct {
	Name    string // of its protocol, for messages
	Address netip.AddrPort
	Backlog int
	Limit   uint32         // open connections; 0 = no limit
	Peer    int            // open connections of one address; 0 = no limit
	Allow   []netip.Prefix // who may connect; none = everybody
	// Descriptors is the first descriptor that a connection can't have, because those from
	// there on are kept for other things; 0 = there is none.
	Descriptors int
	// Crowded is called, on the first loop, when a connection is turned away because of Limit.
	Crowded func()
}

// Accepted takes over a new connection on the loop that is to serve it. When the
// connection is closed, Listener.Closed is to be called on that loop.
type Accepted func(l *Loop, fd int)

// Listener is a listening TCP socket (legacy protocol spec §1, operations spec §10).
type Listener struct {
	options Options
	fd      int
	addr    netip.AddrPort
	limited [refusals]*logging.Limited
	failing *logging.Limited // accept errors

	group    *Group
	accepted Accepted

	open    atomic.Int64 // connections
	refused [refusals]atomic.Int64
	peers   peers
}

// Refusal is why a connection is closed at once.
type Refusal int

// Reasons to close a connection at once.
const (
	Admitted    Refusal = iota // there is none
	Crowded                    // there are as many as there may be
	Greedy                     // its address has as many as it may have
	Stranger                   // its address is not allowed
	Descriptors                // the descriptors that are left are kept for other things
	refusals
)

// refusalTexts are the words of the log.
var refusalTexts = [refusals]string{
	Crowded:     "connection closed at once, the connection limit is reached",
	Greedy:      "connection closed at once, its address has as many as it may have",
	Stranger:    "connection closed at once, its address is not allowed",
	Descriptors: "connection closed at once, the file descriptors that are left are kept for other things",
}

const (
	// acceptsPerRound bounds how long a flood of connections keeps a loop from its others.
	acceptsPerRound = 64
	// acceptPause is how long to wait after a failed accept, descriptors being short.
	acceptPause = 100 * time.Millisecond
	// logPeriod is the shortest time between two equal messages that peers can provoke.
	logPeriod = 10 * time.Second
)

// Listen binds and listens. Connections wait in the backlog until Serve is called. The
// options of the listening socket are inherited by the accepted ones: keep-alive that
// finds a dead peer in about 14 s, no Nagle delay.
func Listen(o Options, log *zap.Logger) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s listener on %s: socket: %w", o.Name, o.Address, err)
	}
	return newListener(o, fd, (*Listener).listen, log)
}

// Adopt is Listen for a socket that listens already, at the Address, for somebody who keeps it open
// when the Listener is closed. The descriptor becomes the Listener's; the backlog is as it is.
func Adopt(o Options, fd int, log *zap.Logger) (*Listener, error) {
	return newListener(o, fd, (*Listener).adopt, log)
}

func newListener(o Options, fd int, open func(*Listener) error, log *zap.Logger) (*Listener, error) {
	l := &Listener{
		options: o,
		fd:      fd,
		failing: logging.NewLimited(log, logPeriod),
	}
	for why := range l.limited {
		l.limited[why] = logging.NewLimited(log, logPeriod)
	}
	if err := open(l); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s listener on %s: %w", o.Name, o.Address, err)
	}
	return l, nil
}

func (l *Listener) adopt() error {
	if err := unix.SetNonblock(l.fd, true); err != nil {
		return fmt.Errorf("fcntl: %w", err)
	}
	l.addr = l.options.Address
	return l.setOptions()
}

func (l *Listener) setOptions() error {
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 5},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 3},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if err := unix.SetsockoptInt(l.fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("setsockopt: %w", err)
		}
	}
	return nil
}

func (l *Listener) listen() error {
	if err := l.setOptions(); err != nil {
		return err
	}
	address := &unix.SockaddrInet4{Addr: l.options.Address.Addr().As4(), Port: int(l.options.Address.Port())}
	switch err := unix.Bind(l.fd, address); err {
	case nil:
	case unix.EACCES:
		return fmt.Errorf("bind: %w (ports below 1024 need the capability CAP_NET_BIND_SERVICE)", err)
	default:
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(l.fd, l.options.Backlog); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	bound, err := unix.Getsockname(l.fd)
	if err != nil {
		return fmt.Errorf("getsockname: %w", err)
	}
	b := bound.(*unix.SockaddrInet4)
	l.addr = netip.AddrPortFrom(netip.AddrFrom4(b.Addr), uint16(b.Port))
	return nil
}

// Addr is the address the listener is bound to, with the real port.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Connections is the number of open connections.
func (l *Listener) Connections() int64 { return l.open.Load() }

// Refused is the number of connections closed at once so far, for that reason.
func (l *Listener) Refused(why Refusal) int64 { return l.refused[why].Load() }

// Serve starts accepting on the first loop of the group, which must call it.
func (l *Listener) Serve(g *Group, accepted Accepted) error {
	l.group, l.accepted = g, accepted
	return g.loops[0].Register(l.fd, unix.EPOLLIN, l)
}

// Closed tells that a connection of this listener, served by that loop, is about to be closed.
func (l *Listener) Closed(loop *Loop, fd int) {
	l.peers.leave(fd)
	loop.connections.Add(-1)
	l.open.Add(-1)
}

// Close stops accepting; connections stay. If Serve has been called, so must Close be
// on the same loop.
func (l *Listener) Close() {
	if l.fd < 0 {
		return
	}
	if l.group != nil {
		l.group.loops[0].Unregister(l.fd)
	}
	unix.Close(l.fd)
	l.fd = -1
}

// Ready accepts what waits.
func (l *Listener) Ready(Events) {
	for range acceptsPerRound {
		fd, peer, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			l.admit(fd, addressOf(peer))
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			l.pause(err)
			return
		}
	}
}

func (l *Listener) admit(fd int, peer netip.Addr) {
	if why, limit := l.refusal(fd, peer); why != Admitted {
		unix.Close(fd)
		l.refused[why].Add(1)
		l.limited[why].Log(zapcore.WarnLevel, refusalTexts[why], zap.String("protocol", l.options.Name), limit, zap.Stringer("client", peer))
		if why == Crowded && l.options.Crowded != nil {
			l.options.Crowded()
		}
		return
	}
	l.open.Add(1)
	loop := l.group.leastLoaded()
	loop.connections.Add(1)
	if loop == l.group.loops[0] {
		l.accepted(loop, fd)
		return
	}
	loop.Post(TaskFunc(func() { l.accepted(loop, fd) }))
}

// refusal is why this connection is not to be served, with the limit that it would exceed;
// Admitted if it is to be served.
func (l *Listener) refusal(fd int, peer netip.Addr) (why Refusal, limit zap.Field) {
	o := &l.options
	switch {
	case len(o.Allow) > 0 && !slices.ContainsFunc(o.Allow, func(n netip.Prefix) bool { return n.Contains(peer) }):
		return Stranger, zap.Skip()
	case o.Limit > 0 && l.open.Load() >= int64(o.Limit):
		return Crowded, zap.Uint32("limit", o.Limit)
	case o.Descriptors > 0 && fd >= o.Descriptors:
		return Descriptors, zap.Int("limit", o.Descriptors)
	case !l.peers.enter(fd, peer, o.Peer):
		return Greedy, zap.Int("limit", o.Peer)
	}
	return Admitted, zap.Skip()
}

// pause stops accepting for a moment: the cause, most often a lack of descriptors, will
// not go away in this round, and the waiting connections are safe in the backlog.
func (l *Listener) pause(cause error) {
	l.failing.Log(zapcore.ErrorLevel, "cannot accept connections, trying again",
		zap.String("protocol", l.options.Name), zap.Duration("every", acceptPause), zap.Error(cause))
	loop := l.group.loops[0]
	loop.Unregister(l.fd)
	loop.After(acceptPause, TaskFunc(func() {
		if l.fd < 0 {
			return
		}
		if err := loop.Register(l.fd, unix.EPOLLIN, l); err != nil {
			l.failing.Log(zapcore.ErrorLevel, "cannot accept connections any more", zap.String("protocol", l.options.Name), zap.Error(err))
		}
	}))
}
