//go:build !linux

package main

import (
	"errors"
	"runtime"

	"github.com/spf13/cobra"
)

// Data directories are read with the means of the node, which runs on Linux.

func newCheck(*tool) *cobra.Command {
	return notHere("check DIR", "Verify the data directory of a node")
}

func newExtract() *cobra.Command {
	return notHere("extract FILE [ID]", "Make a dump of records that a node has set aside")
}

// notHere is a command that says so.
func notHere(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short + " (on Linux only)", RunE: func(cmd *cobra.Command, _ []string) error {
		return errors.New(cmd.Name() + " works on Linux only, where nodes run; this is " + runtime.GOOS + ": run it there")
	}}
}
