package config

import (
	"math"
	"net/netip"
	"time"
)

// section is a section with a fixed set of keys, in declaration order (operations spec §2.3).
type section struct {
	name    string
	checked bool // keys that are not listed are errors, else they are ignored
	keys    []key
}

func (s section) knows(name string) bool {
	for _, k := range s.keys {
		if k.name == name {
			return true
		}
	}
	return false
}

func (s section) keyNames() (names []string) {
	for _, k := range s.keys {
		names = append(names, k.name)
	}
	return names
}

// defaults is the configuration of an empty file, which lacks only the mandatory keys.
func defaults() *Config {
	return &Config{
		Server:      Server{CPU: -1, DataDir: "data", ConnectionLimit: 5000, Backlog: 2048},
		Performance: Performance{WriteFlush: 250 * time.Millisecond},
		Overflow:    Overflow{WriteIndex: 60000 * time.Millisecond},
		Stats:       Stats{FileName: "log/stats.log", Interval: 30 * time.Second, AppName: "dmqnode"},
		Version:     Version{DefaultVersionLog: true},
		Consume:     Consume{Redeliver: true, FailedChannel: "{channel}-failed"},
		Storage:     Storage{MinFree: 16 << 20, Sync: time.Second, Checksums: true},
		Limits: Limits{
			OutputBuffer:     1 << 20,
			NeoFrame:         256 << 20,
			NeoRequests:      5000,
			HandshakeTimeout: 30 * time.Second,
			RequestBytes:     256 << 20,
			Unconfirmed:      64 << 20,
			Delayed:          100_000,
			RequestTimeout:   10 * time.Second,
			IdleTimeout:      60 * time.Second,
			PeerConnections:  -1,
		},
		HTTP:   HTTP{Address: "127.0.0.1", Port: -1},
		Legacy: Protocol{Enabled: true, Allow: everybody},
		Neo:    Protocol{Enabled: true, Allow: everybody},
	}
}

// everybody is all addresses.
var everybody = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}

// maxRing is the most bytes that a ring can have: half of the address space of a process.
const maxRing = 1 << 46

