package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// resolved returns what became of options, an environment and a configuration file, as
// protocol, addresses, nodes file, credentials, legacy addresses and time-out.
func resolved(t *testing.T, args, config string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DMQ_CONFIG", path)
	var s settings
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.addFlags(flags)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	err := s.resolve()
	text := strings.Join([]string{s.protocol, strings.Join(s.address, ","), s.nodes, s.credentials,
		strings.Join(s.legacyAddress, ","), s.timeout.String()}, " ")
	return strings.ReplaceAll(text, dir, "DIR"), err
}

func TestSettings(t *testing.T) {
	const config = `
timeout = 3s
address = file:1, file:2 # two
credentials = secret
[test]
address = test:1
legacy_address = test:2
credentials = /test/secret
`
	for _, tc := range []struct {
		name, args, env, config string
		want                    string
	}{
		{"nothing", "", "", "", "legacy     10s"},
		{"file", "", "", config, "neo file:1, file:2  DIR/secret  3s"},
		{"environment before file", "", "DMQ_ADDRESS=env:1,env:2 DMQ_PROTOCOL=legacy DMQ_TIMEOUT=1s", config, "legacy env:1,env:2  DIR/secret  1s"},
		{"command line before environment", "-a arg:1 -a arg:2,arg:3", "DMQ_ADDRESS=env:1", config, "neo arg:1,arg:2,arg:3  DIR/secret  3s"},
		{"a nodes file replaces addresses", "-N list", "DMQ_ADDRESS=env:1", config, "neo  list DIR/secret  3s"},
		{"both from the same source", "-N list -a arg:1", "", config, "neo arg:1 list DIR/secret  3s"},
		{"profile", "--profile test", "", config, "neo test:1  /test/secret test:2 3s"},
		{"profile of the environment", "", "DMQ_PROFILE=test", config, "neo test:1  /test/secret test:2 3s"},
		{"credentials mean neo", "-c x", "", "", "neo   x  10s"},
		{"but not if told otherwise", "-c x -p legacy", "", "", "legacy   x  10s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, assignment := range strings.Fields(tc.env) {
				name, value, _ := strings.Cut(assignment, "=")
				t.Setenv(name, value)
			}
			if got, err := resolved(t, tc.args, tc.config); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	for _, tc := range []struct{ args, config, want string }{
		{"-p neo", "", "needs --credentials"},
		{"-p x", "", "want neo or legacy"},
		{"--timeout 0s", "", "more than 0"},
		{"", "adress = a:1", `unknown key "adress"`},
		{"", "[other]\nadress = a:1", `unknown key "adress"`},
		{"", "timeout = soon", `timeout = "soon"`},
		{"--profile test", "", "no section [test]"},
		{"--config " + os.DevNull + "/none", "", "not a directory"},
		{"", "[x", "unclosed section"},
		{"-a queue-1", "", "want HOST:PORT"},
		{"", "legacy_address = queue-1:99999", "not from 1 to 65535"},
	} {
		if _, err := resolved(t, tc.args, tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q with %q: got error %v, want it to contain %q", tc.args, tc.config, err, tc.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"__complete bench ":            "latency\n",
		"__complete push --protocol ":  "legacy\n",
		"__complete dr":                "drain\t",
		"completion bash":              "bash completion",
		"completion zsh":               "#compdef dmq",
		"completion fish":              "fish",
		"__complete produce a ":        ":0\n", // files
		"__complete produce ":          ":4\n", // nothing
		"__complete gen-credentials x": ":4\n",
	} {
		split := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			split = append(split, "")
		}
		if got := dmq(t.Context(), nil, split...); got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("dmq %s: got status %d and %.200q, want %q", args, got.status, got.stdout, want)
		}
	}
}

func TestManualIsUpToDate(t *testing.T) {
	committed, err := os.ReadFile("../../deploy/man/dmq.1")
	if err != nil {
		t.Fatal(err)
	}
	if got := dmq(t.Context(), nil, "man"); got.stdout != string(committed) {
		t.Error("deploy/man/dmq.1 is not what the commands say: run go generate ./cmd/dmq")
	}
}

func TestVisible(t *testing.T) {
	for record, want := range map[string]string{
		"plain\ttext\n": "plain\ttext\n",
		"grün":          "grün",
		"\x1b[2Jx\r":    `\x1b[2Jx\r`,
		"\xff\x00":      `\xff\x00`,
		"\u202e":        `\u202e`,
	} {
		if got := string(visible(nil, []byte(record))); got != want {
			t.Errorf("%q: got %q, want %q", record, got, want)
		}
	}
}
