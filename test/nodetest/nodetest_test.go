package nodetest

import (
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestConfigText(t *testing.T) {
	s := &setup{config: map[string]map[string]string{}}
	for _, option := range []Option{
		Set("Server.port", "0"), Set("LOG.Root.level", "info"), Set("LOG.Root.file", "log/root.log"),
		Set("Server.address", "127.0.0.1"), Set("Server.port", "7"), Set("LOG.Root.level", ""),
	} {
		option(s)
	}
	want := "[LOG.Root]\nfile = log/root.log\n[Server]\naddress = 127.0.0.1\nport = 7\n"
	if got := s.configText(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConsoleWait(t *testing.T) {
	c := newConsole()
	reader, writer := io.Pipe()
	go c.collect(reader)
	io.WriteString(writer, "first line\nlistening address=1.2.3.4:5\n")
	address := regexp.MustCompile(`address=(\S+)`)
	if match, err := c.wait(address, Patience); err != nil || match[1] != "1.2.3.4:5" {
		t.Errorf("line that has come: got %q, error %v", match, err)
	}
	go io.WriteString(writer, "later\n")
	if _, err := c.wait(regexp.MustCompile(`^later$`), Patience); err != nil {
		t.Errorf("line that comes later: %v", err)
	}
	never := regexp.MustCompile("never")
	if _, err := c.wait(never, time.Millisecond); err == nil || !strings.Contains(err.Error(), "within 1ms") {
		t.Errorf("line that doesn't come: got error %v, want one about the time", err)
	}
	writer.Close()
	if _, err := c.wait(never, Patience); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("line that can't come any more: got error %v, want one about the end", err)
	}
	if got, want := c.text(), "first line\nlistening address=1.2.3.4:5\nlater"; got != want {
		t.Errorf("got console %q, want %q", got, want)
	}
}
