//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var errOnLinux = errors.New("that works on Linux only, where the node runs: use dmq there")

func newCheck(*tool) *cobra.Command {
	return onLinux("check DIR", "Verify the data directory of a node")
}

func newExtract(*tool) *cobra.Command {
	return onLinux("extract FILE [ID]", "Make a dump of records that a node has set aside")
}

func newExport(*tool) *cobra.Command {
	return onLinux("export DIR", "Turn a data directory into the original node's formats")
}

func newWeb(*tool) *cobra.Command { return onLinux("web", "Show a whole DMQ in a browser") }

// onLinux is the command on other systems.
func onLinux(use, short string) *cobra.Command {
	return uses(&cobra.Command{
		Use: use, Short: short + " (on Linux)",
		Args: cobra.ArbitraryArgs, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return errOnLinux },
	})
}
