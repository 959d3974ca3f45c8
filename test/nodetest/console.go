package nodetest

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// console collects the lines that a node writes to its standard output and error.
// Its methods may be called from any goroutine.
type console struct {
	mu      sync.Mutex
	lines   []string
	closed  bool
	changed chan struct{} // closed and replaced at every change
}

func newConsole() *console { return &console{changed: make(chan struct{})} }

// collect reads lines until the writers of r are gone.
func (c *console) collect(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		c.change(func() { c.lines = append(c.lines, scanner.Text()) })
	}
	c.change(func() { c.closed = true })
	io.Copy(io.Discard, r) // after a line over 1 MiB: never block the node
}

func (c *console) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait returns the submatches of the first line that matches, waiting for it as long as
// the console is open, at most for the timeout.
func (c *console) wait(pattern *regexp.Regexp, timeout time.Duration) ([]string, error) {
	deadline := time.After(timeout)
	for seen := 0; ; {
		c.mu.Lock()
		lines, closed, changed := c.lines, c.closed, c.changed
		c.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if match := pattern.FindStringSubmatch(lines[seen]); match != nil {
				return match, nil
			}
		}
		if closed {
			return nil, fmt.Errorf("the node ended without a console line matching %q", pattern)
		}
		select {
		case <-changed:
		case <-deadline:
			return nil, fmt.Errorf("no console line matching %q within %v", pattern, timeout)
		}
	}
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}
