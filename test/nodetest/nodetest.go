// Package nodetest runs the built dmqnode for black-box tests.
//
// A test gets a node of its own:
//
//	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "3"))
//	conn, err := net.Dial("tcp", node.Legacy())
//
// Start makes an instance directory (operations spec §4.1: etc/config.ini,
// etc/credentials, log/), starts the binary in it with free ports and returns when
// the node has said on its console where it listens and a connection to that address
// succeeded. Nothing is waited for by sleeping: the console is read through a pipe.
//
// The binary is built once per test process (build.go), with the race detector if the
// test binary has it. Whatever happens to the test, the node ends: t.Cleanup stops it,
// and the kernel kills it should the test process die first.
//
// Cleanup is a test of its own: it sends SIGTERM and requires exit status 0 in time. A
// node that ended without having been asked to fails its test too, so no test has to
// check that the node survived.
package nodetest

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// Option changes how a node is set up.
type Option func(*setup)

type setup struct {
	config      map[string]map[string]string // section, key
	edit        func(config string) string   // nil = none
	credentials string                       // etc/credentials
	arguments   []string                     // more of them
	environment []string                     // more variables, NAME=VALUE
	sockets     []*os.File                   // handed over
	socketNames string
	limits      []string // options of ulimit(1)
	boot        string   // what the system tells of when it was started
	output      *os.File // stdout and stderr, nil = a pipe to the test
	terminal    bool     // output is the controlling terminal
}

// Set sets one configuration value; the key is written SECTION.KEY, where the last dot
// separates (as in the node's -O). An empty value removes the key.
func Set(key, value string) Option {
	return func(s *setup) {
		dot := strings.LastIndexByte(key, '.')
		section, name := key[:dot], key[dot+1:]
		if s.config[section] == nil {
			s.config[section] = map[string]string{}
		}
		s.config[section][name] = value
	}
}

// All is several options.
func All(options ...Option) Option {
	return func(s *setup) {
		for _, option := range options {
			option(s)
		}
	}
}

// EditConfig changes the text of the configuration file, of which Set knows only sections and
// keys.
func EditConfig(edit func(text string) string) Option {
	return func(s *setup) { s.edit = edit }
}

// Arguments adds words to the command line of the node.
func Arguments(words ...string) Option {
	return func(s *setup) { s.arguments = words }
}

// Environment sets variables of the node's environment, each NAME=VALUE.
func Environment(variables ...string) Option {
	return func(s *setup) { s.environment = variables }
}

// Inherit hands listening sockets over to the node, as systemd does. The names are those of its
// FileDescriptorName=, "" for none.
func Inherit(names string, sockets ...*os.File) Option {
	return func(s *setup) { s.socketNames, s.sockets = names, sockets }
}

// Output is the standard output and error of the node. Start then reads from log/root.log where
// the node listens, and so does WaitLog.
func Output(file *os.File) Option {
	return func(s *setup) { s.output = file }
}

// Terminal is Output to the controlling terminal of the node.
func Terminal(file *os.File) Option {
	return func(s *setup) { s.output, s.terminal = file, true }
}

// Credentials sets the content of etc/credentials. Without it, client "test" has a key of
// zero bytes.
func Credentials(text string) Option {
	return func(s *setup) { s.credentials = text }
}

// OpenFiles limits the descriptors the node may have open, soft and hard.
func OpenFiles(limit int) Option { return Limit(fmt.Sprintf("-n %d", limit)) }

// Limit limits a resource of the node by an option of ulimit(1), soft and hard.
func Limit(option string) Option {
	return func(s *setup) { s.limits = append(s.limits, option) }
}

// Boot makes the node believe that the machine was started another time than with another id. It takes
// root and unshare(1).
func Boot(id string) Option {
	return func(s *setup) { s.boot = id }
}

// defaults is the configuration of a node without options: free ports on the loopback
// address, the channel size that the protocol vectors ask for, and logging to both the
// console, where Start reads it, and log/root.log.
func defaults() *setup {
	s := &setup{
		config:      map[string]map[string]string{},
		credentials: "test:" + strings.Repeat("0", 256) + "\n",
	}
	for key, value := range map[string]string{
		"Server.address":            "127.0.0.1",
		"Server.port":               "0",
		"Server.neoport":            "0",
		"Server.channel_size_limit": "20000000",
		"Server.unix_socket_path":   "dmqnode.socket",
		"Server.cpu":                "-1",
		"PidLock.path":              "dmqnode.pid",
		"LOG.Root.level":            "info",
		"LOG.Root.propagate":        "true",
		"LOG.Root.console":          "true",
		"LOG.Root.file":             "log/root.log",
	} {
		Set(key, value)(s)
	}
	return s
}

// configText returns the configuration file, sections and keys in alphabetical order.
func (s *setup) configText() string {
	var text strings.Builder
	for _, section := range sortedKeys(s.config) {
		fmt.Fprintf(&text, "[%s]\n", section)
		for _, key := range sortedKeys(s.config[section]) {
			if value := s.config[section][key]; value != "" {
				fmt.Fprintf(&text, "%s = %s\n", key, value)
			}
		}
	}
	if s.edit != nil {
		return s.edit(text.String())
	}
	return text.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// newInstance makes an instance directory that is removed when the test ends.
func newInstance(t testing.TB, s *setup) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"etc", "log"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeInstance(t, dir, s)
	return dir
}

// writeInstance writes the files that tell the node what to do.
func writeInstance(t testing.TB, dir string, s *setup) {
	t.Helper()
	files := map[string]string{
		"etc/config.ini":  s.configText(),
		"etc/credentials": s.credentials,
		"etc/boot_id":     s.boot,
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// SmallRings make most records of a test go to the overflow.
var SmallRings = Set("Server.channel_size_limit", "1000")

// ResidentRings makes what was pushed stay in the memory of the node, so that a test can tell how much
// more it needs. What is written for sync_ms leaves that, and comes back when it is read.
var ResidentRings = Set("Storage.sync_ms", "0")
