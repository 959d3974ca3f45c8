package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/terminal"
)

// words splits a command line at blanks.
func words(line string) []string { return strings.Fields(line) }

// The spellings of operations spec §1.2.
func TestAcceptedCommandLines(t *testing.T) {
	file := arguments{config: "f"}
	over := func(overrides ...string) arguments { return arguments{config: "f", overrides: overrides} }
	tests := []struct {
		rule string
		argv []string
		want arguments
	}{
		{"-c FILE", words("-c f"), file},
		{"-c=FILE", words("-c=f"), file},
		{"-cFILE", words("-cf"), file},
		{"--config FILE", words("--config f"), file},
		{"--config=FILE", words("--config=f"), file},
		{"a value with = after -c", words("-c a=b"), arguments{config: "a=b"}},
		{"a value with = glued to -c", words("-ca=b"), arguments{config: "a=b"}},
		{"a value with = after -c=", words("-c=a=b"), arguments{config: "a=b"}},
		{"a value with = after --config=", words("--config=a=b"), arguments{config: "a=b"}},
		{"a value like an option", words("--config=-c"), arguments{config: "-c"}},
		{"a value with blanks", []string{"-c", " a b "}, arguments{config: " a b "}},
		{"an empty value", []string{"-c", ""}, arguments{}},
		{"an empty value after =", words("--config="), arguments{}},

		{"--loose-config-parsing", words("--loose-config-parsing -c f"), arguments{config: "f", loose: true}},
		{"a switch given twice", words("--loose-config-parsing -c f --loose-config-parsing"), arguments{config: "f", loose: true}},

		{"-O ASSIGNMENT", words("-c f -O S.k=1"), over("S.k=1")},
		{"-O=ASSIGNMENT", words("-c f -O=S.k=1"), over("S.k=1")},
		{"-OASSIGNMENT", words("-c f -OS.k=1"), over("S.k=1")},
		{"--override-config ASSIGNMENT", words("-c f --override-config S.k=1"), over("S.k=1")},
		{"--override-config=ASSIGNMENT", words("-c f --override-config=S.k=1"), over("S.k=1")},
		{"-O with blanks", []string{"-c", "f", "-O", " S.k = 1 "}, over(" S.k = 1 ")},
		{"-O that removes", words("-c f -O S.k="), over("S.k=")},
		{"-O with a negative value", words("-c f -O S.k=-1"), over("S.k=-1")},
		{"words after -O up to the next option", words("-O S.k=1 S.l=2 S.m=3 -c f"), over("S.k=1", "S.l=2", "S.m=3")},
		{"words after glued -O", words("-OS.k=1 S.l=2 -c f"), over("S.k=1", "S.l=2")},
		{"words after -O=", words("-O=S.k=1 S.l=2 -c f"), over("S.k=1", "S.l=2")},
		{"words after --override-config=", words("--override-config=S.k=1 S.l=2 -c f"), over("S.k=1", "S.l=2")},
		{"repeated -O", words("-O S.k=1 -c f -O S.l=2 --override-config S.m=3"), over("S.k=1", "S.l=2", "S.m=3")},
		{"words after another option do not belong to -O", words("-O S.k=1 --loose-config-parsing foo -c f bar"), arguments{"f", []string{"S.k=1"}, true}},

		{"positional words are ignored", words("-c f foo bar"), file},
		{"also before and between", words("foo -c f bar --loose-config-parsing baz"), arguments{config: "f", loose: true}},
		{"- is positional", words("- -c f -"), file},
		{"-- ends options", words("-c f -- --nonsense -c g -O"), file},
		{"-- ends the words of -O", words("-c f -O S.k=1 -- foo"), over("S.k=1")},
		{"-- twice", words("-c f -- --"), file},
		{"42 positional words", append(words("-c f"), slices.Repeat([]string{"x"}, 42)...), file},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var stdout, stderr strings.Builder
			got, exit, done := commandLine(test.argv, &stdout, &stderr)
			if done || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%q: got %+v, exit %d, done %v, want %+v", test.argv, got, exit, done, test.want)
			}
			if stdout.Len() > 0 || stderr.Len() > 0 {
				t.Errorf("%q: got output %q, errors %q, want none", test.argv, &stdout, &stderr)
			}
		})
	}
}

