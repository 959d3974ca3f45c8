package main

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/control"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/credentials"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/instance"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/service"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web"
)

// node is the running node.
type node struct {
	log      *zap.Logger
	loops    *listener.Group
	servers  []*server // legacy, neo
	channels *storage.Channels
	budgets  budgets
	memory   *connpool.Memory // of all connections
	sources  stats.Sources
	stats    *stats.Log
	web      *web.Server // nil if it is off
	control  []*control.Socket
	clients  *admin.Clients
	admin    atomic.Pointer[admin.Operations] // nil while the node starts
	neo      *neo.Node
}

// server is one protocol on its port: a listener and a pool of connections per loop.
type server struct {
	name     string
	listener *listener.Listener // nil if the protocol is off
	pools    []*connpool.Pool   // by loop
	roomMade time.Time          // see makeRoom
	idle     *logging.Limited   // connections that had to make room
}

// closeTimeout is how long clients may take, at shutdown, to accept what is on its way
// to them and to close their side.
const closeTimeout = 250 * time.Millisecond

// startNode starts the node in the order in which a failure does the least harm: what can
// be wrong with the outside world comes first, the records next, clients last. If it
// fails, everything is as it was before.
func startNode(cfg *config.Config, logs *logging.Logs, statsFile *logging.File) (n *node, err error) {
	n = &node{log: logs.Logger("dmqnode.main")}
	defer func() {
		if err != nil {
			n.stop()
			n = nil
		}
	}()
	n.checkOpenFiles(cfg)
	n.budgets = newBudgets(cfg, logs.Logger("dmqnode.limits"))
	n.memory = connpool.NewMemory(int64(n.budgets.input), int64(n.budgets.output), cfg.Limits.RequestTimeout)
	keys, err := credentials.Load(credentials.File)
	if err != nil {
		return n, fmt.Errorf("%w (the keys of neo clients: lines NAME:KEY, or none)", err)
	}
	if w := instance.CheckSecret(credentials.File); w != "" {
		n.log.Warn(w)
	}
	collectd, err := stats.ConnectCollectd(cfg.Stats)
	if err != nil {
		return n, err
	}
	if n.loops, err = listener.NewGroup(loopCount(cfg)); err != nil {
		return n, err
	}
	n.loops.Start()
	if err := n.listenForControl(cfg, logs, keys); err != nil {
		return n, err
	}
	if err := n.bind(cfg); err != nil {
		return n, err
	}
	if n.web, err = n.listenForHTTP(cfg.HTTP); err != nil {
		return n, err
	}
	if n.channels, err = loadChannels(cfg, logs, n.budgets); err != nil {
		return n, err
	}
	n.clients = admin.NewClients(n.loops)
	operations := admin.New(n.channels, n.clients, cfg.Admin.Clients)
	var legacyStats stats.Legacy
	var neoStats stats.Neo
	limits := request.Limits{Queues: n.budgets.channels, Bytes: cfg.Limits.RequestBytes}
	legacyNode := legacy.NewNode(n.channels, legacy.Options{Limits: limits}, &legacyStats, legacy.Loggers{
		Main:     n.log,
		Handlers: logs.Logger("swarm.node.connection.ConnectionHandler"),
	})
	n.open(n.servers[0], legacyNode.NewSession, cfg.Limits.OutputBuffer)
	n.neo = newNeoNode(cfg, logs, operations, limits, keys, &neoStats)
	n.open(n.servers[1], n.neo.NewSession, cfg.Limits.OutputBuffer)
	n.sources = n.newSources(cfg, logs, &legacyStats, &neoStats)
	n.stats = stats.Start(n.sources, statsFile, collectd, cfg.Stats.Interval)
	if err := n.channels.Serve(); err != nil {
		return n, err
	}
	if err := n.serve(); err != nil {
		return n, err
	}
	n.admin.Store(operations)
	for _, socket := range n.control {
		socket.Serve()
	}
	n.web.Serve(&n.sources, operations)
	go collect()
	return n, nil
}

// checkOpenFiles warns of a limit that the connections will reach before their own.
func (n *node) checkOpenFiles(cfg *config.Config) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || cfg.Server.ConnectionLimit == 0 {
		return
	}
	if wanted := 2*uint64(cfg.Server.ConnectionLimit) + 30; limit.Cur < wanted {
		n.log.Warn("file descriptors may run out before connection_limit is reached: raise their limit (ulimit -n, LimitNOFILE=)",
			zap.Uint64("limit", limit.Cur), zap.Uint64("wanted", wanted))
	}
}