// sections are all sections with fixed names and keys, filling c, in the order in which they are
// checked. Not among them: the free keys of [ChannelSizeById] and [QueueBytesById], and [LOG.NAME].
func sections(c *Config) []section {
	var unused Stats
	return []section{
		{"LOG", true, []key{
			number("buffer_size", &c.Log.BufferSize, anyUlong.to(math.MaxInt)),
		}},
		{"VERSION", false, []key{
			boolean("default_version_log", &c.Version.DefaultVersionLog),
		}},
		{"STATS", true, statsKeys(&c.Stats, 1)},
		// The original checks the types here and uses nothing, so an interval of 0 is harmless.
		{"Stats", true, append(statsKeys(&unused, 0),
			boolean("console_stats_enabled", &c.Console.Enabled))},
		{"Server", true, []key{
			address("address", &c.Server.Address).mandatory(),
			number("port", &c.Server.Port, anyUshort).mandatory(),
			number("neoport", &c.Server.NeoPort, anyUshort).mandatory(),
			number("cpu", &c.Server.CPU, anyInt.from(-1)),
			number("size_limit", &c.Server.SizeLimit, anyUlong),
			number("channel_size_limit", &c.Server.ChannelSizeLimit, anyUlong.from(1).to(maxRing)).mandatory(),
			text("data_dir", &c.Server.DataDir),
			number("connection_limit", &c.Server.ConnectionLimit, anyUint),
			number("backlog", &c.Server.Backlog, anyUint),
			socketPath("unix_socket_path", &c.Server.UnixSocketPath).mandatory(),
		}},
		{"Performance", true, []key{
			period("write_flush_ms", &c.Performance.WriteFlush, time.Millisecond, anyUint.from(1)),
			boolean("no_delay", &c.Performance.NoDelay),
		}},
		{"Overflow", true, []key{
			period("write_index_ms", &c.Overflow.WriteIndex, time.Millisecond, anyUint.from(1)),
		}},
		{"PidLock", false, []key{
			text("path", &c.PidLock.Path),
		}},
		{"UNIX_SOCKET", false, []key{
			socketPath("path", &c.UnixSocket.Path),
			permissions("mode", &c.UnixSocket.Mode),
		}},

		// Additions to the original.
		{"EventLoop", true, []key{
			number("count", &c.EventLoop.Count, anyUint.to(1024)),
		}},
		{"Storage", true, []key{
			choice("ring", &c.Storage.Ring, "kind of ring", "file", "memory"),
			text("ring_dir", &c.Storage.RingDir),
			choice("reserve", &c.Storage.Reserve, "way to take disk space", "grow", "full"),
			number("min_free", &c.Storage.MinFree, anyUlong),
			choice("stop", &c.Storage.Stop, "way to stop", "dump", "keep"),
			period("sync_ms", &c.Storage.Sync, time.Millisecond, anyUint),
			choice("acknowledge", &c.Storage.Acknowledge, "time of an answer", "stored", "synced"),
			boolean("checksums", &c.Storage.Checksums),
		}},
		{"Consume", true, []key{
			boolean("redeliver", &c.Consume.Redeliver),
			number("max_deliveries", &c.Consume.MaxDeliveries, anyUint),
			failedChannel("failed_channel", &c.Consume.FailedChannel),
		}},
		{"Limits", true, []key{
			number("output_buffer", &c.Limits.OutputBuffer, anyUint.from(4096)),
			number("neo_frame", &c.Limits.NeoFrame, anyUlong.from(65536)),
			number("neo_requests", &c.Limits.NeoRequests, anyUint.from(1)),
			period("handshake_timeout_ms", &c.Limits.HandshakeTimeout, time.Millisecond, anyUint.from(1)),
			number("channels", &c.Limits.Channels, anyUint),
			number("queue_bytes", &c.Limits.QueueBytes, anyUlong),
			number("request_bytes", &c.Limits.RequestBytes, anyUlong.from(10<<20)),
			number("input_memory", &c.Limits.InputMemory, anyUlong.to(maxRing)),
			number("output_memory", &c.Limits.OutputMemory, anyUlong.to(maxRing)),
			number("unconfirmed", &c.Limits.Unconfirmed, anyUlong.from(65536).to(maxRing)),
			number("delayed", &c.Limits.Delayed, anyUint),
			period("request_timeout_ms", &c.Limits.RequestTimeout, time.Millisecond, anyUint.from(1)),
			period("idle_timeout_ms", &c.Limits.IdleTimeout, time.Millisecond, anyUint.from(1)),
			number("peer_connections", &c.Limits.PeerConnections, anyInt.from(-1)),
		}},
		{"Http", true, []key{
			address("address", &c.HTTP.Address),
			number("port", &c.HTTP.Port, anyInt.from(-1).to(math.MaxUint16)).mandatoryWith("address"),
			words("hosts", &c.HTTP.Hosts),
			choice("peek", &c.HTTP.Peek, "audience", "local", "all", "none"),
			boolean("admin", &c.HTTP.Admin),
			text("token_file", &c.HTTP.TokenFile),
		}},
		{"Admin", true, []key{
			words("clients", &c.Admin.Clients),
		}},
		{"Legacy", true, protocolKeys(&c.Legacy)},
		{"Neo", true, protocolKeys(&c.Neo)},
	}
}

func protocolKeys(p *Protocol) []key {
	return []key{
		boolean("enabled", &p.Enabled),
		networks("allow", &p.Allow),
	}
}

func statsKeys(s *Stats, minInterval int64) []key {
	return []key{
		text("file_name", &s.FileName),
		period("interval", &s.Interval, time.Second, anyUlong.from(minInterval).to(math.MaxInt64/uint64(time.Second))),
		text("socket_path", &s.SocketPath),
		text("hostname", &s.Hostname),
		text("app_name", &s.AppName),
		text("app_instance", &s.AppInstance),
		text("default_type", &s.DefaultType),
	}
}
