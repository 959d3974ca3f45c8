package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// minimal has the keys without default, with [Server] last so that tests can go on with it.
const minimal = `[Server]
address            = 127.0.0.1
port               = 10000
neoport            = 10001
channel_size_limit = 2000000000
unix_socket_path   = dmqnode.socket
`

// write makes a configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantMinimal is what minimal means.
func wantMinimal() *Config {
	c := defaults()
	c.Server.Address = "127.0.0.1"
	c.Server.Port = 10000
	c.Server.NeoPort = 10001
	c.Server.ChannelSizeLimit = 2000000000
	c.Server.UnixSocketPath = "dmqnode.socket"
	c.ChannelSize = ByPrefix{Default: 2000000000, Prefixes: map[string]uint64{}}
	c.QueueBytes = ByPrefix{Prefixes: map[string]uint64{}}
	c.Stats.DefaultType = "dmqnode_stats"
	return c
}

// The defaults of operations spec §2.4 and §2.5, and of our own sections.
func TestDefaults(t *testing.T) {
	got, _, err := Load(write(t, minimal), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Server: Server{
			Address: "127.0.0.1", Port: 10000, NeoPort: 10001, CPU: -1, SizeLimit: 0, ChannelSizeLimit: 2000000000,
			DataDir: "data", ConnectionLimit: 5000, Backlog: 2048, UnixSocketPath: "dmqnode.socket",
		},
		ChannelSize: ByPrefix{Default: 2000000000, Prefixes: map[string]uint64{}},
		QueueBytes:  ByPrefix{Prefixes: map[string]uint64{}},
		Performance: Performance{WriteFlush: 250 * time.Millisecond},
		Overflow:    Overflow{WriteIndex: time.Minute},
		Stats:       Stats{FileName: "log/stats.log", Interval: 30 * time.Second, AppName: "dmqnode", DefaultType: "dmqnode_stats"},
		Version:     Version{DefaultVersionLog: true},
		Consume:     Consume{Redeliver: true, FailedChannel: "{channel}-failed"},
		Storage:     Storage{MinFree: 16 << 20, Sync: time.Second, Checksums: true},
		Limits: Limits{OutputBuffer: 1048576, NeoFrame: 268435456, NeoRequests: 5000, HandshakeTimeout: 30 * time.Second,
			RequestBytes: 268435456, Unconfirmed: 67108864, Delayed: 100000, RequestTimeout: 10 * time.Second, IdleTimeout: time.Minute, PeerConnections: -1},
		HTTP:   HTTP{Address: "127.0.0.1", Port: -1},
		Legacy: Protocol{Enabled: true, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		Neo:    Protocol{Enabled: true, Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Every key, once with a value other than its default.
func TestEveryKey(t *testing.T) {
	tests := []struct {
		text string
		set  func(c *Config)
	}{
		{"address = 0.0.0.0", func(c *Config) { c.Server.Address = "0.0.0.0" }},
		{"port = 0", func(c *Config) { c.Server.Port = 0 }},
		{"neoport = 65535", func(c *Config) { c.Server.NeoPort = 65535 }},
		{"cpu = 2", func(c *Config) { c.Server.CPU = 2 }},
		{"cpu = -1", func(c *Config) { c.Server.CPU = -1 }},
		{"size_limit = 18446744073709551615", func(c *Config) { c.Server.SizeLimit = 1<<64 - 1 }},
		{"channel_size_limit = 0x100000", func(c *Config) { c.Server.ChannelSizeLimit, c.ChannelSize.Default = 1<<20, 1<<20 }},
		{"channel_size_limit = 1", func(c *Config) { c.Server.ChannelSizeLimit, c.ChannelSize.Default = 1, 1 }},
		{"data_dir = /d", func(c *Config) { c.Server.DataDir = "/d" }},
		{"connection_limit = 0", func(c *Config) { c.Server.ConnectionLimit = 0 }},
		{"backlog = 4294967295", func(c *Config) { c.Server.Backlog = 1<<32 - 1 }},
		{"unix_socket_path = s", func(c *Config) { c.Server.UnixSocketPath = "s" }},
		{"[ChannelSizeById]\nb = 0\na = 0x10", func(c *Config) { c.ChannelSize.Prefixes = map[string]uint64{"a": 16, "b": 0} }},
		{"[ChannelSizeById]\n= 5", func(*Config) {}},
		{"[Performance]\nwrite_flush_ms = 1", func(c *Config) { c.Performance.WriteFlush = time.Millisecond }},
		{"[Performance]\nno_delay = yes", func(c *Config) { c.Performance.NoDelay = true }},
		{"[Overflow]\nwrite_index_ms = 4294967295", func(c *Config) { c.Overflow.WriteIndex = (1<<32 - 1) * time.Millisecond }},
		{"[Stats]\nconsole_stats_enabled = true", func(c *Config) { c.Console.Enabled = true }},
		{"[Stats]\nfile_name = f\ninterval = 0\nsocket_path = p\nhostname = h\napp_name = n\napp_instance = i\ndefault_type = t", func(*Config) {}},
		{"[STATS]\nfile_name = f", func(c *Config) { c.Stats.FileName = "f" }},
		{"[STATS]\ninterval = 1", func(c *Config) { c.Stats.Interval = time.Second }},
		{"[STATS]\nsocket_path = p", func(c *Config) { c.Stats.SocketPath = "p" }},
		{"[STATS]\nhostname = h", func(c *Config) { c.Stats.Hostname = "h" }},
		{"[STATS]\napp_name = n", func(c *Config) { c.Stats.AppName, c.Stats.DefaultType = "n", "n_stats" }},
		{"[STATS]\napp_instance = i", func(c *Config) { c.Stats.AppInstance = "i" }},
		{"[STATS]\ndefault_type = t", func(c *Config) { c.Stats.DefaultType = "t" }},
		{"[PidLock]\npath = p\nother = 1", func(c *Config) { c.PidLock.Path = "p" }},
		{"[UNIX_SOCKET]\npath = p\nmode = 0770\nother = 1", func(c *Config) { c.UnixSocket = UnixSocket{"p", 0o770} }},
		{"[VERSION]\ndefault_version_log = off\nother = 1", func(c *Config) { c.Version.DefaultVersionLog = false }},
		{"[LOG]\nbuffer_size = 100", func(c *Config) { c.Log.BufferSize = 100 }},
		{"[EventLoop]\ncount = 1024", func(c *Config) { c.EventLoop.Count = 1024 }},
		{"[Storage]\nring = memory", func(c *Config) { c.Storage.Ring = RingMemory }},
		{"[Storage]\nreserve = full", func(c *Config) { c.Storage.Reserve = ReserveFull }},
		{"[Storage]\nmin_free = 0", func(c *Config) { c.Storage.MinFree = 0 }},
		{"[Storage]\nstop = keep", func(c *Config) { c.Storage.Stop = StopKeep }},
		{"[Storage]\nring_dir = r", func(c *Config) { c.Storage.RingDir = "r" }},
		{"[Storage]\nsync_ms = 10", func(c *Config) { c.Storage.Sync = 10 * time.Millisecond }},
		{"[Storage]\nacknowledge = synced", func(c *Config) { c.Storage.Acknowledge = AcknowledgeSynced }},
		{"[Storage]\nchecksums = false", func(c *Config) { c.Storage.Checksums = false }},
		{"[Consume]\nredeliver = false", func(c *Config) { c.Consume.Redeliver = false }},
		{"[Consume]\nmax_deliveries = 5", func(c *Config) { c.Consume.MaxDeliveries = 5 }},
		{"[Consume]\nfailed_channel = dead", func(c *Config) { c.Consume.FailedChannel = "dead" }},
		{"[Limits]\noutput_buffer = 4096", func(c *Config) { c.Limits.OutputBuffer = 4096 }},
		{"[Limits]\nneo_frame = 65536", func(c *Config) { c.Limits.NeoFrame = 65536 }},
		{"[Limits]\nneo_requests = 1", func(c *Config) { c.Limits.NeoRequests = 1 }},
		{"[Limits]\nhandshake_timeout_ms = 1", func(c *Config) { c.Limits.HandshakeTimeout = time.Millisecond }},
		{"[Limits]\nchannels = 7", func(c *Config) { c.Limits.Channels = 7 }},
		{"[Limits]\nrequest_bytes = 10485760", func(c *Config) { c.Limits.RequestBytes = 10485760 }},
		{"[Limits]\ninput_memory = 1", func(c *Config) { c.Limits.InputMemory = 1 }},
		{"[Limits]\noutput_memory = 1", func(c *Config) { c.Limits.OutputMemory = 1 }},
		{"[Limits]\nunconfirmed = 65536", func(c *Config) { c.Limits.Unconfirmed = 65536 }},
		{"[Limits]\ndelayed = 0", func(c *Config) { c.Limits.Delayed = 0 }},
		{"[Limits]\nrequest_timeout_ms = 1", func(c *Config) { c.Limits.RequestTimeout = time.Millisecond }},
		{"[Limits]\nidle_timeout_ms = 1", func(c *Config) { c.Limits.IdleTimeout = time.Millisecond }},
		{"[Limits]\npeer_connections = 0", func(c *Config) { c.Limits.PeerConnections = 0 }},
		{"[Http]\nhosts = a.example, b", func(c *Config) { c.HTTP.Hosts = []string{"a.example", "b"} }},
		{"[Admin]\nclients = ops, deploy", func(c *Config) { c.Admin.Clients = []string{"ops", "deploy"} }},
		{"[Legacy]\nenabled = false", func(c *Config) { c.Legacy.Enabled = false }},
		{"[Neo]\nallow = 10.1.2.3/8, 192.168.1.7", func(c *Config) {
			c.Neo.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.7/32")}
		}},
		{"[Http]\naddress = 0.0.0.0\nport = -1", func(c *Config) { c.HTTP.Address = "0.0.0.0" }},
		{"[Http]\nport = 8080", func(c *Config) { c.HTTP.Port = 8080 }},
		{"[Http]\nport = 0", func(c *Config) { c.HTTP.Port = 0 }},
		{"[Unknown]\nkey = value", func(*Config) {}},
		{"[server]\nkey = value", func(*Config) {}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			want := wantMinimal()
			test.set(want)
			got, _, err := Load(write(t, minimal+test.text), nil, false)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, error %v\nwant %+v", got, err, want)
			}
		})
	}
}

// Every problem of operations spec §2.3 and the fatal values of operations spec §2.7. The message starts with the literal text and
// goes on with file, section, key, value and what is allowed.
func TestRejected(t *testing.T) {
	wrongType := func(section, key, typ string) string {
		return "Critical Error: Configuration key '" + section + ":" + key + "' appears not to be of type '" + typ + "'"
	}
	tests := []struct {
		text    string // after minimal
		want    string
		details []string
	}{
		{"bogus = 1", "Invalid configuration key Server.bogus", []string{"[Server]", "bogus", `"1"`, "address, port, neoport"}},
		{"[Performance]\nbogus = 1", "Invalid configuration key Performance.bogus", nil},
		{"[Overflow]\nbogus = 1", "Invalid configuration key Overflow.bogus", nil},
		{"[Stats]\nbogus = 1", "Invalid configuration key Stats.bogus", nil},
		{"[STATS]\nbogus = 1", "Invalid configuration key STATS.bogus", nil},
		{"[STATS]\nconsole_stats_enabled = true", "Invalid configuration key STATS.console_stats_enabled", nil},
		{"[LOG]\nbogus = 1", "Invalid configuration key LOG.bogus", nil},
		{"[LOG]\nfile_count = 10", "Invalid configuration key LOG.file_count", nil},
		{"[LOG.Root]\nmax_file_size = 10", "Invalid configuration key LOG.Root.max_file_size", nil},
		{"[LOG.x]\nbogus = 1", "Invalid configuration key LOG.x.bogus", nil},
		{"[EventLoop]\nbogus = 1", "Invalid configuration key EventLoop.bogus", nil},
		{"[Legacy]\nallow =", "Configuration key Legacy.allow has no value: the default would let everybody in", []string{"line 8", "remove the key"}},
		{"[Neo]\nallow =\n", "Configuration key Neo.allow has no value: the default would let everybody in", nil},
		{"[Legacy]\nallow = ,", "Configuration key Legacy.allow has no address", nil},
		{"[Storage]\nring = memory\nacknowledge = synced", "Storage.acknowledge is synced and Storage.ring is memory", []string{"never on the disk"}},
		{"[Storage]\nbogus = 1", "Invalid configuration key Storage.bogus", nil},
		{"[Consume]\nbogus = 1", "Invalid configuration key Consume.bogus", nil},
		{"[Limits]\nbogus = 1", "Invalid configuration key Limits.bogus", nil},
		{"[Http]\nbogus = 1", "Invalid configuration key Http.bogus", nil},
		{"Port = 1", "Invalid configuration key Server.Port", nil},
		{"port = x\nbogus = 1", "Invalid configuration key Server.bogus", nil}, // before all values

		{"port = 70000", wrongType("Server", "port", "ushort"), []string{"[Server]", "key port", `"70000"`, "ushort, 0 to 65535"}},
		{"port = 10000 # x", wrongType("Server", "port", "ushort"), []string{`"10000 # x"`}},
		{"port = 1\n2", wrongType("Server", "port", "ushort"), []string{`"1\n2"`}},
		{"neoport = -1", wrongType("Server", "neoport", "ushort"), nil},
		{"cpu = 1.0", wrongType("Server", "cpu", "int"), nil},
		{"cpu = -2", "Configuration key Server.cpu is smaller than allowed minimum of -1", []string{`"-2"`, "int, -1 to 2147483647"}},
		{"size_limit = -5", wrongType("Server", "size_limit", "ulong"), nil},
		{"channel_size_limit = 0", "Configuration key Server.channel_size_limit is smaller than allowed minimum of 1", nil},
		{"channel_size_limit = 70368744177665", "Configuration key Server.channel_size_limit is bigger than allowed maximum of 70368744177664", nil},
		{"channel_size_limit = 1_000", wrongType("Server", "channel_size_limit", "ulong"), nil},
		{"channel_size_limit = 1M", wrongType("Server", "channel_size_limit", "ulong"), nil},
		{"channel_size_limit = -5", wrongType("Server", "channel_size_limit", "ulong"), nil},
		{"channel_size_limit = 18446744073709551616", wrongType("Server", "channel_size_limit", "ulong"), nil},
		{"connection_limit = 4294967296", wrongType("Server", "connection_limit", "uint"), nil},
		{"backlog = x", wrongType("Server", "backlog", "uint"), nil},
		{"address = localhost", "Node listener IP address invalid", []string{"[Server]", "key address", `"localhost"`, "dotted IPv4 literal"}},
		{"address = ::", "Node listener IP address invalid", nil},
		{"unix_socket_path = " + strings.Repeat("x", 108), "Unix socket path too long: " + strings.Repeat("x", 108), []string{"at most 107 bytes"}},

		{"[ChannelSizeById]\nab = 1\nb = 1\na = 1", "Channel size configuration: Conflicting channel id prefixes 'a' and 'ab'", []string{"[ChannelSizeById]"}},
		{"[ChannelSizeById]\nabc = 1\na = 1\nabb = 1", "Channel size configuration: Conflicting channel id prefixes 'a' and 'abb'", nil},
		{"[ChannelSizeById]\na = x", wrongType("ChannelSizeById", "a", "ulong"), nil},
		{"[Http]\nport = 0\nadmin = true", "Http.admin is true and Http.token_file is not set", nil},
		{"[Http]\nport = 0\npeek = some", "Configuration key Http.peek names no audience", []string{"local, all, none"}},
		{"[QueueBytesById]\nab = 1\na = 1", "Queue bytes configuration: Conflicting channel id prefixes 'a' and 'ab'", []string{"[QueueBytesById]"}},
		{"[QueueBytesById]\na = x", wrongType("QueueBytesById", "a", "ulong"), nil},
		{"[ChannelSizeById]\na = -1", wrongType("ChannelSizeById", "a", "ulong"), nil},
		{"[Performance]\nwrite_flush_ms = 0", "Configuration key Performance.write_flush_ms is smaller than allowed minimum of 1", nil},
		{"[Performance]\nwrite_flush_ms = 4294967296", wrongType("Performance", "write_flush_ms", "uint"), nil},
		{"[Performance]\nno_delay = TRUE", wrongType("Performance", "no_delay", "bool"), nil},
		{"[Overflow]\nwrite_index_ms = 0", "Configuration key Overflow.write_index_ms is smaller than allowed minimum of 1", nil},
		{"[STATS]\ninterval = 0", "Configuration key STATS.interval is smaller than allowed minimum of 1", nil},
		{"[STATS]\ninterval = 10000000000", "Configuration key STATS.interval is bigger than allowed maximum of 9223372036", nil},
		{"[STATS]\ninterval = -1", wrongType("STATS", "interval", "ulong"), nil},
		{"[Stats]\ninterval = x", wrongType("Stats", "interval", "ulong"), nil},
		{"[Stats]\nconsole_stats_enabled = 2", wrongType("Stats", "console_stats_enabled", "bool"), nil},
		{"[UNIX_SOCKET]\nmode = 0x1ff", "Invalid mode for UnixSocket", nil},
		{"[UNIX_SOCKET]\npath = " + strings.Repeat("x", 108), "Unix socket path too long: ", nil},
		{"[VERSION]\ndefault_version_log = x", wrongType("VERSION", "default_version_log", "bool"), nil},
		{"[LOG]\nbuffer_size = -1", wrongType("LOG", "buffer_size", "ulong"), nil},
		{"[LOG]\nbuffer_size = 18446744073709551615", "Configuration key LOG.buffer_size is bigger than allowed maximum of 9223372036854775807", nil},

		{"data_dir = data\nconnection_limit 10", `Configuration key Server.data_dir has a value of several lines: "connection_limit 10" has no '=' and continues "data"`, []string{"line 7"}},
		{"unix_socket_path = s\nx", "Configuration key Server.unix_socket_path has a value of several lines: ", nil},
		{"[PidLock]\npath = a\x01b", "Configuration key PidLock.path has a control character in its value", nil},
		{"[UNIX_SOCKET]\npath = a\rb", "Configuration key UNIX_SOCKET.path has a control character in its value", nil},
		{"[LOG.x]\nfile = a\nb", "Configuration key LOG.x.file has a value of several lines: ", nil},
		{"[STATS]\nfile_name = a\x7f", "Configuration key STATS.file_name has a control character in its value", nil},
		{"[Storage]\nring_dir = a\nb", "Configuration key Storage.ring_dir has a value of several lines: ", nil},
		{"port = 10001", "Server.port and Server.neoport are both 10001: each protocol needs a port of its own", nil},
		{"[Http]\nport = 10000", "Http.port is 10000, the port of clients", nil},
		{"[Http]\nport = 10001", "Http.port is 10001, the port of clients", nil},
		{"[UNIX_SOCKET]\npath = dmqnode.socket", "Server.unix_socket_path and UNIX_SOCKET.path are both dmqnode.socket: each socket needs a path of its own", nil},
		{"[Server]\nprot = 1", "Invalid configuration key Server.prot", []string{"did you mean port?"}},

		{"[EventLoop]\ncount = 1025", "Configuration key EventLoop.count is bigger than allowed maximum of 1024", nil},
		{"[Storage]\nring = tape", "Configuration key Storage.ring names no kind of ring", []string{`"tape"`, "file, memory"}},
		{"[Storage]\nsync_ms = -1", wrongType("Storage", "sync_ms", "uint"), nil},
		{"[Consume]\nredeliver = maybe", wrongType("Consume", "redeliver", "bool"), nil},
		{"[Limits]\noutput_buffer = 4095", "Configuration key Limits.output_buffer is smaller than allowed minimum of 4096", nil},
		{"[Limits]\nneo_frame = 65535", "Configuration key Limits.neo_frame is smaller than allowed minimum of 65536", nil},
		{"[Limits]\nneo_requests = 0", "Configuration key Limits.neo_requests is smaller than allowed minimum of 1", nil},
		{"[Limits]\nrequest_bytes = 10485759", "Configuration key Limits.request_bytes is smaller than allowed minimum of 10485760", nil},
		{"[Limits]\npeer_connections = -2", "Configuration key Limits.peer_connections is smaller than allowed minimum of -1", nil},
		{"[Legacy]\nallow = localhost", "Configuration key Legacy.allow has something else than IPv4 addresses and networks", nil},
		{"[Neo]\nallow = ::/0", "Configuration key Neo.allow has something else than IPv4 addresses and networks", nil},
		{"[Limits]\nhandshake_timeout_ms = 0", "Configuration key Limits.handshake_timeout_ms is smaller than allowed minimum of 1", nil},
		{"[Http]\naddress = 0.0.0.0", "Mandatory variable Http.port not set.", []string{"add 'port = VALUE'"}},
		{"[Http]\naddress = localhost", "Node listener IP address invalid", []string{"[Http]"}},
		{"[Http]\nport = 65536", "Configuration key Http.port is bigger than allowed maximum of 65535", nil},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			path := write(t, minimal+test.text)
			_, _, err := Load(path, nil, false)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got error %v\nwant %s…", err, test.want)
			}
			for _, detail := range append(test.details, path) {
				if !strings.Contains(err.Error(), detail) {
					t.Errorf("got error %v, want %s in it", err, detail)
				}
			}
			var unreadable *ReadError
			if errors.As(err, &unreadable) {
				t.Errorf("got a ReadError, want another type")
			}
		})
	}
}

