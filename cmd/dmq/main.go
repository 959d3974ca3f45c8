// Command dmq pushes and pops records from the command line, and produces and consumes
// streams of them.
//
// main runs one command: command.go has what all have in common, each subcommand a file
// of its own. Standard output carries records and nothing else, so that it can be piped;
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
