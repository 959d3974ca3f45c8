package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/manpage"
)

//go:generate sh -c "go run . man > ../../deploy/man/dmq.1"

// newMan prints the manual page, which is in the repository as deploy/man/dmq.1.
func newMan() *cobra.Command {
	return uses(&cobra.Command{
		Use:    "man",
		Short:  "Print the manual page",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(manpage.Page(cmd.Root())); err != nil {
				return fmt.Errorf("standard output: %w", err)
			}
			return nil
		},
	})
}
