package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

const (
	defaultAddress = "127.0.0.1:10000"
	addressEnv     = "DMQ_ADDRESS"
)

const rootHelp = `dmq pushes and pops records of a DMQ node, and produces and consumes streams. It verifies
the data directory of a node, and recovers records that a node has set aside.

Records and reports go to standard output, everything else to standard error.
The node is asked over the legacy protocol. Its address is that of --address, else of
the environment variable DMQ_ADDRESS, else ` + defaultAddress + `.

A channel is named by 1 to 251 of the characters A-Z a-z 0-9 _ -. A record has 1 byte to
10 MiB, any bytes. Pushing to a channel creates it.

Exit status:
    0  everything asked for was done
    1  an error; what to do is said on standard error
    2  wrong usage; of check also: not everything could be checked
    3  there was no record, or there were fewer than asked for
  130  interrupted (Ctrl-C, SIGTERM) before the work was done`

// connection is how a command reaches the node.
type connection struct {
	address string
	timeout time.Duration
}

// run executes one command line and returns its exit status. The end of ctx interrupts
// it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	started := false // so that errors before it are errors of usage
	root := newRoot()
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = &usageError{cmd.CommandPath(), err}
	}
	if err != nil {
		fmt.Fprintf(stderr, "dmq: %v\n", describe(err))
	}
	return exitStatus(err)
}

func newRoot() *cobra.Command {
	var conn connection
	root := &cobra.Command{
		Use:           "dmq",
		Short:         "Push, pop, produce and consume records of a DMQ",
		Long:          rootHelp,
		Version:       fmt.Sprintf("%s (built %s)", version, buildDate),
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	address := os.Getenv(addressEnv)
	if address == "" {
		address = defaultAddress
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&conn.address, "address", "a", address, "`host:port` of the node's legacy protocol, env "+addressEnv)
	flags.DurationVar(&conn.timeout, "timeout", 10*time.Second, "longest wait for connecting and for an answer")
	root.AddCommand(newPush(&conn), newPop(&conn), newProduce(&conn), newConsume(&conn), newRemove(&conn))
	root.AddCommand(newCheck(), newExtract())
	return root
}

// dial connects to the node.
func (c *connection) dial(ctx context.Context) (*legacy.Client, error) {
	if c.timeout <= 0 {
		return nil, &usageError{"dmq", fmt.Errorf("--timeout %v: want more than 0", c.timeout)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return legacy.Dial(ctx, c.address)
}

// request runs a request that has to be answered in time.
func (c *connection) request(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return do(ctx)
}

// exactlyChannel is the check of the arguments of commands with a CHANNEL alone.
func exactlyChannel(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs exactly a CHANNEL, but has %d arguments", cmd.Name(), len(args))
	}
	return nil
}
