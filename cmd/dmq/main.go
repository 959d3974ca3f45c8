// Command dmq is the client tool of a DMQ: for single records, for streams, for looking after
// nodes and for measuring them.
//
// main runs one command: command.go has what all have in common, settings.go where their
// settings come from, connect.go how they get at a DMQ, ask.go at single nodes and at the person
// who has to confirm, help.go how they explain themselves, complete.go what shells complete,
// exit.go what their errors mean, print.go and output.go how they print records, table.go all
// else, progress.go and waiting.go what a person sees meanwhile, visit.go how a consumer leaves no
// trace; the subcommands have files of their own.
//
//	internal/queue       a DMQ over either protocol, on the client packages
//	internal/recordfile  the file of drain and load
//	internal/bench       the load of bench
//	internal/top         metrics of nodes, and how top shows them
//	internal/ping        the steps of getting an answer from a node
//	internal/manpage     the manual page, from the commands
//
// Standard output carries records and reports and nothing else, so that it can be piped;
// everything said to a person goes to standard error.
//
// A first SIGINT or SIGTERM ends the context of the command, which then ends in order; a
// second one kills the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker.
var (
	version   = "unknown"
	buildDate = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