func TestMandatoryKeys(t *testing.T) {
	for _, key := range []string{"address", "port", "neoport", "channel_size_limit", "unix_socket_path"} {
		for _, text := range []string{
			strings.Replace(minimal, "\n"+key+" ", "\n# "+key+" ", 1),    // absent
			strings.Replace(minimal, "\n"+key+" ", "\n"+key+" =\n# ", 1), // without a value
		} {
			_, _, err := Load(write(t, text), nil, false)
			if want := "Mandatory variable Server." + key + " not set."; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%q: got error %v, want %s…", text, err, want)
			}
		}
	}
}

func TestLooseReadingWarns(t *testing.T) {
	text := minimal + "bogus = 1\n[LOG]\nfile_count = 1\n[LOG.Root]\nold = 1\n[PidLock]\nother = 1\n[Http]\nx = 1"
	path := write(t, text)
	c, warnings, err := Load(path, []string{"Overflow.new=1"}, true)
	if err != nil {
		t.Fatalf("got error %v, want none", err)
	}
	want := wantMinimal()
	want.Log.Loggers = c.Log.Loggers
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	wantWarnings := []string{
		"Invalid configuration key Overflow.new",
		"Invalid configuration key LOG.Root.old",
		"Invalid configuration key LOG.file_count",
		"Invalid configuration key Server.bogus",
		path + ", line 13: key PidLock.other is not one of the node and is ignored",
		"Invalid configuration key Http.x",
	}
	if !slices.Equal(warnings, wantWarnings) {
		t.Errorf("got warnings\n%q\nwant\n%q", warnings, wantWarnings)
	}
}