// The messages of operations spec §1.3, step 4.
func TestRejectedCommandLines(t *testing.T) {
	tests := []struct {
		rule string
		argv []string
		want []string
	}{
		{"nothing", nil, []string{"argument 'config' is missing"}},
		{"a file without an option", words("etc/config.ini"), []string{"argument 'config' is missing"}},
		{"-c after --", words("-- -c f"), []string{"argument 'config' is missing"}},
		{"no value", words("-c"), []string{"argument 'config' expects 1 parameter(s) but has 0"}},
		{"no value, long", words("--config"), []string{"argument 'config' expects 1 parameter(s) but has 0"}},
		{"an option is not a value", words("-c --loose-config-parsing f"), []string{"argument 'config' expects 1 parameter(s) but has 0"}},
		{"-- is not a value", words("-c -- f"), []string{"argument 'config' expects 1 parameter(s) but has 0"}},
		{"an unknown option is not a value", words("-c -x f"), []string{"argument 'config' expects 1 parameter(s) but has 0", "unexpected argument 'x'"}},
		{"two -c", words("-c f -c g"), []string{"argument 'config' expects 1 parameter(s) but has 2"}},
		{"two spellings of -c", words("-c=f --config=g -ch"), []string{"argument 'config' expects 1 parameter(s) but has 3"}},
		{"a switch with a value", words("-c f --loose-config-parsing=yes"), []string{"argument 'loose-config-parsing' expects 0 parameter(s) but has 1"}},
		{"-O without a value", words("-c f -O"), []string{"argument 'override-config' expects 1 parameter(s) but has 0"}},
		{"unknown option", words("-c f --nonsense"), []string{"unexpected argument 'nonsense'"}},
		{"unknown option with a value", words("-c f --nonsense=1"), []string{"unexpected argument 'nonsense'"}},
		{"unknown option twice", words("-c f --nonsense=1 --nonsense"), []string{"unexpected argument 'nonsense'"}},
		{"unknown letter", words("-c f -x"), []string{"unexpected argument 'x'"}},
		{"unknown letter with a value", words("-c f -x=1"), []string{"unexpected argument 'x'"}},
		{"upper case letter", words("-C f -c f"), []string{"unexpected argument 'C'"}},
		{"no abbreviations", words("--conf f"), []string{"unexpected argument 'conf'", "argument 'config' is missing"}},
		{"no long names after one dash", words("-loose-config-parsing -c f"), []string{"unexpected argument 'l'"}},
		{"no short names after two dashes", words("--c f"), []string{"unexpected argument 'c'", "argument 'config' is missing"}},
		{"options of Go tests", words("-test.v -c f"), []string{"unexpected argument 't'"}},
		{"three dashes", words("---config=f"), []string{"unexpected argument '-config'", "argument 'config' is missing"}},
		{"no name", words("--=f -c f"), []string{"unexpected argument ''"}},
		{"43 positional words", append(words("-c f"), slices.Repeat([]string{"x"}, 43)...), []string{"argument 'ARGS' expects 42 parameter(s) but has 43"}},
		{"43 words after --", append(words("-c f --"), slices.Repeat([]string{"-x"}, 43)...), []string{"argument 'ARGS' expects 42 parameter(s) but has 43"}},
		{"all in alphabetical order", words("--zeta -O --loose-config-parsing=1 --alpha -x"), []string{
			"unexpected argument 'alpha'",
			"argument 'config' is missing",
			"argument 'loose-config-parsing' expects 0 parameter(s) but has 1",
			"argument 'override-config' expects 1 parameter(s) but has 0",
			"unexpected argument 'x'",
			"unexpected argument 'zeta'",
		}},
		{"malformed assignment", words("-c f -O port=1"), []string{"invalid override 'port=1': no '.' before the '=' (expected SECTION.KEY = VALUE)"}},
		{"malformed assignments in one line", append(words("-c f -O S.k=1 S.k .k=1 S.=1"), "", " "), []string{
			"invalid override 'S.k': no '=' (expected SECTION.KEY = VALUE), " +
				"invalid override '.k=1': empty category (expected SECTION.KEY = VALUE), " +
				"invalid override 'S.=1': empty key (expected SECTION.KEY = VALUE), " +
				"invalid override '': empty assignment (expected SECTION.KEY = VALUE), " +
				"invalid override ' ': empty assignment (expected SECTION.KEY = VALUE)",
		}},
		{"a file after -O", words("-O S.k=1 f"), []string{
			"argument 'config' is missing",
			"invalid override 'f': no '=' (expected SECTION.KEY = VALUE)",
		}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			var stdout, stderr strings.Builder
			_, exit, done := commandLine(test.argv, &stdout, &stderr)
			if !done || exit != 2 || stdout.Len() > 0 {
				t.Errorf("%q: got done %v, exit %d, output %q, want true, 2, none", test.argv, done, exit, &stdout)
			}
			want := strings.Join(test.want, "\n") + "\n\nType dmqnode -h for help\n"
			if got := stderr.String(); got != want {
				t.Errorf("%q: got\n%swant\n%s", test.argv, got, want)
			}
		})
	}
}

