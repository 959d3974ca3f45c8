package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

func newGenCredentials(t *tool) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "gen-credentials NAME",
		Short: "Make a key for a client of the neo protocol",
		Long: `Gen-credentials makes a new random key for the client NAME, and prints the line
NAME:KEY that belongs into etc/credentials of each node. 'dmq reload' makes a
running node read that file again.

With --file the same line is also written to a new file that only its owner can
read, for --credentials of the client. A file that exists is not touched.

NAME is 1 to 100 visible ASCII characters without a colon.`,
		Example: `  dmq gen-credentials billing --file billing.credentials >> node/etc/credentials
  dmq ping -c billing.credentials -a queue-1:10001`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("gen-credentials needs exactly a NAME, but has %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, line := newKey(args[0])
			if _, err := client.ParseCredentials(line); err != nil {
				return &usageError{cmd.CommandPath(), fmt.Errorf("NAME %q: want 1 to 100 visible ASCII characters without a colon", args[0])}
			}
			if file != "" {
				if err := writeSecret(file, line+"\n"); err != nil {
					return err
				}
			}
			if t.json {
				return t.printJSON(struct {
					Name string `json:"name"`
					Key  string `json:"key"`
					File string `json:"file,omitempty"`
				}{args[0], key, file})
			}
			if _, err := fmt.Fprintln(t.stdout, line); err != nil {
				return fmt.Errorf("standard output: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "`file` to write for the client, too; it must not exist")
	return uses(cmd, "json", "quiet")
}

// newKey returns a random key and the line for it in a file of credentials.
func newKey(name string) (key, line string) {
	var bytes [client.KeySize]byte
	rand.Read(bytes[:]) // never fails
	key = fmt.Sprintf("%x", bytes)
	return key, name + ":" + key
}

// writeSecret makes a file that only its owner can read.
func writeSecret(name, content string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		os.Remove(name)
	}
	return err
}
