package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows a person how far something is that takes long; without a terminal it shows
// nothing.
type progress struct {
	bar     *progressbar.ProgressBar // nil: nobody to show it to
	what    string
	records int64
}

// newProgress begins to show something that will be total bytes long, -1 if that is not
// known. end removes it from the screen.
func (t *tool) newProgress(what string, total int64) *progress {
	p := &progress{what: what}
	if t.quiet || t.json || !isTerminal(t.stderr) {
		return p
	}
	p.bar = newBar(t.stderr, total, progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(!isNarrow(t.stderr)))
	return p
}

// newBar returns a bar that fits the terminal.
func newBar(terminal io.Writer, total int64, options ...progressbar.Option) *progressbar.ProgressBar {
	options = append(options,
		progressbar.OptionSetWriter(terminal),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	if isNarrow(terminal) {
		options = append(options, progressbar.OptionSetWidth(4),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	}
	return progressbar.NewOptions64(total, options...)
}

// isNarrow tells that a terminal has no room for a line with everything.
func isNarrow(terminal io.Writer) bool {
	file, ok := terminal.(*os.File)
	if !ok {
		return false
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	return err == nil && columns < 78
}

// add counts a record that took so many bytes of the whole.
func (p *progress) add(bytes int) {
	p.records++
	if p.bar == nil {
		return
	}
	if p.records%64 == 0 {
		p.bar.Describe(p.what + " " + counted(p.records, "record", "records"))
	}
	p.bar.Add(bytes)
}

func (p *progress) end() {
	if p.bar != nil {
		p.bar.Clear()
		p.bar.Exit()
	}
}

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
