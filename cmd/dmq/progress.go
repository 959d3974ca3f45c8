package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
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
	p.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(t.stderr),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(20),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	return p
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
