//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	datadir "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/check"
)

func newCheck(t *tool) *cobra.Command {
	var ringDir string
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Verify the data directory of a node",
		Long: `Check verifies DIR, the data directory of a node of this version or of an
original one, and changes nothing in it. It prints the storages with their
records, and every fault that it finds: where, what it means for the next
start, and what to do. It says whether the node was stopped cleanly, was
killed, or is running, and what the next start deletes or sets aside. Bytes
are those of payloads; "memory" is what is in dumps and rings, "overflow" what
is in spill files or the overflow of an original node.

An empty directory is that of a node without records; one that has other files
than those of a node is an error that names the likely one.

Of a running node of this version the numbers are a snapshot, and the files it
is writing are not verified. An original node must not be running.

Exit status:
    0  all is well
    1  there are faults
    2  wrong usage, also a DIR that is no data directory; or DIR or a file in it
       could not be read
  130  interrupted (Ctrl-C, SIGTERM)`,
		Example: `  dmq check /srv/dmqnode/dmqnode-1/data
  dmq check data --json | jq .totals.total.records`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("check needs exactly a DIR, but has %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return untilInterrupted(cmd.Context(), func() error {
				defer t.waiting("for the disk: reading %s", args[0])()
				if err := checkDataDir(args[0]); err != nil {
					return err
				}
				if ringDir == "" {
					if ringDir = configuredRings(args[0]); ringDir != "" {
						t.say("ring files are those in %s, as [Storage] ring_dir of the instance says", ringDir)
					}
				}
				report, err := datadir.Directory(args[0], ringDir)
				if err != nil {
					return fmt.Errorf("%w: %w", errUnchecked, err)
				}
				return printReport(report, t.json, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().StringVar(&ringDir, "ring-dir", "", "`directory` of the ring files, if not as etc/config.ini beside DIR says")
	return uses(cmd, "json", "quiet")
}

func printReport(report *datadir.Report, asJSON bool, stdout io.Writer) error {
	var err error
	if asJSON {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		err = out.Encode(report)
	} else {
		err = report.WriteText(stdout)
	}
	switch {
	case err != nil:
		return fmt.Errorf("standard output: %w", err)
	case len(report.Incomplete) > 0:
		return fmt.Errorf("%s: %w", report.Directory, errUnchecked)
	case len(report.Faults) > 0:
		return fmt.Errorf("%s: %w: %d", report.Directory, errFaults, len(report.Faults))
	}
	return nil
}
