// Package console draws the state of the node on the terminal that it runs on, in a `screen`
// session for example ([Stats] console_stats_enabled, operations spec §9).
//
//	stats.Reading ─ every second ─▶ view ─▶ frame ─┐
//	log lines ────────────────────▶ waiting ───────┴▶ painter ─▶ one write(2) to the terminal
//
// The display is a block of lines that is drawn over itself; log lines that go to the console
// appear above it and scroll away. The cursor waits on the line below the block, so whatever
// else is written to the terminal, also after a kill, starts on a line of its own. Plain ANSI
// sequences do: move the cursor, erase, colour. No mode of the terminal is changed but the echo of
// input, which would tear the block; Close turns it on again.
//
// One goroutine writes to the terminal and nobody waits for it. While the terminal takes
// nothing (Ctrl-S) that goroutine does, log lines wait in a bounded queue and are left out when
// it is full. A terminal that is gone is left alone from then on.
//
// As a background job of a shell the node does not draw, and it does when it is in the
// foreground again.
//
// The package imports stats and storage for the figures it shows; it reads them and resets
// nothing.
package console

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

const (
	// period is the time between two readings of the figures.
	period = time.Second
	// maxWaiting is how many bytes of log lines may wait for the terminal.
	maxWaiting = 256 << 10
	// closeTimeout is how long Close waits for a terminal that takes nothing.
	closeTimeout = time.Second
)

// Console is the display on a terminal. Its methods may be called from any goroutine. A nil
// Console is none: there is nothing to Show, Freeze or Close.
type Console struct {
	terminal *tty
	style    style

	reading sync.Mutex           // held while the figures are read; no log line waits for it
	read    func() stats.Reading // nil = there is nothing to show

	mu      sync.Mutex
	waiting []string // log lines
	bytes   int      // in waiting
	skipped int      // log lines that were left out
	failure error    // of the terminal

	signals chan os.Signal
	wake    chan struct{} // there are log lines, or there is something to show
	stop    chan struct{}
	stopped chan struct{}
}

// Open takes over the terminal that out is, or returns nil if it is none that can be drawn on.
// Nothing is drawn before Show, but log lines may be written.
func Open(out *os.File) *Console { return openEvery(period, out) }

func openEvery(period time.Duration, out *os.File) *Console {
	if !drawable(out) {
		return nil
	}
	c := &Console{
		terminal: &tty{file: out},
		style:    styleOf(os.Getenv),
		signals:  make(chan os.Signal, 16),
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	signal.Notify(c.signals, syscall.SIGWINCH, syscall.SIGCONT)
	go c.run(period)
	return c
}

// Show draws, from now on, what read returns. It is called once a second, from another
// goroutine.
func (c *Console) Show(read func() stats.Reading) {
	if c == nil {
		return
	}
	c.reading.Lock()
	c.read = read
	c.reading.Unlock()
	c.wakeUp()
}

// Freeze leaves the latest figures on the terminal. When it returns, read is not called any
// more. Log lines still appear.
func (c *Console) Freeze() {
	if c == nil {
		return
	}
	c.reading.Lock()
	c.read = nil
	c.reading.Unlock()
}

// Close writes what waits and gives the terminal back. It waits a second at most.
func (c *Console) Close() {
	if c == nil {
		return
	}
	signal.Stop(c.signals)
	close(c.stop)
	select {
	case <-c.stopped:
	case <-time.After(closeTimeout):
	}
	c.terminal.restore()
}

// Write adds lines for the terminal, each with its LF. It does not wait for the terminal; the
// error is that of an earlier line.
func (c *Console) Write(text []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return 0, c.failure
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		if c.bytes+len(line) > maxWaiting {
			c.skipped++
			continue
		}
		c.waiting = append(c.waiting, line)
		c.bytes += len(line)
	}
	c.wakeUp()
	return len(text), nil
}

// Over returns the Console itself if f is its terminal, too, else f: what is written to the
// same terminal has to go the same way.
func (c *Console) Over(f *os.File) io.Writer {
	if c.terminal.is(f) {
		return c
	}
	return f
}

func (c *Console) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run is the only goroutine that writes to the terminal.
func (c *Console) run(period time.Duration) {
	defer close(c.stopped)
	tick := time.NewTicker(period)
	defer tick.Stop()
	var d drawing
	for last := false; !last; {
		look := d.view == nil
		select {
		case <-tick.C:
			look = true
		case s := <-c.signals:
			d.resumed = d.resumed || s == syscall.SIGCONT
		case <-c.wake:
		case <-c.stop:
			last = true
		}
		if look {
			c.look(&d)
		}
		if err := c.draw(&d); err != nil {
			c.mu.Lock()
			c.failure, c.waiting = err, nil
			c.mu.Unlock()
			return
		}
	}
}

// drawing is the state of run.
type drawing struct {
	rates   rates
	view    *view // nil = nothing to show yet
	painter painter
	resumed bool // the process was stopped: others may have used the terminal
	buffer  []byte
}

// look reads the figures.
func (c *Console) look(d *drawing) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.read != nil {
		d.view = d.rates.view(c.read())
	}
}

// draw writes log lines and the block.
func (c *Console) draw(d *drawing) error {
	lines := c.take()
	if d.resumed {
		d.resumed = false
		d.painter.forget()
	}
	var block func(cols, rows int) []string
	if d.view != nil && c.terminal.foreground() {
		c.terminal.silence()
		block = func(cols, rows int) []string { return frame(d.view, c.style, cols, rows) }
	}
	cols, rows := c.terminal.size()
	d.buffer = d.painter.paint(d.buffer[:0], cols, rows, lines, block)
	_, err := c.terminal.file.Write(d.buffer)
	return err
}

// take returns the log lines that wait.
func (c *Console) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.waiting
	if c.skipped > 0 {
		lines = append(lines, c.style.ellipsis+" "+figures.Count(uint64(c.skipped))+" lines are left out, the terminal did not take them")
	}
	c.waiting, c.bytes, c.skipped = nil, 0, 0
	return lines
}
