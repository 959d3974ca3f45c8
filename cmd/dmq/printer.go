package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"
)

// printer prints records to standard output. Errors show in flush.
type printer struct {
	*bufio.Writer
	raw bool
}

func addRawFlag(cmd *cobra.Command, raw *bool) {
	cmd.Flags().BoolVar(raw, "raw", false, "print no newline after a record")
}

func (p printer) print(record []byte) {
	p.Write(record)
	if !p.raw {
		p.WriteByte('\n')
	}
}

func (p printer) flush() error {
	if err := p.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
