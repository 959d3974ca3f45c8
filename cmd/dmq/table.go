package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// table is rows of cells side by side.
type table struct {
	rows  [][]string
	right []bool // by column: figures, which have their ends one below the other
}

// newTable returns a table with these titles; > begins that of a column of figures.
func newTable(titles ...string) *table {
	t := &table{right: make([]bool, len(titles))}
	for i := range titles {
		titles[i], t.right[i] = strings.TrimPrefix(titles[i], ">"), strings.HasPrefix(titles[i], ">")
	}
	t.rows = [][]string{titles}
	return t
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(out io.Writer) error {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			blank := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(blank + cell + "  ")
			} else {
				line.WriteString(cell + blank + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// plain escapes what a terminal would obey: names come from the network.
func plain(name string) string {
	quoted := strconv.QuoteToGraphic(name)
	return quoted[1 : len(quoted)-1]
}

// age is how old something is, if it is there.
func age(seconds float64, there bool) string {
	if !there {
		return "-"
	}
	return figures.ShortAge(time.Duration(seconds * float64(time.Second)))
}
