package overflow

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// After each operation that changes a file, a crash must leave exactly what was published.
func TestNothingPublishedIsLostByACrashAtAnyPoint(t *testing.T) {
	for seed := range rounds(25) {
		m := newModel(t, seed, newMemDir())
		watch := func() { m.dir.after = m.checkAll }
		watch()
		for range 300 {
			if err := m.step(); err != nil {
				m.fatal("seed %d: %v", seed, err)
			}
			switch m.rand.IntN(60) {
			case 0:
				m.crash()
				watch()
			case 1:
				m.restart()
			case 2, 3, 4:
				m.publishAll()
			}
		}
		m.settle()
	}
}

// Any operation on files can fail, with a part of a transfer done. What fails is an error
// and changes nothing; what is in the queues stays; when the operations work again,
// everything does.
func TestFailingOperationsHarmNothing(t *testing.T) {
	for seed := range rounds(60) {
		m := newModel(t, seed, newMemDir())
		failures := 0
		for range 600 {
			m.dir.fault = nil
			if m.rand.IntN(2) == 0 {
				m.dir.fault = func(operation, name string) error {
					if m.rand.IntN(3) > 0 {
						return nil
					}
					failures++
					m.note("  %s %s fails", operation, name)
					return fmt.Errorf("%s %s: %w", operation, name, unix.EIO)
				}
			}
			err := m.step()
			if err != nil && !errors.Is(err, unix.EIO) {
				m.fatal("seed %d: %v", seed, err)
			}
			if err != nil || m.rand.IntN(20) == 0 {
				m.checkAll()
			}
			switch m.rand.IntN(60) {
			case 0:
				m.publishAll()
				m.stopFaulty()
			case 1:
				m.crash()
			case 2, 3, 4:
				m.publishAll()
			}
		}
		m.dir.fault = nil
		m.settle()
		if failures < 20 {
			t.Errorf("seed %d: only %d operations failed", seed, failures)
		}
	}
}

// stopFaulty stops and starts again. If the stop fails, the owner still has its States; if
// the start fails, it is tried again.
func (m *model) stopFaulty() {
	m.note("stop")
	fault := m.dir.fault
	if err := m.file.Close(); err != nil {
		m.note("  close: %v", err)
		m.crash()
		return
	}
	m.stopped = true
	var entries []Entry
	for {
		m.checkAll()
		var err error
		if entries, err = Recover(m.dir, m.logs); err == nil {
			break
		}
		m.note("  recover: %v", err)
	}
	m.owner, m.stopped = publishedEntries(entries), false
	for {
		f, _, err := m.owner.open(m.dir, m.logs)
		if err == nil {
			f.Abandon()
			break
		}
		m.note("  open: %v", err)
		m.checkAll()
	}
	m.dir.fault = nil
	m.reopen()
	m.dir.fault = fault
}
