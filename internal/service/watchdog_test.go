package service

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// The watchdog is told nothing as long as the node does not live, and nothing once it stops.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	next := func() string {
		t.Helper()
		socket.SetReadDeadline(time.Now().Add(2 * time.Minute))
		message := make([]byte, 1000)
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return string(message[:n])
	}

	core, observed := observer.New(zapcore.ErrorLevel)
	m := NewManager(zap.New(core))
	var asked atomic.Int64
	m.Watch(func(context.Context) error {
		if asked.Add(1) < 3 {
			return errors.New("1 of 2 event loops do not answer")
		}
		return nil
	})
	if got := next(); got != "WATCHDOG=1" || asked.Load() < 3 {
		t.Errorf("got %q after %d questions, want the watchdog after 3", got, asked.Load())
	}
	if got := observed.FilterMessage("the service manager is not told that the node lives").Len(); got != 2 {
		t.Errorf("got %d errors in the log, want 2", got)
	}
	m.Stopping("saving")
	last := asked.Load()
	for got := next(); got != "STOPPING=1\nSTATUS=saving"; got = next() {
		if got != "WATCHDOG=1" {
			t.Errorf("got %q, want the watchdog or the end", got)
		}
	}
	if asked.Load() != last {
		t.Error("the node is still watched when it stops")
	}
}

// Without a service manager nothing happens.
func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	core, observed := observer.New(zapcore.DebugLevel)
	m := NewManager(zap.New(core))
	m.Ready("listening")
	m.Watch(func(context.Context) error { t.Error("asked"); return nil })
	m.Reloading()
	m.Stopping("saving")
	if observed.Len() > 0 {
		t.Errorf("got log %v", observed.All())
	}
}

// A manager that is not there is told of once.
func TestManagerThatIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	core, observed := observer.New(zapcore.DebugLevel)
	m := NewManager(zap.New(core))
	m.Status("loading")
	m.Ready("listening")
	if observed.Len() != 1 || observed.All()[0].Message != "the service manager cannot be told how the node is" {
		t.Errorf("got log %v, want one warning", observed.All())
	}
}
