// Package config turns etc/config.ini into one typed, validated Config.
//
// It knows every section and key of the node (operations spec §2), those of the
// original and those added here. Keys added here live in sections of their own
// ([EventLoop], [Storage], [Consume], [Limits], [QueueBytesById], [Http], [Legacy], [Neo]), because the original node
// ignores unknown sections but refuses unknown keys in its own: the same file starts
// both. Every default leaves an old file meaning what it meant.
//
//	file ─ parse ─→ entries ─ overrides ─→ section tables ─→ Config, warnings
//	       (syntax.go)        (override.go)  (sections.go, loggers.go)
//
// Sections are tables of keys; a key knows its type, its limits and the field it fills. So what
// the node accepts, what an error says is allowed, and what etc/config.ini has to document come
// from one place. The first problem ends the loading: there is no half-valid Config.
//
// The package reads files and nothing else; of the node it imports names.
package config

import (
	"net/netip"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// Config is the whole configuration after defaults, overrides and validation.
// It is immutable once loaded.
type Config struct {
	Server      Server
	ChannelSize ByPrefix // ring sizes: [Server] channel_size_limit, [ChannelSizeById]
	QueueBytes  ByPrefix // what a queue may have: [Limits] queue_bytes, [QueueBytesById]; 0 = any number
	Performance Performance
	Overflow    Overflow
	Console     Console
	Stats       Stats
	PidLock     PidLock
	UnixSocket  UnixSocket
	Version     Version
	Log         Log

	EventLoop EventLoop
	Storage   Storage
	Consume   Consume
	Limits    Limits
	HTTP      HTTP
	Admin     Admin
	Legacy    Protocol
	Neo       Protocol
}

// Server is section [Server].
type Server struct {
	Address          string // dotted IPv4 literal, address of both TCP listeners
	Port             uint16 // legacy protocol; 0 = any free port
	NeoPort          uint16 // neo protocol; 0 = any free port
	CPU              int    // CPU the process is restricted to; -1 = no restriction
	SizeLimit        uint64 // accepted for old files, without effect
	ChannelSizeLimit uint64 // bytes of each ring, at least 1
	DataDir          string
	ConnectionLimit  uint32 // open connections per TCP listener; 0 = unlimited
	Backlog          uint32 // listen backlog of the TCP listeners
	UnixSocketPath   string // control socket, at most 107 bytes
}

// ByPrefix is a number of bytes that depends on the name of a channel.
type ByPrefix struct {
	Default  uint64
	Prefixes map[string]uint64 // by the beginning of the name; none is empty or the beginning of another
}

// Performance is section [Performance].
type Performance struct {
	WriteFlush time.Duration // write_flush_ms, > 0: the longest a record waits in the node for a consumer that could take it
	NoDelay    bool          // accepted for old files; TCP_NODELAY is always on
}

// Overflow is section [Overflow].
type Overflow struct {
	WriteIndex time.Duration // write_index_ms, > 0
}

// Console is what is used of section [Stats].
type Console struct {
	Enabled bool // console_stats_enabled
}

// Stats is section [STATS].
type Stats struct {
	FileName    string
	Interval    time.Duration // whole seconds, > 0
	SocketPath  string        // collectd; empty = off
	Hostname    string        // empty = system host name
	AppName     string
	AppInstance string
	DefaultType string
}

// PidLock is section [PidLock].
type PidLock struct {
	Path string // empty = no pid lock
}

// UnixSocket is section [UNIX_SOCKET], the application socket.
type UnixSocket struct {
	Path string // empty = off
	Mode uint32 // permission bits; 0 = unchanged
}

// Version is section [VERSION].
type Version struct {
	DefaultVersionLog bool // write log/version.log
}

// Log is section [LOG] and every [LOG.NAME].
type Log struct {
	BufferSize int // accepted for old files; 0 = built-in
	// Loggers holds Root first (if configured), then the others in alphabetical order.
	Loggers []Logger
}

// Level is the least severe level a logger lets through.
type Level int

// Levels, from everything to nothing. LevelUnset keeps what the parent has.
const (
	LevelUnset Level = iota
	LevelTrace
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
	LevelNone
)

// Layout is a log line format, operations spec §7.2.
type Layout int

// Layouts.
const (
	LayoutDate Layout = iota
	LayoutSimple
	LayoutMessageOnly
	LayoutStats
)

// Logger is one section [LOG.NAME].
type Logger struct {
	Name          string // "" for Root
	Level         Level
	Propagate     bool
	Console       bool   // resolved: with no console, file or syslog key, Root has true, others inherit
	File          string // "" = none
	Syslog        bool
	HasOutputs    bool // at least one of console, file, syslog was present (or the logger is Root)
	ConsoleLayout Layout
	FileLayout    Layout
	Additive      bool
	CollectStats  bool
	BufferSize    int
}

// EventLoop is section [EventLoop].
type EventLoop struct {
	Count int // event loops; 0 = one less than there are CPUs, or 1 when [Server] cpu restricts the process
}

// RingKind says where rings live.
type RingKind int

// Kinds of rings.
const (
	RingFile RingKind = iota
	RingMemory
)

// ReserveKind says when a ring takes its disk space.
type ReserveKind int

// Ways to take disk space.
const (
	ReserveGrow ReserveKind = iota // as it fills
	ReserveFull                    // all of it when it is made
)

// StopKind says what a clean stop leaves.
type StopKind int

// Ways to stop.
const (
	StopDump StopKind = iota // the files of the original
	StopKeep                 // those of this node
)

// AcknowledgeKind says when a push is answered.
type AcknowledgeKind int

// Times of answers.
const (
	AcknowledgeStored AcknowledgeKind = iota // when the record survives the process
	AcknowledgeSynced                        // when it survives the machine
)

// Storage is section [Storage].
type Storage struct {
	Ring    RingKind
	RingDir string // "" = the data directory
	Reserve ReserveKind
	MinFree uint64 // bytes of the disk that are left to others
	Stop    StopKind
	Sync    time.Duration // sync_ms; 0 = leave it to the kernel

	Acknowledge AcknowledgeKind
	// Checksums are stored with records at rest.
	Checksums bool
}

// Consume is section [Consume].
type Consume struct {
	Redeliver     bool                // unconfirmed neo batches of a lost connection go back to the queue
	MaxDeliveries int                 // that may fail before a record goes to the failed channel; 0 = any number
	FailedChannel names.FailedChannel // where that is
}

// Limits is section [Limits].
type Limits struct {
	OutputBuffer     int           // bytes of replies buffered per connection before its input waits
	NeoFrame         uint64        // largest neo frame body in bytes
	NeoRequests      int           // active requests per neo connection
	HandshakeTimeout time.Duration // handshake_timeout_ms: neo connections that stay unauthenticated are closed
	Channels         int           // and subscribers; 0 = what the machine can take
	QueueBytes       uint64        // see Config.QueueBytes
	RequestBytes     uint64        // that one request may store in several channels
	InputMemory      int           // bytes of unfinished input of all connections; 0 = a share of the memory
	OutputMemory     int           // bytes of replies that wait for all connections; 0 = a share of the memory
	Unconfirmed      int           // bytes of batches that a neo connection has not confirmed
	Delayed          int           // batches of a queue that were returned with a delay; 0 = any number
	RequestTimeout   time.Duration // request_timeout_ms: when others wait for memory
	IdleTimeout      time.Duration // idle_timeout_ms: when the connection limit is reached
	PeerConnections  int           // of one address, for each port; 0 = unlimited, -1 = nine tenths of connection_limit, unless that is small
}

// PeekKind says who may see records on the status page.
type PeekKind int

// Who may see records; those who know the token in any case.
const (
	PeekLocal PeekKind = iota // clients on the same machine
	PeekAll
	PeekNone
)

// HTTP is section [Http].
type HTTP struct {
	Address   string   // loopback by default
	Port      int      // -1 = off, 0 = any free port
	Hosts     []string // names under which clients may ask for it, besides the usual ones; * = any
	Peek      PeekKind
	Admin     bool   // who knows the token may change things
	TokenFile string // has the token; not empty if Admin
}

// Admin is section [Admin].
type Admin struct {
	Clients []string // names of neo clients that may change things
}

// Protocol is section [Legacy] or [Neo].
type Protocol struct {
	Enabled bool
	Allow   []netip.Prefix // who may connect
}