// What the original takes without a word.
func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		text string // after minimal, which has 6 lines
		want []string
	}{
		{"", nil},
		{"[LOG.x]\nlevel = info\n[ChannelSizeById]\na = 1\n[VERSION]\ndefault_version_log = 0", nil},
		{"[Htpp]\nport = 1", []string{": section [Htpp] is not one of the node, its keys are ignored; did you mean Http?"}},
		{"[Storge]\nring = memory", []string{": section [Storge] is not one of the node, its keys are ignored; did you mean Storage?"}},
		{"[server]\nport = 1", []string{": section [server] is not one of the node, its keys are ignored; did you mean Server?"}},
		{"[log.Root]\nlevel = info", []string{": section [log.Root] is not one of the node, its keys are ignored"}},
		{"[Server]\ncpu = 0", []string{", line 7: section [Server] is there a second time, after that of line 1: the keys of both count"}},
		{"port = 5", []string{`, line 7: key Server.port is there a second time: "5" counts, and no longer that of FILE, line 3, "10000"`}},
		{"[LOG.x]\nlevel = info\n[LOG.x]\nlevel = warn", []string{
			", line 9: section [LOG.x] is there a second time, after that of line 7: the keys of both count",
			`, line 10: key LOG.x.level is there a second time: "warn" counts, and no longer that of FILE, line 8, "info"`}},
		{"[PidLock]\npth = p", []string{", line 8: key PidLock.pth is not one of the node and is ignored; did you mean path?"}},
		{"[]\na = b", []string{", line 8: key a is in no section and is ignored"}},
		{"[PidLock]\nx\n= y", []string{`, line 8: "x" belongs to no key and is ignored`, `, line 9: "y" belongs to no key and is ignored`}},
		{`data_dir = "data"`, []string{`, line 7: the value of Server.data_dir is "\"data\"", with all of that: there is no quoting, and a comment has a line of its own`}},
		{"data_dir = data # x", []string{`, line 7: the value of Server.data_dir is "data # x", with all of that: there is no quoting, and a comment has a line of its own`}},
		{"[LOG.x]\nfile = f // x", []string{`, line 8: the value of LOG.x.file is "f // x", with all of that: there is no quoting, and a comment has a line of its own`}},
		{"data_dir = a#b\"", nil},
		{"[Storage]\nstop =\nring_dir =\n[LOG.x]\nfile =\n[Admin]\nclients =", []string{", line 8: key Storage.stop has no value, so its default counts"}},
		{"data_dir =\n[Limits]\nchannels =\n# none", []string{", line 7: key Server.data_dir has no value, so its default counts",
			", line 9: key Limits.channels has no value, so its default counts"}},
	} {
		path := write(t, minimal+test.text)
		_, got, err := Load(path, nil, false)
		want := slices.Clone(test.want)
		for i, w := range want {
			want[i] = path + strings.ReplaceAll(w, "FILE", path)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, error %v\nwant %q", test.text, got, err, want)
		}
	}
}

