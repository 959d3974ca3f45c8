package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootHelp = `dmq is the client tool of a DMQ, a queue made of many nodes: it pushes and pops
records, produces and consumes streams, moves channels into files and to other
DMQs, looks after nodes, and measures them. On the machine of a node it makes
the directory of a new one, speaks to its control socket, and verifies its data.

Records and reports go to standard output, everything else to standard error.

Nodes are spoken to over the neo protocol if there are credentials, else over
the legacy protocol; --protocol decides otherwise. A request goes to one node
after the other until one serves it; streams have all nodes at once. A channel
is named by 1 to 251 of the characters A-Z a-z 0-9 _ -. Pushing to a channel
creates it. A record has 256 MiB at most over neo, 10 MiB over legacy; what is
larger is refused and nothing of it is stored.

Settings:
  The options protocol, address, nodes, credentials, legacy-address, http and
  timeout can also be set by the environment, in DMQ_PROTOCOL, DMQ_ADDRESS, …,
  DMQ_LEGACY_ADDRESS, and by the configuration file, a line each:

    credentials = credentials          # a file, beside this one
    address     = queue-1:10001, queue-2:10001

    [test]                             # with --profile test, first of all
    address     = test-1:10001

  The command line goes before the environment, and that before the file. The
  file is ` + defaultConfigText + `, or named by --config or DMQ_CONFIG;
  DMQ_PROFILE is --profile.

Exit status:
    0  everything asked for was done
    1  an error; what to do is said on standard error. Also: some of the nodes
       could not be reached, and what was asked for is done at the others
    2  wrong usage or settings; of check also: not everything was checked
    3  there was no record, or there were fewer than asked for
    4  no node could be reached, or none accepts the credentials: nothing is done
    5  uncertain: a node may have done it, but its answer did not come
  130  interrupted (Ctrl-C, SIGTERM) before the work was done`

// usesOnly is the annotation of commands that use few of the options in common: their names.
// Most commands use all.
const usesOnly = "options"

// uses notes that a command uses only these of the options in common.
func uses(cmd *cobra.Command, options ...string) *cobra.Command {
	cmd.Annotations = map[string]string{usesOnly: strings.Join(options, " ")}
	return cmd
}

// isUsed tells whether a command uses an option in common.
func isUsed(cmd *cobra.Command, option string) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		if only, ok := cmd.Annotations[usesOnly]; ok {
			return slices.Contains(strings.Fields(only), option)
		}
	}
	return true
}

// checkInherited finds options in common that are given to a command that does not use them.
func checkInherited(cmd *cobra.Command) (err error) {
	cmd.InheritedFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && !isUsed(cmd, flag.Name) {
			err = fmt.Errorf("%s has no option --%s", cmd.CommandPath(), flag.Name)
		}
	})
	return err
}

// addHelp sets how the commands explain themselves, and makes those of cobra refuse what they
// don't know.
func addHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("usages", usages)
	cobra.AddTemplateFunc("usedOf", usedOf)
	template := root.UsageTemplate()
	template = strings.ReplaceAll(template, ".InheritedFlags.FlagUsages ", "usedOf . .InheritedFlags | usages ")
	template = strings.ReplaceAll(template, ".LocalFlags.FlagUsages ", ".LocalFlags | usages ")
	template = strings.ReplaceAll(template, "{{if .HasAvailableInheritedFlags}}", "{{if (usedOf . .InheritedFlags).HasAvailableFlags}}")
	root.SetUsageTemplate(template)

	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			uses(cmd).Args = func(_ *cobra.Command, args []string) error {
				_, _, err := root.Find(args)
				return err
			}
		case "completion":
			uses(cmd).Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("shell %q: want bash, zsh, fish or powershell", args[0])
				}
				return nil
			}
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// usages describes options on 80 columns, without what pflag says of every switch.
func usages(flags *pflag.FlagSet) string {
	const noise = "[=true|false]"
	return strings.ReplaceAll(flags.FlagUsagesWrapped(80), noise, strings.Repeat(" ", len(noise)))
}

// usedOf returns those of the options in common that a command uses.
func usedOf(cmd *cobra.Command, flags *pflag.FlagSet) *pflag.FlagSet {
	used := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(flag *pflag.Flag) {
		if isUsed(cmd, flag.Name) {
			used.AddFlag(flag)
		}
	})
	return used
}
