package control

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// maxLine bounds what a client can make the node hold, in bytes with the LF. The
	// original has no limit; no command needs this much.
	maxLine = 64 << 10
	// whiteSpace is what isspace(3) takes for it in the C locale.
	whiteSpace = " \t\n\v\f\r"
)

// answer reads commands to the end of the stream, a failure or a line that is too long.
// Failures mean that the client has gone; nobody is told (operations spec §6.0).
func (s *Socket) answer(client io.ReadWriter) {
	lines := bufio.NewScanner(client)
	lines.Buffer(nil, maxLine)
	lines.Split(splitLine)
	for last := (time.Time{}); lines.Scan(); {
		line := strings.Trim(lines.Text(), whiteSpace)
		if line == "" {
			continue
		}
		time.Sleep(commandPeriod - time.Since(last)) // the first commands wait for nothing
		last = time.Now()
		if _, err := client.Write(s.reply(line)); err != nil {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		fmt.Fprintf(client, "Error: line too long, at most %d bytes are allowed\n", maxLine)
	}
}

// splitLine is a bufio.SplitFunc. It differs from bufio.ScanLines in that it discards a last
// line without LF: a command that was cut must not be run.
func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if end := bytes.IndexByte(data, '\n'); end >= 0 {
		return end + 1, data[:end], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// reply runs the command of a line.
func (s *Socket) reply(line string) []byte {
	name, arguments, _ := strings.Cut(line, " ")
	command, found := s.commands[name]
	if !found {
		return []byte("Command not found\n")
	}
	var reply bytes.Buffer
	if !s.run(name, command, arguments, &reply) {
		return []byte("Error: the command failed, the log says why\n")
	}
	return reply.Bytes()
}

// run returns false if the command panicked.
func (s *Socket) run(name string, command Command, arguments string, reply io.Writer) (returned bool) {
	defer func() {
		if !returned {
			s.log.Error("a control command failed", zap.String("command", name), zap.Any("panic", recover()), zap.Stack("stack"))
		}
	}()
	command(arguments, reply)
	return true
}
