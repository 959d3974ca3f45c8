package logging

import (
	"log/syslog"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap/zapcore"
)

// syslogWriter sends to the local syslog daemon, facility user, tagged with the program's
// name. It connects with the first message and again whenever the connection is lost.
type syslogWriter struct {
	dial func() (*syslog.Writer, error)

	mu     sync.Mutex
	conn   *syslog.Writer // nil = not connected yet
	closed bool
}

func newSyslogWriter() *syslogWriter {
	return &syslogWriter{dial: func() (*syslog.Writer, error) {
		return syslog.New(syslog.LOG_USER|syslog.LOG_INFO, filepath.Base(os.Args[0]))
	}}
}

func (s *syslogWriter) writeLine(level zapcore.Level, line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	if s.conn == nil {
		conn, err := s.dial()
		if err != nil {
			return err
		}
		s.conn = conn
	}
	text := string(line)
	switch level {
	case zapcore.DebugLevel:
		return s.conn.Debug(text)
	case zapcore.InfoLevel:
		return s.conn.Info(text)
	case zapcore.WarnLevel:
		return s.conn.Warning(text)
	case zapcore.ErrorLevel:
		return s.conn.Err(text)
	default:
		return s.conn.Crit(text)
	}
}

func (s *syslogWriter) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
