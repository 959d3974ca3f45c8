//go:build linux

package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	datadir "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/check"
)

func newExtract(t *tool) *cobra.Command {
	return uses(&cobra.Command{
		Use:   "extract FILE [ID]",
		Short: "Make a dump of records that a node has set aside",
		Long: `Extract reads a FILE of a stopped node, or one that it has set aside, and
changes nothing in it: overflow records, overflow-aside-N.dat or overflow.dat,
a dump, or a ring file, ring-N-aside.dat or spill-N-aside.dat. It writes the
records that are intact to standard output, as a dump. In the data directory
of a stopped node, under the name of a storage with .rq, that is loaded by the
next start.

The overflow has records of many storages, and knows them by number. ID is that
of the wanted one; without it, extract lists them and which names are known.
Those without a name may have been consumed, or belong to a channel that was
removed: look before you deliver them. Of a damaged dump, STORAGE.rq-aside, the
node has loaded the intact records when it set the file aside: loading them
once more would deliver them twice. So it is with a ring file of which extract
says that it does not tell which records are not delivered.

Exit status:
    0  everything there was has been written
    1  the file is damaged and the intact records have been written, or an error
    2  wrong usage, also an ID that is not in FILE
  130  interrupted (Ctrl-C, SIGTERM)`,
		Example: `  dmq extract data/overflow-aside-1.dat
  dmq extract data/overflow-aside-1.dat 17 > data/billing@orders.rq`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return fmt.Errorf("extract needs a FILE, and an ID at most, but has %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var id uint64
			if len(args) == 2 {
				var err error
				if id, err = strconv.ParseUint(args[1], 10, 32); err != nil || id == 0 {
					return &usageError{cmd.CommandPath(), fmt.Errorf("ID %q: want 1 to 4294967295", args[1])}
				}
			}
			return untilInterrupted(cmd.Context(), func() error {
				defer t.waiting("for the disk: reading %s", args[0])()
				written, damage, err := datadir.Extract(args[0], uint32(id), cmd.OutOrStdout())
				switch {
				case errors.Is(err, datadir.ErrWhich):
					return &usageError{cmd.CommandPath(), err}
				case err != nil:
					return err
				}
				t.say("%v", written)
				if damage != "" {
					return errors.New(damage)
				}
				return nil
			})
		},
	}, "quiet")
}