// newSources returns where the statistics come from.
func (n *node) newSources(cfg *config.Config, logs *logging.Logs, l *stats.Legacy, neo *stats.Neo) stats.Sources {
	connections := func(s *server) func() stats.Connections {
		return func() stats.Connections {
			if s.listener == nil {
				return stats.Connections{}
			}
			return stats.Connections{
				Open:  s.listener.Connections(),
				Limit: cfg.Server.ConnectionLimit,

				Refused:            s.listener.Refused(listener.Crowded),
				RefusedAddress:     s.listener.Refused(listener.Greedy),
				RefusedNetwork:     s.listener.Refused(listener.Stranger),
				RefusedDescriptors: s.listener.Refused(listener.Descriptors),
			}
		}
	}
	return stats.Sources{
		Legacy:            l,
		Neo:               neo,
		Channels:          n.channels,
		LegacyConnections: connections(n.servers[0]),
		NeoConnections:    connections(n.servers[1]),
		Budgets:           n.readBudgets,
		Traffic:           n.traffic,
		Logged:            logs.Counts,
		Logs:              logs.Logger,
		MemoryRing:        memoryRing(cfg),
	}
}

// memoryRing is the size of a ring if rings take memory that the kernel cannot take back: all but
// those in files on a disk.
func memoryRing(cfg *config.Config) uint64 {
	if cfg.Storage.Ring == config.RingMemory || onTmpfs(cfg) {
		return cfg.Server.ChannelSizeLimit
	}
	return 0
}

// onTmpfs reports whether ring files are in memory.
func onTmpfs(cfg *config.Config) bool {
	dir := cfg.Server.DataDir
	if cfg.Storage.RingDir != "" {
		dir = cfg.Storage.RingDir
	}
	var files unix.Statfs_t
	return unix.Statfs(dir, &files) == nil && files.Type == unix.TMPFS_MAGIC
}

// read returns the figures of the node. Those of the process are zero if they cannot be read.
func (n *node) read() stats.Reading {
	r, _ := n.sources.Read() // stats.log tells what is wrong
	return r
}

// readBudgets reads how much of the budgets is used.
func (n *node) readBudgets() stats.Budgets {
	use := n.memory.Use()
	b := stats.Budgets{
		Queues: n.channels.Queues(), QueueLimit: n.budgets.channels,
		Input: use.Input, InputLimit: use.InputLimit,
		Output: use.Output, OutputLimit: use.OutputLimit,
		Waiting: use.Waiting,
	}
	for _, s := range n.servers {
		for _, p := range s.pools {
			e := p.Events()
			b.PutOff, b.Reaped, b.Idled = b.PutOff+e.PutOff, b.Reaped+e.Reaped, b.Idled+e.Idled
		}
	}
	return b
}

// traffic is the number of bytes that went through all connections.
func (n *node) traffic() (received, sent uint64) {
	for _, s := range n.servers {
		for _, p := range s.pools {
			r, t := p.Traffic()
			received, sent = received+r, sent+t
		}
	}
	return received, sent
}

func newNeoNode(cfg *config.Config, logs *logging.Logs, operations *admin.Operations, limits request.Limits,
	keys *credentials.Store, stats *stats.Neo) *neo.Node {

	return neo.NewNode(operations.Channels, neo.Options{
		Admin:            operations,
		Keys:             keys,
		HandshakeTimeout: cfg.Limits.HandshakeTimeout,
		MaxFrame:         cfg.Limits.NeoFrame,
		MaxRequests:      cfg.Limits.NeoRequests,
		MaxUnconfirmed:   cfg.Limits.Unconfirmed,
		Limits:           limits,
		Redeliver:        cfg.Consume.Redeliver,
	}, stats, neo.Loggers{
		Rejections: logs.Logger("swarm.neo.protocol.connect.NodeConnect"),
		Requests:   logs.Logger("swarm.neo.node.ConnectionHandler"),
	})
}

// listenForControl binds the control sockets.
func (n *node) listenForControl(cfg *config.Config, logs *logging.Logs, keys *credentials.Store) error {
	log := logs.Logger("ocean.net.server.unixsocket")
	if path := cfg.UnixSocket.Path; path != "" {
		commands := control.ApplicationCommands(thisBuild().String(), logs.ReopenFiles)
		socket, err := control.Listen(path, cfg.UnixSocket.Mode, commands, log)
		if err != nil {
			return err
		}
		n.control = append(n.control, socket)
	}
	commands := control.NodeCommands(keys)
	maps.Copy(commands, control.AdminCommands(n.admin.Load))
	socket, err := control.Listen(cfg.Server.UnixSocketPath, 0, commands, log)
	if err != nil {
		return err
	}
	n.control = append(n.control, socket)
	return nil
}

