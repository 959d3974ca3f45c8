package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

func newProduce(t *tool) *cobra.Command {
	var whole, prefixed bool
	cmd := &cobra.Command{
		Use:   "produce CHANNEL[,CHANNEL...] [FILE...]",
		Short: "Append lines, records or files to a channel",
		Long: `Produce appends each line of the FILEs, or of standard input, without its
newline, as a record to CHANNEL, or to several channels at once. The records
are spread over all nodes, many on their way at once. At the end, or at Ctrl-C,
produce waits until all are stored, and says how many.

Instead of lines, records can have their length in front, 8 bytes little-endian
(--length-prefixed, as 'dmq consume' prints it), or be whole FILEs (--whole).
The FILE - is standard input, which is sent when it pauses, if not earlier.

If the protocol is legacy, which has no empty records, empty lines and records
are skipped.`,
		Example: `  tail -f access.log | dmq produce hits
  dmq produce jobs jobs.txt
  dmq produce pictures --whole *.png
  dmq consume a --length-prefixed --follow | dmq produce b --length-prefixed`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("produce needs a CHANNEL")
			}
			return nil
		},
		ValidArgsFunction: t.filesAfterChannel,
		PreRunE: func(_ *cobra.Command, args []string) error {
			for _, file := range args[1:] { // before a record of another one is stored
				if _, err := os.Stat(file); err != nil && file != "-" {
					return err
				}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			read := t.readLines
			switch {
			case whole:
				read = t.readWhole
			case prefixed:
				read = t.readPrefixed
			}
			return t.produce(ctx, dmq, channelList(args[0]), args[1:], read)
		}),
	}
	cmd.Flags().BoolVar(&whole, "whole", false, "each FILE, or all of standard input, is one record")
	cmd.Flags().BoolVar(&prefixed, "length-prefixed", false, "each record has its length in front")
	cmd.MarkFlagsMutuallyExclusive("whole", "length-prefixed")
	return cmd
}

// filesAfterChannel completes the arguments CHANNEL FILE….
func (t *tool) filesAfterChannel(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return t.completeChannels(1)(cmd, args, begun)
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// readRecords gives every record of an input to take, until its error.
type readRecords func(ctx context.Context, in io.Reader, take func(record []byte) error) error

func (t *tool) produce(ctx context.Context, dmq queue.Queue, channels, files []string, read readRecords) error {
	longer, release := t.outlasting(ctx)
	defer release()
	producer, err := dmq.Produce(longer, channels...)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	var done stored
	for _, file := range files {
		if err = t.produceFile(ctx, file, producer, read, &done); err != nil {
			break
		}
	}
	unconfirmed := producer.Close(longer)
	if unconfirmed != nil {
		err = unconfirmed // with what failed before
		if done.Stored > 0 {
			err = &partlyError{err}
		}
		stored := int64(producer.State().Stored)
		done.Stored, done.Unconfirmed = stored, done.Stored-stored
	}
	return errors.Join(err, t.report(done, done.words("stored")))
}

func (t *tool) produceFile(ctx context.Context, name string, producer queue.Producer, read readRecords, done *stored) error {
	in := t.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	bar := t.newProgress("producing", sizeOf(in))
	defer bar.end()
	number := 0
	err := read(ctx, interruptible(ctx, in), func(record []byte) error {
		number++
		bar.add(len(record) + 1)
		if len(record) == 0 && t.protocol == string(queue.Legacy) {
			done.Skipped++
			return nil
		}
		if err := producer.Push(ctx, record); err != nil {
			return fmt.Errorf("record %d: %w", number, err)
		}
		done.Stored++
		return nil
	})
	if err != nil && name != "-" {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// maxRecord is the largest record in bytes that is read from an input.
func (t *tool) maxRecord() int { return queue.MaxRecord(queue.Protocol(t.protocol)) }

func (t *tool) readWhole(ctx context.Context, in io.Reader, take func([]byte) error) error {
	record, err := t.readRecord(ctx, in)
	if err != nil {
		return err
	}
	return take(record)
}

func (t *tool) readLines(_ context.Context, in io.Reader, take func([]byte) error) error {
	lines := lineReader{Reader: bufio.NewReader(in), max: t.maxRecord()}
	for number := 1; ; number++ {
		line, err := lines.next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, queue.ErrRecord):
			return fmt.Errorf("record %d: %w", number, err)
		case err != nil:
			return fmt.Errorf("input: %w", err)
		}
		if err := take(line); err != nil {
			return err
		}
	}
}

// lineReader reads lines of any length up to that of a record.
type lineReader struct {
	*bufio.Reader
	max  int
	long []byte // of a line that does not fit into the buffer, what is out of it
}

// next returns a line without its newline, which the last one may lack, or an error:
// io.EOF at the end, one that wraps [queue.ErrRecord] for a line that is too long. It is
// valid until the next call.
func (r *lineReader) next() ([]byte, error) {
	r.long = r.long[:0]
	for {
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull || len(r.long) > 0 {
			r.long = append(r.long, line...)
			line = r.long
		}
		ended := err == nil
		if ended {
			line = line[:len(line)-1]
		}
		switch {
		case len(line) > r.max:
			return nil, fmt.Errorf("%w: more than %d bytes", queue.ErrRecord, r.max)
		case ended, err == io.EOF && len(line) > 0:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (t *tool) readPrefixed(_ context.Context, in io.Reader, take func([]byte) error) error {
	input := bufio.NewReaderSize(in, 64<<10)
	var record []byte
	for number := 1; ; number++ {
		var head [8]byte
		_, err := io.ReadFull(input, head[:])
		if err == io.EOF {
			return nil
		}
		length := binary.LittleEndian.Uint64(head[:])
		if err == nil && length > uint64(t.maxRecord()) {
			return fmt.Errorf("record %d: %w: %d bytes, allowed are %d", number, queue.ErrRecord, length, t.maxRecord())
		}
		if err == nil {
			record = append(record[:0], make([]byte, length)...)
			_, err = io.ReadFull(input, record)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("record %d: the input ends within it", number)
		}
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		if err := take(record); err != nil {
			return err
		}
	}
}
