package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows a person how far something is that takes long; without a terminal it shows
// nothing.
type progress struct {
	tool    *tool
	bar     *progressbar.ProgressBar // nil: nobody to show it to
	what    string
	records int64
}

// newProgress begins to show something that will be total bytes long, -1 if that is not
// known. end removes it from the screen.
func (t *tool) newProgress(what string, total int64) *progress {
	bar := t.newBar(total, progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(!isNarrow(t.stderr)))
	return &progress{tool: t, bar: bar, what: what}
}

// newBar returns a bar that fits the terminal, and shares it with what is told; nil if there
// is nobody to show it to.
func (t *tool) newBar(total int64, options ...progressbar.Option) *progressbar.ProgressBar {
	if t.quiet || t.json || !isTerminal(t.stderr) || !canDraw() {
		return nil
	}
	options = append(options,
		progressbar.OptionSetWriter(t.stderr),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	if isNarrow(t.stderr) {
		options = append(options, progressbar.OptionSetWidth(4),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	}
	t.telling.Lock()
	defer t.telling.Unlock()
	t.bar = progressbar.NewOptions64(total, options...)
	return t.bar
}

// endBar removes the bar from the screen.
func (t *tool) endBar() {
	t.telling.Lock()
	defer t.telling.Unlock()
	if t.bar != nil {
		t.bar.Exit()
		eraseLine(t.stderr)
		t.bar = nil
	}
}

// canDraw tells whether the terminal is one that can be drawn on.
func canDraw() bool {
	kind := os.Getenv("TERM")
	return kind != "" && kind != "dumb"
}

// terminalWidth returns how many columns a terminal has.
func terminalWidth(terminal io.Writer) int {
	if file, ok := terminal.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// isNarrow tells that a terminal has no room for a line with everything.
func isNarrow(terminal io.Writer) bool { return terminalWidth(terminal) < 78 }

// eraseLine removes the line that is being written to, also what the terminal has echoed into
// it, as ^C.
func eraseLine(terminal io.Writer) {
	fmt.Fprintf(terminal, "\r%s\r", strings.Repeat(" ", terminalWidth(terminal)-1))
}

// add counts a record that took so many bytes of the whole.
func (p *progress) add(bytes int) {
	p.records++
	if p.bar == nil {
		return
	}
	p.tool.telling.Lock()
	defer p.tool.telling.Unlock()
	if p.records%64 == 0 {
		p.bar.Describe(p.what + " " + counted(p.records, "record", "records"))
	}
	p.bar.Add(bytes)
}

func (p *progress) end() { p.tool.endBar() }

// sizeOf returns how many bytes there are to read, -1 if that can't be known.
func sizeOf(in io.Reader) int64 {
	file, ok := in.(*os.File)
	if !ok {
		return -1
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	return info.Size()
}