// loopCount is the number of event loops. By default one CPU is left to the kernel's side
// of the network and to clients on the same machine: with as many loops as CPUs a small
// machine was slower, because the loops kept waking each other.
func loopCount(cfg *config.Config) int {
	switch {
	case cfg.EventLoop.Count > 0:
		return cfg.EventLoop.Count
	case cfg.Server.CPU >= 0:
		return 1
	}
	return max(1, runtime.GOMAXPROCS(0)-1) // which follows the CPU limit of a control group, too
}

func loadChannels(cfg *config.Config, logs *logging.Logs, b budgets) (*storage.Channels, error) {
	return storage.Load(storage.Options{
		Dir:        cfg.Server.DataDir,
		RingDir:    cfg.Storage.RingDir,
		RingInFile: cfg.Storage.Ring == config.RingFile,
		Checksums:  cfg.Storage.Checksums,
		ReserveAll: cfg.Storage.Reserve == config.ReserveFull,
		MinFree:    cfg.Storage.MinFree,
		Keep:       cfg.Storage.Stop == config.StopKeep,
		RingSize:   cfg.ChannelSize.For,
		Mappings:   b.mappings,
		QueueBytes: cfg.QueueBytes.For,
		Sync:       cfg.Storage.Sync,
		Synced:     cfg.Storage.Acknowledge == config.AcknowledgeSynced,

		MaxDeliveries: cfg.Consume.MaxDeliveries,
		FailedChannel: cfg.Consume.FailedChannel,
		MaxQueues:     b.channels,
		MaxDelayed:    cfg.Limits.Delayed,
		Logs:          logs.Logger,
	})
}

// bind opens the listeners, or takes over those of the service manager; clients wait in their
// backlogs.
func (n *node) bind(cfg *config.Config) error {
	address, err := netip.ParseAddr(cfg.Server.Address)
	if err != nil {
		return fmt.Errorf("Node listener IP address invalid: [Server] address = %s", cfg.Server.Address)
	}
	inherited := service.Inherited()
	defer inherited.Close()
	for _, p := range []struct {
		name string
		port uint16
		config.Protocol
		off     string
		crowded func(*server)
	}{
		{"legacy", cfg.Server.Port, cfg.Legacy, "[Legacy] enabled = false", func(s *server) { s.makeRoom(n.loops, cfg) }},
		{"neo", cfg.Server.NeoPort, cfg.Neo, "[Neo] enabled = false", func(*server) {}},
	} {
		s := &server{name: p.name, idle: logging.NewLimited(n.log, closedPeriod)}
		n.servers = append(n.servers, s)
		if !p.Enabled {
			n.log.Info("no "+p.name+" clients are served", zap.String("because", p.off))
			continue
		}
		options := listener.Options{
			Name:        p.name,
			Address:     netip.AddrPortFrom(address, p.port),
			Backlog:     int(cfg.Server.Backlog),
			Limit:       cfg.Server.ConnectionLimit,
			Peer:        n.budgets.peerConnections,
			Allow:       p.Allow,
			Descriptors: n.budgets.descriptors,
			Crowded:     func() { p.crowded(s) },
		}
		s.listener, err = n.listen(options, inherited)
		if err != nil {
			return err
		}
	}
	return inherited.Rest()
}

func (n *node) listen(o listener.Options, inherited *service.Sockets) (*listener.Listener, error) {
	fd, bound, err := inherited.Take(o.Name, o.Address.Port())
	switch {
	case err != nil:
		return nil, err
	case fd < 0:
		return listener.Listen(o, n.log)
	}
	o.Address = bound
	return listener.Adopt(o, fd, n.log)
}

// makeRoom closes connections that have been idle for long, as all places are taken; not more
// often than a few times a second. It is called on the first loop.
func (s *server) makeRoom(loops *listener.Group, cfg *config.Config) {
	const period = 250 * time.Millisecond
	if now := time.Now(); now.Sub(s.roomMade) >= period {
		s.roomMade = now
		most := max(1, int(cfg.Server.ConnectionLimit)/64/len(s.pools))
		for i, loop := range loops.Loops() {
			loop.Post(listener.TaskFunc(func() {
				if closed := s.pools[i].CloseIdle(cfg.Limits.IdleTimeout, most); closed > 0 {
					s.idle.Log(zapcore.WarnLevel, "idle connections closed, the connection limit is reached",
						zap.String("protocol", s.name), zap.Int("connections", closed))
				}
			}))
		}
	}
}

