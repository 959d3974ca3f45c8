package control

import (
	"fmt"
	"io"
)

// Credentials are the names and keys of neo clients, and the file they are in. The methods
// are called from several goroutines.
type Credentials interface {
	// Reload reads the file again. If it returns an error nothing has changed.
	Reload() error
	// Names are the names of all clients.
	Names() []string
}

// NodeCommands are the commands of the node control socket (operations spec §6.1):
// update-credentials and list-credentials.
func NodeCommands(credentials Credentials) Commands {
	return Commands{
		"update-credentials": withoutArguments(func(reply io.Writer) {
			if err := credentials.Reload(); err != nil {
				fmt.Fprintf(reply, "Error updating credentials: %v\n", err)
				return
			}
			io.WriteString(reply, "Credentials updated.\n")
		}),
		"list-credentials": withoutArguments(func(reply io.Writer) {
			io.WriteString(reply, "Registered credentials:\n")
			for _, name := range credentials.Names() {
				fmt.Fprintln(reply, name)
			}
		}),
	}
}

func withoutArguments(run func(reply io.Writer)) Command {
	return func(arguments string, reply io.Writer) {
		if arguments != "" {
			io.WriteString(reply, "Error: No command arguments expected\n")
			return
		}
		run(reply)
	}
}
