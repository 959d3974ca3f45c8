package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// recordFormat says how records are printed, but for --json.
type recordFormat struct {
	raw      bool
	prefixed bool
}

func (f *recordFormat) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.raw, "raw", false, "print records as they are, with no newline after them")
	cmd.Flags().BoolVar(&f.prefixed, "length-prefixed", false, "print the length in front of each record, 8 bytes little-endian")
	cmd.MarkFlagsMutuallyExclusive("raw", "length-prefixed")
}

// printer prints records to standard output. Errors show in flush.
type printer struct {
	*bufio.Writer
	print func(queue.Record)
}

// newPrinter returns the printer for the format that was asked for.
func (t *tool) newPrinter(format recordFormat) *printer {
	p := &printer{Writer: bufio.NewWriterSize(t.stdout, 64<<10)}
	switch {
	case t.json:
		out := json.NewEncoder(p)
		out.SetEscapeHTML(false)
		p.print = func(r queue.Record) { out.Encode(jsonRecord(r)) }
	case format.raw:
		p.print = func(r queue.Record) { p.Write(r.Value) }
	case format.prefixed:
		p.print = func(r queue.Record) {
			p.Write(binary.LittleEndian.AppendUint64(p.AvailableBuffer(), uint64(len(r.Value))))
			p.Write(r.Value)
		}
	case isTerminal(t.stdout):
		p.print = func(r queue.Record) {
			p.Write(visible(p.AvailableBuffer(), r.Value))
			p.WriteByte('\n')
		}
	default:
		p.print = func(r queue.Record) {
			p.Write(r.Value)
			p.WriteByte('\n')
		}
	}
	return p
}

func (p *printer) flush() error {
	if err := p.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// recordJSON is a record as --json prints it: one of value and base64 is there.
type recordJSON struct {
	Value  *string `json:"value,omitempty"`  // if it is UTF-8
	Base64 []byte  `json:"base64,omitempty"` // if it is not
	Node   string  `json:"node,omitempty"`
}

func jsonRecord(r queue.Record) recordJSON {
	if utf8.Valid(r.Value) {
		text := string(r.Value)
		return recordJSON{Value: &text, Node: r.Node}
	}
	return recordJSON{Base64: r.Value, Node: r.Node}
}

// visible appends a record for a terminal: what a terminal would obey, or could not show,
// is escaped as in a Go string. Tabs and newlines stay.
func visible(b, record []byte) []byte {
	for len(record) > 0 {
		r, size := utf8.DecodeRune(record)
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, record[0])
		case r == '\t' || r == '\n' || unicode.IsPrint(r):
			b = append(b, record[:size]...)
		default:
			quoted := strconv.AppendQuoteRune(nil, r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		record = record[size:]
	}
	return b
}

// isTerminal tells whether a person watches.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// counted says how many there are of something.
func counted[N int | int64 | uint64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

var errNegative = errors.New("want 0 or more")
