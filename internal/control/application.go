package control

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
)

// ApplicationCommands are the commands of the application socket (operations spec §6.2):
// show_version, which replies with the line that --version prints, and reopen_files.
//
// reopen opens the named log files again, in this order up to the first that fails; it is
// logging.Logs.ReopenFiles. It is called from several goroutines.
func ApplicationCommands(version string, reopen func(paths []string) error) Commands {
	return Commands{
		"show_version": func(_ string, reply io.Writer) {
			fmt.Fprintln(reply, version)
		},
		"reopen_files": func(arguments string, reply io.Writer) {
			paths := splitAtBlanks(arguments)
			if len(paths) == 0 {
				io.WriteString(reply, "ERROR: missing name of the file to rotate.\n")
				return
			}
			if err := reopen(paths); err != nil {
				fmt.Fprintf(reply, "ERROR: %s\n", reopenFailure(err))
				return
			}
			io.WriteString(reply, "ACK\n")
		},
	}
}

// splitAtBlanks drops empty arguments. Other white space belongs to a path.
func splitAtBlanks(arguments string) []string {
	return strings.FieldsFunc(arguments, func(r rune) bool { return r == ' ' })
}

// reopenFailure has the words of the original for a path that is unknown. It has none for a
// file that can't be opened, because it breaks then; the reason follows the same words.
func reopenFailure(err error) string {
	var failure *logging.ReopenError
	switch {
	case !errors.As(err, &failure):
		return err.Error()
	case errors.Is(failure.Err, logging.ErrUnknownFile):
		return fmt.Sprintf("Could not rotate the file '%s'", failure.Path)
	}
	return fmt.Sprintf("Could not rotate the file '%s': %v", failure.Path, failure.Err)
}
