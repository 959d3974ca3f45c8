//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/export"
)

func newExport(t *tool) *cobra.Command {
	var ringDir string
	var limit uint64
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Turn a data directory into the original node's formats",
		Long: `Export turns DIR, the data directory of a stopped node that has left its
records in ring files ([Storage] stop = keep, or it was killed), into the
dumps and the overflow that the original node loads. A node of this version
loads them, too. DIR must have room for another copy of the records. Run it as
the user of the node, who has to read the files, and after 'dmq check': what
is damaged is lost to both, and only named.

An original node refuses a dump that is larger than its channel_size_limit.
Without --limit a dump is as large as the records in the ring of a queue, which
had the channel_size_limit of the node that was stopped; with --limit, what is
more goes to the overflow. The smallest limit with which DIR can be loaded is
told at the end.

After an error all records are where they were. DIR is not changed if a node
runs in it or there is no room.

Exit status:
    0  DIR has the formats of the original node, also if it had before
    1  an error: a node runs, there is no room, a file is missing
    2  wrong usage, also a DIR that is no data directory
  130  interrupted (Ctrl-C, SIGTERM); the next start, or export, goes on`,
		Example: `  dmq export /srv/dmqnode/dmqnode-1/data
  dmq export data --limit 10000000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("export needs exactly a DIR, but has %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return untilInterrupted(cmd.Context(), func() error {
				defer t.waiting("for the disk: exporting %s", args[0])()
				if err := checkDataDir(args[0]); err != nil {
					return err
				}
				core := zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
					MessageKey: "message", LevelKey: "level", EncodeLevel: zapcore.LowercaseLevelEncoder,
				}), zapcore.Lock(zapcore.AddSync(cmd.ErrOrStderr())), zapcore.WarnLevel)
				result, err := export.Directory(export.Options{
					Dir: args[0], RingDir: ringDir, Limit: limit,
					Logs: func(string) *zap.Logger { return zap.New(core) },
				})
				switch {
				case errors.Is(err, export.ErrNothing):
					fmt.Fprintf(cmd.ErrOrStderr(), "dmq: %v: nothing is to be exported\n", err)
					return nil
				case err != nil:
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "dmq: exported %d records of %d bytes; an original node needs a channel_size_limit of at least %d\n",
					result.Records, result.Bytes, result.Limit)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&ringDir, "ring-dir", "", "`directory` of the ring files, if [Storage] ring_dir is set")
	cmd.Flags().Uint64Var(&limit, "limit", 0, "channel_size_limit of the original node in `BYTES`")
	return uses(cmd, "quiet")
}
