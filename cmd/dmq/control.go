package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

const controlConfig = "etc/config.ini"

func newControl(t *tool) *cobra.Command {
	var instance, socket string
	cmd := &cobra.Command{
		Use:   "control COMMAND [ARGUMENT...]",
		Short: "Give a command to a node on this machine",
		Long: `Control sends COMMAND to the control socket of the node that runs in the current
directory, or that of --instance, and prints the answer. The socket is that of
[Server] unix_socket_path in its ` + controlConfig + `; --socket names another one,
as that of [UNIX_SOCKET] path.

The commands of a node, which its manual, dmqnode(8), explains:

  update-credentials, list-credentials
  list-queues [PATTERN [AFTER]], queue-info QUEUE, peek QUEUE [SKIP [RECORDS]]
  pause QUEUE, resume QUEUE, clear QUEUE
  remove-subscriber QUEUE, remove-channel CHANNEL
  list-clients [QUEUE], disconnect ID

and at the socket of [UNIX_SOCKET] show_version and reopen_files. Who may write to
the socket may use them.`,
		Example: `  dmq control list-credentials --instance /srv/dmqnode/dmqnode-1
  dmq control reopen_files log/root.log --socket application.socket`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("control needs a COMMAND")
			}
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions(
			[]string{"clear", "disconnect", "list-clients", "list-credentials", "list-queues", "pause", "peek", "queue-info",
				"remove-channel", "remove-subscriber", "reopen_files", "resume", "show_version", "update-credentials"}, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			command := strings.Join(args, " ")
			if strings.ContainsAny(command, "\r\n") {
				return &usageError{cmd.CommandPath(), errors.New("a COMMAND is one line")}
			}
			path, err := socket, error(nil)
			if path == "" {
				path, err = controlSocket(instance)
			}
			if err != nil {
				return err
			}
			reply, err := t.control(cmd.Context(), path, command)
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(struct {
					Reply string `json:"reply"`
				}{reply})
			}
			if _, err := io.WriteString(t.stdout, reply); err != nil {
				return fmt.Errorf("standard output: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&instance, "instance", "i", ".", "`directory` of the node")
	cmd.Flags().StringVar(&socket, "socket", "", "`file` of the socket, if not that of the instance's configuration")
	cmd.MarkFlagsMutuallyExclusive("instance", "socket")
	return uses(cmd, "timeout", "json", "quiet")
}

func newReload(t *tool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload [DIR...]",
		Short: "Make nodes on this machine read their credentials again",
		Long: `Reload makes the nodes that run in each DIR, or in the current directory, read
their etc/credentials again. If a file is faulty, the old keys stay in force, and
reload says what is wrong. Connections that are open stay.

The exit status is 1 if a node did not do it, 4 if none could be reached.`,
		Example: `  dmq gen-credentials billing >> etc/credentials && dmq reload
  dmq reload /srv/dmqnode/dmqnode-*`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			return t.reload(cmd.Context(), args)
		},
	}
	return uses(cmd, "timeout", "json", "quiet")
}

func (t *tool) reload(ctx context.Context, instances []string) error {
	var failed []error
	for _, instance := range instances {
		path, err := controlSocket(instance)
		var reply string
		if err == nil {
			reply, err = t.control(ctx, path, "update-credentials")
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		t.say("%s: %s", instance, strings.TrimSpace(reply))
	}
	err := errors.Join(failed...)
	if nobodyReached(err) && len(failed) < len(instances) {
		return fmt.Errorf("%w: %w", errSomeMissing, err)
	}
	return err
}

// controlSocket returns the control socket of an instance.
func controlSocket(instance string) (string, error) {
	file := filepath.Join(instance, controlConfig)
	c, _, err := config.Load(file, nil, true)
	if err != nil {
		return "", &hintedError{err, "name the directory of the node, which has " + controlConfig + " in it, or its socket with control --socket"}
	}
	if filepath.IsAbs(c.Server.UnixSocketPath) {
		return c.Server.UnixSocketPath, nil
	}
	return filepath.Join(instance, c.Server.UnixSocketPath), nil
}

// control sends a command to a control socket and returns the reply. A node says in words only
// that it has not done what it was asked for.
func (t *tool) control(ctx context.Context, path, command string) (reply string, err error) {
	defer t.waiting("for the answer at %s", path)()
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return "", &hintedError{fmt.Errorf("%w: %w", errUnreached, err), "does the node run there, and may you write to its socket?"}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	_, err = io.WriteString(conn, command+"\n")
	if err == nil {
		err = conn.(*net.UnixConn).CloseWrite() // after its answer, the node closes the rest
	}
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(conn)
	}
	switch reply = string(answer); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%s: %w", path, context.Cause(ctx))
	case err != nil:
		return "", err
	case reply == "":
		return "", fmt.Errorf("%s: no answer to %q", path, command)
	case strings.HasPrefix(reply, "Command not found"):
		return "", &hintedError{fmt.Errorf("%s: %s: %s", path, command, strings.TrimSpace(reply)), "'dmq control --help' lists the commands"}
	case strings.HasPrefix(strings.ToLower(reply), "error"):
		return "", fmt.Errorf("%s: %s", path, strings.TrimSpace(reply))
	}
	return reply, nil
}
