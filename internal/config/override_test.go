package config

import (
	"strings"
	"testing"
)

func TestParseOverride(t *testing.T) {
	tests := []struct {
		assignment string
		want       Override
		fault      string
	}{
		{"Server.port=1", Override{"Server", "port", "1"}, ""},
		{" \tServer . port = 1 \n", Override{"Server", "port", "1"}, ""},
		{"LOG.Root.level=info", Override{"LOG.Root", "level", "info"}, ""},
		{"LOG.ROOT.level=info", Override{"LOG.Root", "level", "info"}, ""},
		{"LOG.a.b.c.file=log/c.log", Override{"LOG.a.b.c", "file", "log/c.log"}, ""},
		{"Server.address=127.0.0.1", Override{"Server", "address", "127.0.0.1"}, ""},
		{"a.b=c=d.e=f", Override{"a", "b", "c=d.e=f"}, ""},
		{"Server.cpu=", Override{"Server", "cpu", ""}, ""},
		{"Server.cpu = \t", Override{"Server", "cpu", ""}, ""},
		{"", Override{}, "empty assignment"},
		{" \t ", Override{}, "empty assignment"},
		{"Server.port", Override{}, "no '='"},
		{"Server port 1", Override{}, "no '='"},
		{"port=1", Override{}, "no '.' before the '='"},
		{"port=1.5", Override{}, "no '.' before the '='"},
		{"=", Override{}, "no '.' before the '='"},
		{".port=1", Override{}, "empty category"},
		{" . port=1", Override{}, "empty category"},
		{".=1", Override{}, "empty category"},
		{"Server.=1", Override{}, "empty key"},
		{"LOG.Root. = x", Override{}, "empty key"},
	}
	for _, test := range tests {
		got, err := ParseOverride(test.assignment)
		if got != test.want {
			t.Errorf("%q: got %q, want %q", test.assignment, got, test.want)
		}
		switch {
		case test.fault == "" && err != nil:
			t.Errorf("%q: got error %v, want none", test.assignment, err)
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), "'"+test.assignment+"': "+test.fault)):
			t.Errorf("%q: got error %v, want one that names the assignment and %q", test.assignment, err, test.fault)
		}
	}
}

// Overrides are applied after the file is read and checked like the file (operations spec §1.4).
func TestOverride(t *testing.T) {
	tests := []struct {
		rule      string
		overrides []string
		port      uint16
		cpu       int
		err       string
	}{
		{"replaces a value", []string{"Server.port = 11"}, 11, 3, ""},
		{"the last one wins", []string{"Server.port=11", "Server.port=12"}, 12, 3, ""},
		{"empty removes a key", []string{"Server.cpu="}, 10000, -1, ""},
		{"removes a mandatory key", []string{"Server.port="}, 0, 0, "Mandatory variable Server.port not set."},
		{"removes and adds again", []string{"Server.port=", "Server.port=13"}, 13, 3, ""},
		{"adds a key", []string{"Server.backlog=7"}, 10000, 3, ""},
		{"adds a section", []string{"Http.port=1", "LOG.x.level=info", "ChannelSizeById.a=1"}, 10000, 3, ""},
		{"removes an absent key", []string{"Server.backlog="}, 10000, 3, ""},
		{"checks types", []string{"Server.port=x"}, 0, 0, "Critical Error: Configuration key 'Server:port' appears not to be of type 'ushort' (option -O, "},
		{"checks limits", []string{"Server.cpu=-2"}, 0, 0, "Configuration key Server.cpu is smaller than allowed minimum of -1 (option -O, "},
		{"unknown key", []string{"Server.bogus=1"}, 0, 0, "Invalid configuration key Server.bogus (option -O, "},
		{"unknown key, removed", []string{"Server.bogus="}, 0, 0, "Invalid configuration key Server.bogus"},
		{"unknown section", []string{"server.port=1"}, 0, 0, "Invalid configuration key server.port"},
		{"unknown key of an unchecked section", []string{"PidLock.file=1"}, 0, 0, "Invalid configuration key PidLock.file"},
		{"replaces an ignored value", []string{"Foreign.key=2"}, 10000, 3, ""},
		{"malformed", []string{"port=1"}, 0, 0, "invalid override 'port=1'"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			c, _, err := Load(write(t, minimal+"cpu = 3\n[Foreign]\nkey = 1\n"), test.overrides, false)
			switch {
			case test.err != "":
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("%q: got error %v, want %q…", test.overrides, err, test.err)
				}
			case err != nil:
				t.Errorf("%q: got error %v, want none", test.overrides, err)
			case c.Server.Port != test.port || c.Server.CPU != test.cpu:
				t.Errorf("%q: got port %d, cpu %d, want %d, %d", test.overrides, c.Server.Port, c.Server.CPU, test.port, test.cpu)
			}
		})
	}
}

func TestOverrideOfTheLastKeyRemovesTheSection(t *testing.T) {
	c, _, err := Load(write(t, minimal+"[LOG.x]\nlevel = info"), []string{"LOG.x.level="}, false)
	if err != nil || len(c.Log.Loggers) != 0 {
		t.Errorf("got loggers %+v, error %v, want none", c.Log.Loggers, err)
	}
}
