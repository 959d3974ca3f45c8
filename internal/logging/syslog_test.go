package logging

import (
	"errors"
	"log/syslog"
	"net"
	"os"
	"regexp"
	"testing"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// withSyslog configures syslog as Root's only output and makes it dial as told.
func withSyslog(t *testing.T, s *screen, dial func() (*syslog.Writer, error)) *Logs {
	t.Helper()
	l := start(t, s, config.Logger{Syslog: true, HasOutputs: true, CollectStats: true})
	l.syslog.writer.(*syslogWriter).dial = dial
	return l
}

func TestSyslogPriorityAndText(t *testing.T) {
	l := withSyslog(t, new(screen), func() (*syslog.Writer, error) {
		return syslog.Dial("unixgram", "syslog", syslog.LOG_USER, "dmqnode")
	})
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "syslog", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	log := l.Logger("dmqnode.main")
	const user = "<1" // facility 1 is 8…15
	tests := []struct {
		log  func(string, ...zap.Field)
		want string
	}{
		{log.Debug, user + "5>"},
		{log.Info, user + "4>"},
		{log.Warn, user + "2>"},
		{log.Error, user + "1>"},
		{log.DPanic, user + "0>"},
	}
	for _, test := range tests {
		test.log("two\nlines")
		packet := make([]byte, 1000)
		n, err := daemon.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		pattern := "^" + test.want + `.* dmqnode\[\d+\]: \[dmqnode.main\] - two\\nlines\n$`
		if got := string(packet[:n]); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("got %q, want %s", got, pattern)
		}
	}
	if got, want := l.counted(), (Counts{Trace: 1, Info: 1, Warn: 1, Error: 1, Fatal: 1}); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}

func TestSyslogIsConnectedToWithTheFirstMessageAndFailuresReportedOnce(t *testing.T) {
	var s screen
	dialled := 0
	l := withSyslog(t, &s, func() (*syslog.Writer, error) {
		dialled++
		return nil, errors.New("no daemon")
	})
	if dialled != 0 {
		t.Errorf("dialled %d times at start, want 0", dialled)
	}
	for range 3 {
		l.Logger("x").Info("lost")
	}
	l.Flush()
	if dialled != 3 {
		t.Errorf("dialled %d times for 3 messages, want 3", dialled)
	}
	expect(t, "stderr", s.err.String(),
		"Error [dmqnode.logging] - messages to syslog are lost until it works again: no daemon\n")
	if got := l.counted(); got.Info != 0 {
		t.Errorf("counts: got %+v, want no Info", got)
	}
}

func TestSyslogDoesNotReconnectAfterClose(t *testing.T) {
	s := &syslogWriter{dial: func() (*syslog.Writer, error) {
		t.Error("dialled after close")
		return nil, errors.New("no daemon")
	}}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := s.writeLine(0, []byte("late\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got error %v, want %v", err, os.ErrClosed)
	}
}