// listenForHTTP starts the status page, unless it is off. It tells that the node is starting
// until clients are served.
func (n *node) listenForHTTP(c config.HTTP) (*web.Server, error) {
	if c.Port < 0 {
		return nil, nil
	}
	address, err := netip.ParseAddr(c.Address)
	if err != nil {
		return nil, fmt.Errorf("[Http] address = %s: %w", c.Address, err)
	}
	token := ""
	if c.Admin {
		if token, err = web.ReadToken(c.TokenFile); err != nil {
			return nil, fmt.Errorf("[Http] token_file: %w", err)
		}
	}
	return web.Listen(web.Options{
		Address: netip.AddrPortFrom(address, uint16(c.Port)),
		Hosts:   c.Hosts,
		Token:   token,
		Peek:    web.Audience(c.Peek),
		Build:   web.Build{Version: thisBuild().version, Go: runtime.Version()},
		Alive:   n.loops.Answer,
		Log:     n.log,
	})
}

// open makes the pools for the connections of a server, unless it is off.
func (n *node) open(s *server, newSession func(*connpool.Conn) connpool.Session, outputBuffer int) {
	if s.listener == nil {
		return
	}
	reaped := logging.NewLimited(n.log, closedPeriod)
	for _, loop := range n.loops.Loops() {
		pool := connpool.NewPool(loop, connpool.Options{
			NewSession: newSession,
			Closed:     s.listener.Closed,
			Memory:     n.memory,
			Reaped: func(connections int) {
				reaped.Log(zapcore.WarnLevel, "connections with unfinished requests closed, others wait for [Limits] input_memory",
					zap.String("protocol", s.name), zap.Int("connections", connections))
			},
			OutputBuffer: outputBuffer,
		})
		s.pools = append(s.pools, pool)
		n.clients.Add(s.name, loop.Index(), pool)
	}
}

// closedPeriod is the shortest time between two messages about connections that were closed
// because others wait for what they hold.
const closedPeriod = 10 * time.Second

// serve starts accepting clients.
func (n *node) serve() error {
	for _, s := range n.servers {
		if s.listener == nil {
			continue
		}
		accepted := func(loop *listener.Loop, fd int) {
			if err := s.pools[loop.Index()].Open(fd); err != nil {
				n.log.Error("a connection could not be served", zap.Error(err))
			}
		}
		var err error
		n.onFirstLoop(func() { err = s.listener.Serve(n.loops, accepted) })
		if err != nil {
			return err
		}
		n.log.Info("listening for "+s.name+" clients", zap.Stringer("address", s.listener.Addr()))
	}
	return nil
}

// stop closes the listeners and all connections and ends the loops. Records that are on
// their way to clients get a moment to arrive; then they go back to their storages.
func (n *node) stop() error {
	n.web.Close()
	if n.stats != nil {
		n.stats.Stop()
	}
	for _, socket := range n.control {
		socket.Close()
	}
	if n.loops == nil {
		return nil
	}
	n.onFirstLoop(func() {
		for _, s := range n.servers {
			if s.listener != nil {
				s.listener.Close()
			}
		}
	})
	if n.channels != nil {
		n.channels.Stopping()
	}
	n.onAllPools((*connpool.Pool).Close)
	for deadline := time.Now().Add(closeTimeout); n.connections() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	n.onAllPools((*connpool.Pool).Drop)
	if n.neo != nil {
		n.neo.WaitForAnswers()
		n.clients.Close()
	}
	err := n.loops.Stop()
	if n.channels != nil {
		err = errors.Join(err, n.channels.Close())
	}
	return err
}

// listening tells in words where the node listens.
func (n *node) listening() string {
	var ports []string
	for _, s := range n.servers {
		if s.listener != nil {
			ports = append(ports, fmt.Sprintf("%s (%s)", s.listener.Addr(), s.name))
		}
	}
	return "listening on " + strings.Join(ports, " and ")
}

func (n *node) connections() (open int64) {
	for _, s := range n.servers {
		if s.listener != nil {
			open += s.listener.Connections()
		}
	}
	return open
}

func (n *node) onFirstLoop(f func()) {
	n.loops.Do(func(l *listener.Loop) {
		if l.Index() == 0 {
			f()
		}
	})
}

func (n *node) onAllPools(f func(*connpool.Pool)) {
	n.loops.Do(func(l *listener.Loop) {
		for _, s := range n.servers {
			if s.pools != nil {
				f(s.pools[l.Index()])
			}
		}
	})
}