// A file that cannot be opened or read is an error of its own type with the line of operations spec §1.3.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.ini")
	tests := []struct{ path, want string }{
		{missing, "Error reading config file '" + missing + "': open: No such file or directory on " + missing},
		{dir, "Error reading config file '" + dir + "': read: Is a directory on " + dir},
		{missing + "/x\x00", "Error reading config file '" + missing + "/x\x00': open: Invalid argument on " + missing + "/x\x00"},
		{"", "Error reading config file '': open: No such file or directory on "},
	}
	for _, test := range tests {
		_, _, err := Load(test.path, nil, false)
		var unreadable *ReadError
		if !errors.As(err, &unreadable) || err.Error() != test.want {
			t.Errorf("%q: got %T %v, want *ReadError %s", test.path, err, err, test.want)
		}
	}
	if _, _, err := Load(missing, nil, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one that wraps os.ErrNotExist", err)
	}
}

// FuzzLoad checks that every file gives either a configuration within the limits or an error.
func FuzzLoad(f *testing.F) {
	f.Add(minimal)
	f.Add(minimal + "[ChannelSizeById]\na = 1\nab = 0x10\n[LOG.x]\nlevel = Info\n[STATS]\ninterval = 9223372036")
	f.Add(minimal + "cpu = - 1\n[Performance]\nwrite_flush_ms = 0b1\n[Storage]\nring = memory\n[UNIX_SOCKET]\nmode = 777")
	f.Fuzz(func(t *testing.T, text string) {
		file, _, _ := parse(text, "fuzz")
		l := loader{path: "fuzz", file: file}
		c, err := l.interpret()
		if (c == nil) == (err == nil) {
			t.Fatalf("got configuration %v and error %v, want one of them", c, err)
		}
		if c == nil {
			return
		}
		if c.Server.ChannelSizeLimit < 1 || c.Server.CPU < -1 || len(c.Server.UnixSocketPath) > maxSocketPath ||
			c.Performance.WriteFlush <= 0 || c.Overflow.WriteIndex <= 0 || c.Stats.Interval <= 0 || c.ChannelSize.conflict() != nil {
			t.Errorf("%q: got %+v, outside the limits", text, c)
		}
	})
}
