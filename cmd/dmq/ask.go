package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// asking makes a command of one that asks single nodes.
func (t *tool) asking(do func(ctx context.Context, nodes *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		nodes, err := t.connectNodes(cmd)
		if err != nil {
			return err
		}
		defer nodes.Close()
		return do(cmd.Context(), nodes, args)
	}
}

func (t *tool) connectNodes(cmd *cobra.Command) (*client.Client, error) {
	err := t.resolve()
	var options queue.Options
	if err == nil {
		options, err = t.options()
	}
	if err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	defer t.waiting("for connections to %s", strings.Join(options.Nodes, ", "))()
	options.Logger = t.logger()
	nodes, err := queue.ConnectNodes(cmd.Context(), options)
	if errors.Is(err, queue.ErrNeedsNeo) {
		return nil, fmt.Errorf("%s: %w", cmd.Name(), err)
	}
	return nodes, err
}

// askAll asks all nodes at once, and sifts their answers.
func askAll[T any](t *tool, nodes *client.Client, ask func(*client.Node) (T, error)) ([]client.Answer[T], error) {
	over := t.waiting("for the answers of nodes")
	all := client.AskAll(nodes, ask)
	over()
	return sift(all)
}

// sift returns the answers of nodes that have what they were asked about. It is an error if some
// could not be asked, or have refused, and if no node has it.
func sift[T any](all []client.Answer[T]) (answers []client.Answer[T], err error) {
	var failed []error
	var missing *client.Error
	for _, a := range all {
		switch {
		case a.Err == nil:
			answers = append(answers, a)
		case errors.Is(a.Err, client.ErrNotFound) && errors.As(a.Err, &missing):
		default:
			failed = append(failed, a.Err)
		}
	}
	switch err = errors.Join(failed...); {
	case err != nil && len(failed) < len(all) && nobodyReached(err):
		return answers, fmt.Errorf("%w: %w", errSomeMissing, err)
	case err == nil && len(answers) == 0 && missing != nil:
		return nil, &client.Error{Request: missing.Request, Channel: missing.Channel, Err: client.ErrNotFound}
	}
	return answers, err
}

// errDeclined is the answer of a person who does not want it.
var errDeclined = errors.New("nothing is done")

// confirmation is the option of commands that drop something.
type confirmation struct{ yes bool }

func (c *confirmation) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "don't ask, also on a terminal")
}

// needed tells whether somebody is there to be asked.
func (c *confirmation) needed(t *tool) bool {
	file, ok := t.stdin.(*os.File)
	return !c.yes && ok && term.IsTerminal(int(file.Fd()))
}

// confirm asks whoever is there whether something is to be done.
func (c *confirmation) confirm(ctx context.Context, t *tool, format string, args ...any) error {
	if !c.needed(t) {
		return nil
	}
	question := fmt.Sprintf(format, args...) + " Type yes to do it:"
	if t.json {
		t.tell(question)
	} else {
		fmt.Fprintf(t.stderr, "dmq: %s ", question)
	}
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(t.stdin).ReadString('\n') // what ends without a newline is no yes
		typed <- line
	}()
	select {
	case line := <-typed:
		if strings.EqualFold(strings.TrimSpace(line), "yes") && strings.HasSuffix(line, "\n") {
			return nil
		}
		return errDeclined
	case <-ctx.Done():
		return ctx.Err()
	}
}
