package control

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/zap"
)

var ab = Commands{"a": echo("a"), "b": echo("b")}

func TestLineProtocol(t *testing.T) {
	path, _ := serve(t, ab)
	longest := "a " + strings.Repeat("x", maxLine-len("a \n"))
	for _, test := range []struct {
		rule  string
		input string
		want  string
	}{
		{"command without arguments", "a\n", "a \"\"\n"},
		{"arguments are what follows the first blank", "a x  y\tz\n", "a \"x  y\\tz\"\n"},
		{"second blank belongs to the arguments", "a  x\n", "a \" x\"\n"},
		{"white space around the line is dropped", " \t\v\f\ra x \t\v\f\r\n", "a \"x\"\n"},
		{"CR LF works", "a x\r\nb\r\n", "a \"x\"\nb \"\"\n"},
		{"NBSP is not white space", "a\u00a0\n", "Command not found\n"},
		{"TAB does not end the command", "a\tx\n", "Command not found\n"},
		{"case-sensitive", "A\n", "Command not found\n"},
		{"unknown command", "c x\na\n", "Command not found\na \"\"\n"},
		{"bytes of any kind", "\x00\xff\xfe\na \x00\xff\n", "Command not found\na \"\\x00\\xff\"\n"},
		{"nothing at all", "", ""},
		{"blank lines have no reply", "\n \n\r\n\t\n", ""},
		{"lines after a blank line are processed", "a\n\nb\n\n\na 1\n", "a \"\"\nb \"\"\na \"1\"\n"},
		{"leading blank line", "\na\n", "a \"\"\n"},
		{"two commands in one packet", "a 1\nb 2\n", "a \"1\"\nb \"2\"\n"},
		{"unterminated last line is discarded", "a 1\nb", "a \"1\"\n"},
		{"unterminated only line is discarded", "a", ""},
		{"longest line", longest + "\nb\n", fmt.Sprintf("a %q\nb \"\"\n", longest[2:])},
		{"line too long: reply and end", "b\n" + longest + "x", "b \"\"\nError: line too long, at most 65536 bytes are allowed\n"},
		{"many blank lines", strings.Repeat("\n", 2*maxLine) + "a\n", "a \"\"\n"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			if got := exchange(t, path, test.input); got != test.want {
				t.Errorf("%.100q in one packet: got %.100q, want %.100q", test.input, got, test.want)
			}
			if len(test.input) > 100 {
				return
			}
			if got := exchange(t, path, strings.Split(test.input, "")...); got != test.want {
				t.Errorf("%q in packets of one byte: got %q, want %q", test.input, got, test.want)
			}
		})
	}
}

func TestCommandSplitBetweenPackets(t *testing.T) {
	path, _ := serve(t, ab)
	client := dial(t, path)
	// The reply shows that the first part of b has been read.
	send(t, client, "a 1\nb")
	receive(t, client, "a \"1\"\n")
	send(t, client, " 2\n")
	receive(t, client, "b \"2\"\n")
}

func TestBlankLineIsNotGluedToTheNextPacket(t *testing.T) {
	path, _ := serve(t, ab)
	client := dial(t, path)
	send(t, client, "a 1\n\nb 2\n")
	receive(t, client, "a \"1\"\nb \"2\"\n")
	send(t, client, "a 3\n")
	receive(t, client, "a \"3\"\n")
}

func TestNodeKeepsTheConnection(t *testing.T) {
	path, _ := serve(t, ab)
	client := dial(t, path)
	for i := range 100 {
		send(t, client, fmt.Sprintf("a %d\nnone\n", i))
		receive(t, client, fmt.Sprintf("a \"%d\"\nCommand not found\n", i))
	}
}

func TestReplyOfAnyLength(t *testing.T) {
	long := strings.Repeat("0123456789abcde\n", 1<<16) // more than a socket holds
	path, _ := serve(t, Commands{
		"long":    func(_ string, reply io.Writer) { io.WriteString(reply, long) },
		"nothing": func(string, io.Writer) {},
		"a":       echo("a"),
	})
	if got := exchange(t, path, "nothing\nlong\na\n"); got != long+"a \"\"\n" {
		t.Errorf("got %d bytes, want %d", len(got), len(long)+len("a \"\"\n"))
	}
}

// conversation is a client without a socket.
type conversation struct {
	io.Reader
	bytes.Buffer
}

func (c *conversation) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func FuzzLines(f *testing.F) {
	for _, seed := range []string{"a\n", "a x\r\nb", "\n\na\tb\n", " a \n\x00\nb  \xff\n"} {
		f.Add([]byte(seed))
	}
	s := &Socket{commands: ab, log: zap.NewNop()}
	f.Fuzz(func(t *testing.T, input []byte) {
		whole := &conversation{Reader: bytes.NewReader(input)}
		split := &conversation{Reader: iotest.OneByteReader(bytes.NewReader(input))}
		s.answer(whole)
		s.answer(split)
		if whole.String() != split.String() {
			t.Errorf("%q: got %q in one packet, %q in packets of one byte", input, whole, split)
		}
		if len(input) > maxLine {
			return
		}
		if got, want := whole.String(), expected(string(input)); got != want {
			t.Errorf("%q: got %q, want %q", input, got, want)
		}
	})
}

// expected is what a and b reply to these lines, none of them too long.
func expected(input string) string {
	var replies strings.Builder
	complete := strings.SplitAfter(input, "\n")
	for _, line := range complete[:len(complete)-1] {
		line = strings.Trim(line, "\n\r\t\v\f ")
		switch {
		case line == "":
		case line == "a", line == "b", strings.HasPrefix(line, "a "), strings.HasPrefix(line, "b "):
			fmt.Fprintf(&replies, "%c %q\n", line[0], strings.TrimPrefix(line[1:], " "))
		default:
			replies.WriteString("Command not found\n")
		}
	}
	return replies.String()
}
