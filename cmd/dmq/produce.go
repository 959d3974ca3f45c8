package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

func newProduce(conn *connection) *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:   "produce CHANNEL",
		Short: "Append the lines of standard input to a channel",
		Long: `Produce appends each line of standard input, without its newline, as a record to CHANNEL.
Lines are sent when the input pauses, if not earlier. At its end, or at Ctrl-C, produce
waits until the node has stored all records, and says how many.

Empty lines are skipped, since the legacy protocol has no empty records.`,
		Example: `  tail -f access.log | dmq produce hits
  dmq produce jobs < jobs.txt
  dmq produce pictures --whole < 17.png`,
		Args: exactlyChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			return produce(cmd.Context(), conn, args[0], whole, cmd.InOrStdin(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&whole, "whole", false, "all of standard input is one record")
	return cmd
}

func produce(ctx context.Context, conn *connection, channel string, whole bool, stdin io.Reader, stderr io.Writer) error {
	client, err := conn.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	stream, cancel := outlasting(ctx, conn.timeout)
	defer cancel()
	producer, err := client.Produce(stream, channel)
	if err != nil {
		return err
	}

	var done produced
	if whole {
		done, err = produceWhole(ctx, producer, stdin)
	} else {
		done, err = produceLines(ctx, producer, stdin)
	}
	if unconfirmed := producer.Close(); unconfirmed != nil {
		return unconfirmed
	}
	fmt.Fprintf(stderr, "dmq: %v\n", done)
	return err
}

// outlasting returns a context that ends some time after ctx, for what then has to be
// brought to an end.
func outlasting(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return longer, cancel
}

// produced counts what happened to the lines.
type produced struct{ records, empty int }

func (p produced) String() string {
	if p.empty == 0 {
		return fmt.Sprintf("records stored: %d", p.records)
	}
	return fmt.Sprintf("records stored: %d, empty lines skipped: %d", p.records, p.empty)
}

func produceWhole(ctx context.Context, producer *legacy.Producer, stdin io.Reader) (done produced, err error) {
	record, err := readRecord(ctx, stdin)
	if err != nil {
		return done, err
	}
	if err := producer.Write(record); err != nil {
		return done, err
	}
	done.records = 1
	return done, nil
}

func produceLines(ctx context.Context, producer *legacy.Producer, stdin io.Reader) (done produced, err error) {
	input := lineReader{Reader: bufio.NewReader(&flushBeforeRead{producer, interruptible(ctx, stdin)})}
	for {
		line, err := input.next()
		switch {
		case err == io.EOF:
			return done, nil
		case err != nil:
			return done, fmt.Errorf("standard input: %w", err)
		case len(line) == 0:
			done.empty++
			continue
		}
		if err := producer.Write(line); err != nil {
			return done, fmt.Errorf("line %d: %w", done.records+done.empty+1, err)
		}
		done.records++
	}
}

// flushBeforeRead sends what has been produced before it waits for more input.
type flushBeforeRead struct {
	producer *legacy.Producer
	io.Reader
}

func (f *flushBeforeRead) Read(b []byte) (int, error) {
	if err := f.producer.Flush(); err != nil {
		return 0, err
	}
	return f.Reader.Read(b)
}

// lineReader reads lines of any length up to that of a record.
type lineReader struct {
	*bufio.Reader
	long []byte // of a line that does not fit into the buffer, what is out of it
}

// next returns a line without its newline, which the last one may lack, or an error:
// io.EOF at the end. It is valid until the next call. Of a line that is too long for a
// record it returns so much that this shows.
func (r *lineReader) next() ([]byte, error) {
	r.long = r.long[:0]
	for {
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull || len(r.long) > 0 {
			r.long = append(r.long, line...)
			line = r.long
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= legacy.MaxValue:
			continue
		case errors.Is(err, bufio.ErrBufferFull), err == io.EOF && len(line) > 0:
			return line, nil
		}
		return nil, err
	}
}
