// Package service speaks with the service manager that runs the node, systemd: it takes over the
// sockets that the manager listens on (socket activation), and tells it how the node is
// (sd_notify): loading, ready, reloading, stopping, and, if there is a watchdog, that it lives.
//
//	manager ─ LISTEN_FDS ─────▶ Inherited
//	        ◀─ NOTIFY_SOCKET ── Manager
//
// Without a manager there are no sockets to take, and to tell does nothing. Nothing here waits
// for the manager but for the one datagram to be taken by the kernel.
package service

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// Manager is told how the node is. Use NewManager.
type Manager struct {
	log    *zap.Logger
	failed sync.Once // only the first failure is logged

	quit chan struct{} // ends the watchdog
	done sync.WaitGroup
}

// NewManager returns the manager that has started this process, if there is one.
func NewManager(log *zap.Logger) *Manager {
	return &Manager{log: log, quit: make(chan struct{})}
}

// Status tells in words what the node is doing; `systemctl status` shows it.
func (m *Manager) Status(words string) { m.tell("STATUS=" + words) }

// Ready tells that clients are served.
func (m *Manager) Ready(words string) { m.tell(daemon.SdNotifyReady + "\nSTATUS=" + words) }

// Reloading tells that log files are being reopened; Ready is to follow.
func (m *Manager) Reloading() {
	m.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping tells that the node ends, and ends the watchdog: the manager has a time-out of its own
// for a stop.
func (m *Manager) Stopping(words string) {
	close(m.quit)
	m.done.Wait()
	m.tell(daemon.SdNotifyStopping + "\nSTATUS=" + words)
}

// Watch tells the manager from now on that the node lives, as long as alive says so, if the
// manager wants to know: one that does not hear it ends the process and starts it again.
func (m *Manager) Watch(alive func(context.Context) error) {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the watchdog of the service manager is not served", zap.Error(err))
	}
	if period <= 0 {
		return
	}
	m.done.Go(func() { m.watch(period, alive) })
}

func (m *Manager) watch(period time.Duration, alive func(context.Context) error) {
	ticker := time.NewTicker(period / 4)
	defer ticker.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), period/4)
		err := alive(ctx)
		cancel()
		if err != nil {
			m.log.Error("the service manager is not told that the node lives", zap.Duration("watchdog", period), zap.Error(err))
			continue
		}
		m.tell(daemon.SdNotifyWatchdog)
	}
}

func (m *Manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.failed.Do(func() { m.log.Warn("the service manager cannot be told how the node is", zap.Error(err)) })
	}
}
