package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// target is the second DMQ of a command: settings of its own. What they don't say is as for
// the first DMQ, but for where its nodes are.
type target struct {
	settings // their options are those of the command with the prefix to-
}

// targetFlags are the options that a target has.
var targetFlags = []string{"protocol", "address", "nodes", "credentials", "profile"}

func (to *target) addFlags(cmd *cobra.Command) {
	to.settings.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	for _, name := range targetFlags {
		flag := *to.flags.Lookup(name)
		flag.Name, flag.Shorthand = "to-"+name, ""
		if name == "address" {
			flag.Usage = "`host:port,...` of the target's nodes, may be repeated"
		} else {
			flag.Usage += ", of the target"
		}
		cmd.Flags().AddFlag(&flag)
	}
}

var errNoTarget = errors.New("no target: want --to-address, --to-nodes or --to-profile")

// connectTarget connects to the second DMQ of a command.
func (t *tool) connectTarget(cmd *cobra.Command, to *target) (queue.Queue, error) {
	given := map[string]bool{}
	for _, name := range targetFlags {
		given[name] = cmd.Flags().Changed("to-" + name)
	}
	to.config, to.timeout = t.config, t.timeout
	if to.profile != "" {
		sections, err := to.readConfig(to.profile)
		if err == nil {
			err = to.take(sections[:1], given)
		}
		if err != nil {
			return nil, &usageError{cmd.CommandPath(), err}
		}
	}
	if len(to.address) == 0 && to.nodes == "" {
		return nil, &usageError{cmd.CommandPath(), errNoTarget}
	}
	if to.credentials == "" {
		to.credentials = t.credentials
	}
	err := to.check()
	var options queue.Options
	if err == nil {
		options, err = to.options()
	}
	if err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	return t.connectTo(cmd.Context(), options)
}