// Help comes before build details, these before the version, and all before errors (operations spec §1.3).
func TestOrderOfEvaluation(t *testing.T) {
	usage, details, version := "Usage:\t", "build_date=", "dmqnode version "
	tests := []struct{ argv, start, with, without string }{
		{"-h", "dmqnode: ", usage, details},
		{"--help", "dmqnode: ", usage, details},
		{"-h --nonsense", "dmqnode: ", usage, details},
		{"--nonsense -c -h", "dmqnode: ", usage, details},
		{"-hc f", "dmqnode: ", usage, details},
		{"-hcf", "dmqnode: ", usage, details},
		{"-hc=f", "dmqnode: ", usage, details},
		{"-hx", "dmqnode: ", usage, details},
		{"--help=x", "dmqnode: ", usage, details},
		{"--version -h", "dmqnode: ", usage, version},
		{"--build-info --version --help", "dmqnode: ", usage, details},
		{"--version", version, "", details},
		{"--version --nonsense", version, "", details},
		{"--version -c f foo", version, "", details},
		{"--version=x", version, "", details},
		{"--version --build-info", version, details, usage},
		{"--build-info", version, details, usage},
		{"--build-info -O x", version, details, usage},
	}
	for _, test := range tests {
		t.Run(test.argv, func(t *testing.T) {
			var stdout, stderr strings.Builder
			_, exit, done := commandLine(words(test.argv), &stdout, &stderr)
			if !done || exit != 0 || stderr.Len() > 0 {
				t.Errorf("got done %v, exit %d, errors %q, want true, 0, none", done, exit, &stderr)
			}
			got := stdout.String()
			if !strings.HasPrefix(got, test.start) || !strings.Contains(got, test.with) || strings.Contains(got, test.without) {
				t.Errorf("got %q, want %q first, %q in it and %q not in it", got, test.start, test.with, test.without)
			}
		})
	}
}

// The same command line without -h is parsed as usual.
func TestHelpInACombinedWord(t *testing.T) {
	for _, line := range []string{"-hc f", "-hcf", "-hc=f"} {
		p := newParser()
		p.parse(words(line))
		if faults := p.faults(); len(faults) > 0 || !p.help.given || !slices.Equal(p.config.values, []string{"f"}) {
			t.Errorf("%s: got help %v, config %q, faults %q, want true, f, none", line, p.help.given, p.config.values, faults)
		}
	}
}

// The layout of operations spec §1.3.
func TestUsage(t *testing.T) {
	var stdout strings.Builder
	commandLine(words("-h"), &stdout, io.Discard)
	layout := regexp.MustCompile(`\A.+\n\nUsage:\tdmqnode \[OPTIONS\] \[ARGS\]\n\n.+:\n` +
		`      --build-info            \S.*\n` +
		`  -c, --config                \S.* \(1 param, required\)\n` +
		`  -h, --help                  \S.*\n` +
		`      --loose-config-parsing  \S.*\n` +
		`  -O, --override-config       \S.* \(1 or more params\)\n` +
		`      --version               \S.*\n\n\z`)
	if !layout.MatchString(stdout.String()) {
		t.Errorf("got\n%s\nwant the layout\n%s", &stdout, layout)
	}
}

