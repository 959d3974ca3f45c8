package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy/legacytest"
)

// outcome is all that can be seen of a command.
type outcome struct {
	status         int
	stdout, stderr string
}

// dmq runs a command in this process. Its address is in the environment.
func dmq(ctx context.Context, stdin io.Reader, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, stdin, &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

// playNode plays a node whose address the commands of the test have by default.
func playNode(t *testing.T, dialogue string) *legacytest.Node {
	node := legacytest.Play(t, dialogue)
	t.Setenv("DMQ_ADDRESS", node.Addr)
	return node
}

func check(t *testing.T, got outcome, status int, stdout, stderr string) {
	t.Helper()
	if got.status != status {
		t.Errorf("exit status: got %d, want %d", got.status, status)
	}
	if got.stdout != stdout {
		t.Errorf("standard output: got %.200q, want %.200q", got.stdout, stdout)
	}
	if !strings.Contains(got.stderr, stderr) || (stderr == "") != (got.stderr == "") {
		t.Errorf("standard error: got %.300q, want it to contain %q", got.stderr, stderr)
	}
}

func TestCommands(t *testing.T) {
	const (
		popTest    = "\n1> 02000000 0400000000000000 74657374\n"
		produceP1  = "\n1> 0a000000 0200000000000000 7031\n1< c8000000\n"
		endProduce = "\n1> 0000000000000000 08000000\n1< 96010000\n"
		consumeC1  = "\n1> 06000000 0200000000000000 6331\n1< c8000000\n"
	)
	for _, tc := range []struct {
		name     string
		args     string
		stdin    string
		dialogue string
		status   int
		stdout   string
		stderr   string // a part of it; "" = nothing
	}{
		{"push arguments", "push test abc z", "", `
			1> 01000000 0400000000000000 74657374 0300000000000000 616263
			1< c8000000
			1> 01000000 0400000000000000 74657374 0100000000000000 7a
			1< c8000000`, 0, "", ""},
		{"push standard input as it is", "push test -", "a\nb\n", `
			1> 01000000 0400000000000000 74657374 0400000000000000 610a620a
			1< c8000000`, 0, "", ""},
		{"push standard input by default", "push test", "a", `
			1> 01000000 0400000000000000 74657374 0100000000000000 61
			1< c8000000`, 0, "", ""},
		{"push what looks like a flag", "push test -- --x", "", `
			1> 01000000 0400000000000000 74657374 0300000000000000 2d2d78
			1< c8000000`, 0, "", ""},
		{"push fails at the second value", "push test a b c", "", `
			1> 01000000 0400000000000000 74657374 0100000000000000 61
			1< c8000000
			1> 01000000 0400000000000000 74657374 0100000000000000 62
			1< 97010000`, 1, "", "value 2 of 3 (those before it are stored)"},
		{"push nothing", "push test -", "", "1>CLOSE", 1, "", "empty record"},
		{"push to a bad name", "push te.st a", "", "1>CLOSE", 2, "", "bad name"},
		{"push unconfirmed", "push test abc", "", `
			1> 01000000 0400000000000000 74657374 0300000000000000 616263
			1<EOF`, 5, "", "a node may have done it or not"},

		{"pop", "pop test", "", popTest + "1< c8000000 0300000000000000 616263", 0, "abc\n", ""},
		{"pop raw", "pop test --raw", "", popTest + "1< c8000000 0300000000000000 616263", 0, "abc", ""},
		{"pop from an empty channel", "pop test", "", popTest + "1< c8000000 0000000000000000", 3, "", "the channel is empty"},
		{"pop from an unknown channel", "pop test", "", popTest + "1< f4010000", 3, "", "dmq consume"},
		{"pop all of an unknown channel", "pop test -n 0", "", popTest + "1< f4010000", 0, "", "dmq consume"},
		{"pop a number", "pop test -n 2", "",
			popTest + "1< c8000000 0100000000000000 61" + popTest + "1< c8000000 0100000000000000 62", 0, "a\nb\n", ""},
		{"pop more than there is", "pop test -n 2", "",
			popTest + "1< c8000000 0100000000000000 61" + popTest + "1< c8000000 0000000000000000", 3, "a\n", "the channel is empty"},
		{"pop all", "pop test --count 0", "",
			popTest + "1< c8000000 0100000000000000 61" + popTest + "1< c8000000 0000000000000000", 0, "a\n", ""},

		{"produce lines", "produce p1", "r1\nr2\n",
			produceP1 + "1> 0200000000000000 7231 0200000000000000 7232" + endProduce, 0, "", "records stored: 2\n"},
		{"produce a last line without newline", "produce p1", "r1\nr2",
			produceP1 + "1> 0200000000000000 7231 0200000000000000 7232" + endProduce, 0, "", "records stored: 2\n"},
		{"produce skips empty lines", "produce p1", "\nr1\n\n\nr2\n",
			produceP1 + "1> 0200000000000000 7231 0200000000000000 7232" + endProduce, 0, "", "records stored: 2, empty ones skipped: 3\n"},
		{"produce nothing", "produce p1", "", "1>CLOSE", 0, "", "records stored: 0\n"},
		{"produce standard input as one record", "produce p1 --whole", "r1\n",
			produceP1 + "1> 0300000000000000 72310a" + endProduce, 0, "", "records stored: 1\n"},
		{"produce the longest line", "produce p1", strings.Repeat("x", legacy.MaxValue) + "\ny\n",
			produceP1 + "1> 0000a00000000000 78*10485760 0100000000000000 79" + endProduce, 0, "", "records stored: 2\n"},
		{"produce a longer line", "produce p1", "y\n" + strings.Repeat("x", legacy.MaxValue+1) + "\n",
			produceP1 + "1> 0100000000000000 79" + endProduce, 1, "", "record 2: "},
		{"produce unconfirmed", "produce p1", "y\n",
			produceP1 + "1> 0100000000000000 79 0000000000000000 08000000\n1<EOF", 5, "", "a node may have done it or not"},

		{"consume until idle", "consume --stream c1 --idle 1s", "",
			consumeC1 + "1< 0100000000000000 61 0200000000000000 6262\n1>CLOSE", 0, "a\nbb\n", ""},
		{"consume raw", "consume --stream c1 -n 2 --raw", "",
			consumeC1 + "1< 0100000000000000 61 0200000000000000 6262\n1>CLOSE", 0, "abb", ""},
		{"consume none", "consume --stream c1 --idle 50ms", "", consumeC1 + "1>CLOSE", 3, "", "no more records"},
		{"consume a number", "consume --stream c1 --follow -n 2", "",
			consumeC1 + "1< 0100000000000000 61 0200000000000000 6262\n1>CLOSE", 0, "a\nbb\n", ""},
		{"consume more than there is", "consume --stream c1 --idle 1s -n 2", "",
			consumeC1 + "1< 0100000000000000 61\n1>CLOSE", 3, "a\n", "no more records, printed: 1"},
		{"consume until removed", "consume --stream c1 --follow", "",
			consumeC1 + "1< 0100000000000000 61 0000000000000000", 0, "a\n", "the channel was removed"},

		{"remove", "remove test", "", "1> 0c000000 0400000000000000 74657374\n1< c8000000", 0, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			playNode(t, tc.dialogue)
			got := dmq(t.Context(), strings.NewReader(tc.stdin), strings.Fields(tc.args)...)
			check(t, got, tc.status, tc.stdout, tc.stderr)
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for args, stderr := range map[string]string{
		"foo":                         `unknown command "foo"`,
		"push":                        "push needs a CHANNEL",
		"push a - b -":                "more than once",
		"push a b EMPTY":              "empty VALUE: the legacy protocol can't do this",
		"pop":                         "pop needs exactly a CHANNEL",
		"pop a b":                     "2 arguments",
		"pop a --count x":             "--count",
		"pop a --count -1":            "want 0 or more",
		"pop a --foo":                 "--foo",
		"consume a --count -1":        "want 0 or more",
		"consume a --idle 0s":         "want more than 0",
		"consume a --follow --idle 1": "--idle",
		"consume a -f --idle 1s":      "none of the others can be",
		"remove a --timeout 0s":       "--timeout 0s: want more than 0",
		"produce":                     "produce needs a CHANNEL",
		"completion foo":              `shell "foo": want bash`,
		"help foo":                    `unknown command "foo"`,
	} {
		words := strings.Fields(args)
		for i := range words {
			words[i] = strings.TrimPrefix(words[i], "EMPTY")
		}
		got := dmq(t.Context(), strings.NewReader(""), words...)
		if got.status != exitUsage || !strings.Contains(got.stderr, stderr) || !strings.Contains(got.stderr, "--help' for help") {
			t.Errorf("dmq %s: got %+v, want status 2 and a message with %q", args, got, stderr)
		}
	}
}

// Who asks for JSON gets it of whatever is wrong, with what to do about it apart.
func TestErrorsAsJSON(t *testing.T) {
	for args, want := range map[string]string{
		"pop --foo --json": `{"error":"unknown flag: --foo","hint":"Type 'dmq pop --help' for help.","status":2}`,
		"pop --json":       `{"error":"pop needs exactly a CHANNEL, but has 0 arguments","hint":"Type 'dmq pop --help' for help.","status":2}`,
		"pop a --json -a 127.0.0.1:1": `{"error":"no node is connected: 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused",` +
			`"hint":"nothing listens there; start the node, or name others with --address or DMQ_ADDRESS","status":4}`,
		"pop --foo -- --json": "dmq: unknown flag: --foo\n     Type 'dmq pop --help' for help.",
	} {
		if got := dmq(t.Context(), nil, strings.Fields(args)...); got.stderr != want+"\n" {
			t.Errorf("dmq %s: got %s, want %s", args, got.stderr, want)
		}
	}
}

// What goes to standard error besides errors is JSON, too.
func TestMessagesAsJSON(t *testing.T) {
	node := playNode(t, "1> 02000000 0400000000000000 74657374\n1< c8000000 0300000000000000 616263")
	got := dmq(t.Context(), nil, "pop", "test", "--json", "-a", node.Addr, "-a", "127.0.0.1:1")
	check(t, got, 0, "{\"value\":\"abc\"}\n", `{"message":"not connected to 127.0.0.1:1: `)
}

// A command has those options in common that it uses, in its help and on its command line.
func TestOptionsThatACommandUses(t *testing.T) {
	for command, uses := range map[string]bool{"check .": false, "completion bash": false, "gen-credentials x": false, "extract x": false, "help pop": false, "pop x": true} {
		help := dmq(t.Context(), nil, strings.Fields(command+" --help")...)
		if got := strings.Contains(help.stdout, "--address"); got != uses {
			t.Errorf("dmq %s --help: has --address %v, want %v", command, got, uses)
		}
		if !uses {
			check(t, dmq(t.Context(), nil, strings.Fields(command+" -a x:1")...), 2, "", "has no option --address")
		}
	}
}

func TestHelpDescribesEverything(t *testing.T) {
	got := dmq(t.Context(), nil, "--help")
	for _, part := range []string{"push", "pop", "produce", "consume", "remove", "DMQ_ADDRESS", defaultLegacy, "Exit status"} {
		if got.status != 0 || !strings.Contains(got.stdout, part) {
			t.Errorf("dmq --help: status %d, lacks %q in:\n%s", got.status, part, got.stdout)
		}
	}
	for _, command := range []string{"push", "pop", "produce", "consume", "remove"} {
		got := dmq(t.Context(), nil, command, "--help")
		if got.status != 0 || !strings.Contains(got.stdout, "Examples:\n  ") {
			t.Errorf("dmq %s --help: status %d, lacks examples in:\n%s", command, got.status, got.stdout)
		}
	}
}

func TestAddressOptionGoesBeforeTheEnvironment(t *testing.T) {
	t.Setenv("DMQ_ADDRESS", "127.0.0.1:1")
	node := legacytest.Play(t, "1> 0c000000 0100000000000000 61\n1< c8000000")
	check(t, dmq(t.Context(), nil, "remove", "a", "--address", node.Addr), 0, "", "")
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	got := dmq(t.Context(), nil, "pop", "a", "-a", listener.Addr().String())
	check(t, got, 4, "", "start the node, or name others with --address or DMQ_ADDRESS")
}

func TestNoAnswerInTime(t *testing.T) {
	playNode(t, "1> 02000000 0100000000000000 61\n1>CLOSE")
	check(t, dmq(t.Context(), nil, "pop", "a", "--timeout", "50ms"), 5, "", "outcome uncertain")
}

// interrupted returns a context that is interrupted once the node has played its part.
func interrupted(t *testing.T, node *legacytest.Node) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		<-node.Done
		cancel()
	}()
	return ctx
}

func TestInterruptedConsumeEndsInOrder(t *testing.T) {
	const dialogue = "1> 06000000 0200000000000000 6331\n1< c8000000"
	node := playNode(t, dialogue)
	check(t, dmq(interrupted(t, node), nil, "consume", "--stream", "c1", "--follow"), 0, "", "")
	node = playNode(t, dialogue)
	check(t, dmq(interrupted(t, node), nil, "consume", "--stream", "c1", "--follow", "-n", "1"), exitInterrupted, "", "interrupted")
}

func TestProduceSendsWhenTheInputPauses(t *testing.T) {
	node := playNode(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231`)
	stdin, typed := io.Pipe()
	done := make(chan outcome)
	go func() { done <- dmq(t.Context(), stdin, "produce", "p1", "--timeout", "1s") }()
	io.WriteString(typed, "r1\nthe beginning of ano")
	<-node.Done // the record is there, though its command has not ended
	node.Close()
	typed.Close()
	check(t, <-done, 5, "", "outcome uncertain")
}

func TestInterruptedProduceIsConfirmed(t *testing.T) {
	playNode(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231
		1> 0000000000000000 08000000
		1< 96010000`)
	stdin, typed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan outcome)
	go func() { done <- dmq(ctx, stdin, "produce", "p1") }()
	io.WriteString(typed, "r1\n")
	io.WriteString(typed, "not yet ")
	io.WriteString(typed, "a li") // is read when the one before was asked for, and so the record is taken
	cancel()
	check(t, <-done, exitInterrupted, "", "records stored: 1")
}
