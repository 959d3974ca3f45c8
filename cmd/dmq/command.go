package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// tool is what all commands have: their settings, and where they print.
type tool struct {
	settings
	stdin          io.Reader
	stdout, stderr io.Writer

	telling sync.Mutex // guards stderr and bar
	bar     *progressbar.ProgressBar
}

// run executes one command line and returns its exit status. The end of ctx interrupts
// it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	started := false // so that errors before it are errors of usage
	t := &tool{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(t)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := errors.Join(cmd.ValidateFlagGroups(), checkInherited(cmd))
		started = err == nil
		return err
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addHelp(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = &usageError{cmd.CommandPath(), err}
		t.json = t.json || wantsJSON(args) // what follows a wrong option was not looked at
	}
	if err != nil {
		t.complain(err)
	}
	return exitStatus(err)
}

// wantsJSON tells whether --json is among the options of a command line.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// Groups of commands in the help.
const (
	groupRecords = "records"
	groupStreams = "streams"
	groupQueues  = "queues"
	groupNodes   = "nodes"
	groupLocal   = "local"
)

func newRoot(t *tool) *cobra.Command {
	root := &cobra.Command{
		Use:           "dmq",
		Short:         "Push, pop, produce and consume records of a DMQ, and look after its nodes",
		Long:          rootHelp,
		Version:       fmt.Sprintf("%s (built %s)", version, buildDate),
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
		Example: `  dmq push jobs 'resize 17.png'
  dmq pop jobs
  dmq consume hits --follow -c credentials -a queue-1:10001,queue-2:10001
  dmq top --http queue-1:10080,queue-2:10080`,
	}
	t.addFlags(root.PersistentFlags())
	completeSettings(root)
	root.AddGroup(
		&cobra.Group{ID: groupRecords, Title: "Single records and channels:"},
		&cobra.Group{ID: groupStreams, Title: "Streams of records:"},
		&cobra.Group{ID: groupQueues, Title: "Queues, and who uses them:"},
		&cobra.Group{ID: groupNodes, Title: "Nodes:"},
		&cobra.Group{ID: groupLocal, Title: "On the machine of a node:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add(groupRecords, newPush(t), newPop(t), newRemove(t))
	add(groupStreams, newProduce(t), newConsume(t), newDrain(t), newLoad(t), newMirror(t))
	add(groupQueues, newList(t), newInfo(t), newPeek(t), newClients(t), newPause(t), newResume(t), newClear(t), newUnsubscribe(t), newDisconnect(t))
	add(groupNodes, newPing(t), newTop(t), newWeb(t), newBench(t))
	add(groupLocal, newNewInstance(t), newGenCredentials(t), newReload(t), newControl(t), newCheck(t), newExtract(t), newExport(t))
	root.AddCommand(newMan())
	return root
}

// say tells a person something, or with --json whoever reads standard error, where all is
// JSON then.
func (t *tool) say(format string, args ...any) {
	if !t.quiet {
		t.tell(fmt.Sprintf(format, args...))
	}
}

func (t *tool) tell(text string) error {
	t.telling.Lock()
	defer t.telling.Unlock()
	if t.bar != nil {
		eraseLine(t.stderr)
	}
	if !t.json {
		_, err := fmt.Fprintf(t.stderr, "dmq: %s\n", text)
		return err
	}
	return writeJSON(t.stderr, struct {
		Message string `json:"message"`
	}{text})
}

// report prints a result: as JSON to standard output, or in words to standard error.
func (t *tool) report(result any, words string) error {
	if !t.json {
		t.say("%s", words)
		return nil
	}
	return t.printJSON(result)
}

func (t *tool) printJSON(result any) error {
	if err := writeJSON(t.stdout, result); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// writeJSON writes an object on a line of its own.
func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// complain tells why the command ends.
func (t *tool) complain(err error) {
	text, hint := explain(err)
	if t.json {
		writeJSON(t.stderr, struct {
			Error  string `json:"error"`
			Hint   string `json:"hint,omitempty"`
			Status int    `json:"status"`
		}{text, hint, exitStatus(err)})
		return
	}
	if hint != "" {
		text += "\n" + hint
	}
	fmt.Fprintf(t.stderr, "dmq: %s\n", strings.ReplaceAll(text, "\n", "\n     "))
}

// logger tells what the clients log: warnings, or with --verbose all.
func (t *tool) logger() *slog.Logger {
	level := slog.LevelWarn
	switch {
	case t.verbose:
		level = slog.LevelDebug
	case t.quiet:
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(&logHandler{t: t, level: level})
}

// logHandler prints as the rest of dmq does.
type logHandler struct {
	t     *tool
	level slog.Level
	attrs []slog.Attr
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&text, ", %s %v", a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	return h.t.tell(text.String())
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append(more.attrs[:len(more.attrs):len(more.attrs)], attrs...)
	return &more
}

func (h *logHandler) WithGroup(string) slog.Handler { return h }

// exactlyChannel is the check of the arguments of commands with a CHANNEL alone.
func exactlyChannel(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs exactly a CHANNEL, but has %d arguments", cmd.Name(), len(args))
	}
	return nil
}

// channelList returns the channels of an argument CHANNEL[,CHANNEL…].
func channelList(argument string) []string { return strings.Split(argument, ",") }