func TestErrorsAreRedOnATerminal(t *testing.T) {
	stderr, screen := terminal.Pair(t)
	for _, test := range []struct {
		what  string
		print func()
		want  string
	}{
		{"command line", func() { commandLine(words("-x -c f"), io.Discard, stderr) },
			"\x1b[31munexpected argument 'x'\x1b[39m\r\n\r\nType dmqnode -h for help\r\n"},
		{"configuration", func() { arguments{config: "none.ini"}.load(stderr) },
			"\x1b[31mError reading config file 'none.ini': open: No such file or directory on none.ini\x1b[39m\r\n"},
		{"start", func() { printFailure(stderr, fmt.Errorf("bind: %w", unix.EADDRNOTAVAIL)) },
			"\x1b[31mbind: cannot assign requested address\x1b[39m\r\n  (this machine does not have that address"},
	} {
		test.print()
		got := make([]byte, len(test.want))
		if _, err := io.ReadFull(screen, got); err != nil || string(got) != test.want {
			t.Errorf("%s: got %q, error %v, want %q", test.what, got, err, test.want)
		}
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	commandLine(words("-x -c f"), io.Discard, file)
	if got, err := os.ReadFile(file.Name()); err != nil || strings.Contains(string(got), "\x1b") {
		t.Errorf("to a file: got %q, error %v, want no colour", got, err)
	}
}

// From the command line to the exit status (operations spec §1, §2).
func TestConfigurationFailures(t *testing.T) {
	const valid = "[Server]\naddress = 127.0.0.1\nport = 0\nneoport = 0\nchannel_size_limit = 1000\nunix_socket_path = s\n"
	const failure, ok = 1, 0
	without := func(line string) string { return strings.Replace(valid, line+"\n", "", 1) }
	with := func(line string) string {
		return strings.Replace(valid, strings.SplitAfter(line, " ")[0], line+"\n# ", 1)
	}
	tests := []struct {
		rule, text, options string
		exit                int
		stderr              string // its beginning; "" = nothing
	}{
		{"valid", valid, "", ok, ""},
		{"port missing", without("port = 0"), "", failure, "Mandatory variable Server.port not set."},
		{"port missing in the file", without("port = 0"), "-OServer.port=1", ok, ""},
		{"unknown key", valid + "bogus = 1\n", "", failure, "Invalid configuration key Server.bogus"},
		{"unknown key, loose", valid + "bogus = 1\n", "--loose-config-parsing", ok, "#### WARNING: Invalid configuration key Server.bogus\n"},
		{"size 0", with("channel_size_limit = 0"), "", failure, "Configuration key Server.channel_size_limit is smaller than allowed minimum of 1"},
		{"size with separator", with("channel_size_limit = 1_000"), "", failure, "Critical Error: Configuration key 'Server:channel_size_limit'"},
		{"size with suffix", with("channel_size_limit = 1M"), "", failure, "Critical Error: Configuration key 'Server:channel_size_limit'"},
		{"size in hexadecimal", with("channel_size_limit = 0x100000"), "", ok, ""},
		{"comment behind a value", with("port = 10000 # x"), "", failure, "Critical Error: Configuration key 'Server:port' appears not to be of type 'ushort'"},
		{"value on the next line", with("port =\n10000"), "", ok, ""},
		{"CRLF", strings.ReplaceAll(valid, "\n", "\r\n"), "", ok, ""},
		{"wrong override", valid, "-O Server.port=x", failure, "Critical Error: Configuration key 'Server:port'"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.ini")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			args, _, done := commandLine(append([]string{"-c", path}, words(test.options)...), io.Discard, &stderr)
			if done {
				t.Fatalf("command line rejected: %s", &stderr)
			}
			c, _, exit := args.load(&stderr)
			if exit != test.exit || (c != nil) != (test.exit == ok) {
				t.Errorf("got %+v, exit %d, want exit %d", c, exit, test.exit)
			}
			got := stderr.String()
			if !strings.HasPrefix(got, test.stderr) || (got == "") != (test.stderr == "") || strings.Count(got, "\n") > 1 {
				t.Errorf("got errors %q, want one line %q…", got, test.stderr)
			}
		})
	}
}

func TestUnreadableConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	tests := []struct{ path, want string }{
		{dir + "/missing.ini", "Error reading config file '" + dir + "/missing.ini': open: No such file or directory on " + dir + "/missing.ini\n"},
		{dir, "Error reading config file '" + dir + "': read: Is a directory on " + dir + "\n"},
	}
	for _, test := range tests {
		var stderr strings.Builder
		c, _, exit := arguments{config: test.path}.load(&stderr)
		if c != nil || exit != 3 || stderr.String() != test.want {
			t.Errorf("%s: got %v, exit %d, errors %q, want exit 3, %q", test.path, c, exit, &stderr, test.want)
		}
	}
}

// FuzzCommandLine checks that any words either start the node with a file or end it with a text.
func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{"-c\nf", "-hc=f", "-c\nf\n-OS.k=1\nS.l=2\n--\n-x", "--=\n---\n-\n-é\n-test.x", "--version\n--config"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv := strings.FieldsFunc(line, func(r rune) bool { return r == '\n' || r == 0 })
		var stdout, stderr strings.Builder
		args, exit, done := commandLine(argv, &stdout, &stderr)
		silent := stdout.Len() == 0 && stderr.Len() == 0
		if done == silent || (exit == 2) != (stderr.Len() > 0) || exit != 0 && exit != 2 {
			t.Errorf("%q: got done %v, exit %d, output %q, errors %q", argv, done, exit, &stdout, &stderr)
		}
		if done && !reflect.DeepEqual(args, arguments{}) {
			t.Errorf("%q: got %+v, want nothing", argv, args)
		}
	})
}
