package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/etc"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

func newNewInstance(t *tool) *cobra.Command {
	var n newInstance
	cmd := &cobra.Command{
		Use:   "new-instance DIR",
		Short: "Make the directory of a new node",
		Long: `New-instance makes DIR, in which a node can be started:

  etc/config.ini    the configuration that dmqnode comes with; every key is
                    described in it
  etc/credentials   a new random key for one client of the neo protocol, named
                    dmq, that only the owner can read
  data/  log/       empty

--set replaces values of the configuration, written as for dmqnode -O. Several
nodes of a machine need different ports.

If root runs it, everything belongs to --user, or else to the owner of the
directory above. What is there already is left alone, but for a directory with
anything else in it, or an instance: that is an error.`,
		Example: `  dmq new-instance /srv/dmqnode/dmqnode-1
  dmq new-instance /srv/dmqnode/dmqnode-2 --set Server.port=10010 --set Server.neoport=10011
  dmq new-instance try -O Server.address=127.0.0.1 -O LOG.Root.console=true`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("new-instance needs exactly a DIR, but has %d arguments", len(args))
			}
			if args[0] == "" {
				return errors.New("DIR is empty")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if n.config, err = edited(etc.Config, n.set); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if err := n.in(args[0]); err != nil {
				return err
			}
			result := struct {
				Instance string `json:"instance"`
			}{args[0]}
			return t.report(result, fmt.Sprintf("%s is ready; start it with: cd %s && dmqnode -c etc/config.ini", args[0], shellWord(args[0])))
		},
	}
	cmd.Flags().StringArrayVarP(&n.set, "set", "O", nil, "`SECTION.KEY=VALUE` in etc/config.ini; may be repeated")
	cmd.Flags().StringVar(&n.user, "user", "", "`name` of the user that everything belongs to")
	return uses(cmd, "json", "quiet")
}

// newInstance is how an instance is made.
type newInstance struct {
	set  []string // overrides
	user string   // "" = the owner of the directory above

	config string
	uid    int // -1: nothing is changed
	gid    int
}

// in makes the instance.
func (n *newInstance) in(dir string) error {
	if err := n.findOwner(dir); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Lchown(dir, n.uid, n.gid)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return underMissing(dir, err)
	}
	if err := checkVacant(dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // links lead nowhere outside of it, whoever has made them
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range []string{"etc", "data", "log"} {
		if err := n.directory(root, name); err != nil {
			return err
		}
	}
	_, line := newKey("dmq")
	if err := n.file(root, "etc/credentials", line+"\n", 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return n.file(root, "etc/config.ini", n.config, 0o644) // last: with it, it is an instance
}

// findOwner finds out who everything is to belong to.
func (n *newInstance) findOwner(dir string) error {
	n.uid, n.gid = -1, -1
	switch {
	case n.user != "":
		u, err := user.Lookup(n.user)
		if err != nil {
			return err
		}
		n.uid, _ = strconv.Atoi(u.Uid) // are numbers on UNIX
		n.gid, _ = strconv.Atoi(u.Gid)
	case os.Geteuid() == 0:
		above, err := os.Stat(filepath.Join(dir, ".."))
		if errors.Is(err, fs.ErrNotExist) { // DIR is to be made
			above, err = os.Stat(filepath.Dir(filepath.Clean(dir)))
		}
		if err != nil {
			return underMissing(dir, err)
		}
		n.uid, n.gid = ownerOf(above)
	}
	return nil
}

// underMissing says what to do if the directory above is missing: only that of the instance is made, as
// the name of another one is likely to be a mistake.
func underMissing(dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return &hintedError{err, fmt.Sprintf("make the directory above first: mkdir -p %s", shellWord(filepath.Dir(filepath.Clean(dir))))}
}

// checkVacant finds what is in the way of a new instance.
func checkVacant(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, "etc/config.ini")); err == nil {
		return fmt.Errorf("%s is an instance already: it has etc/config.ini", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"etc", "data", "log"}, entry.Name()) {
			return fmt.Errorf("%s has something else in it already: %s", dir, entry.Name())
		}
	}
	return nil
}

// directory makes one, if it is not there.
func (n *newInstance) directory(root *os.Root, name string) error {
	err := root.Mkdir(name, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return root.Lchown(name, n.uid, n.gid)
}

// file makes one, which must not be there.
func (n *newInstance) file(root *os.Root, name, content string, mode fs.FileMode) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err = errors.Join(err, file.Chown(n.uid, n.gid), file.Sync(), file.Close()); err != nil {
		root.Remove(name)
	}
	return err
}

// edited returns the text of a configuration with some values replaced, where they stand.
func edited(text string, assignments []string) (string, error) {
	lines := strings.Split(text, "\n")
	for _, assignment := range assignments {
		o, err := config.ParseOverride(assignment)
		if err != nil {
			return "", err
		}
		at := findKey(lines, o)
		if at < 0 {
			return "", fmt.Errorf("--set %s: etc/config.ini has no key %s in [%s]", assignment, o.Key, o.Section)
		}
		lines[at] = o.Key + " = " + o.Value
	}
	text = strings.Join(lines, "\n")
	return text, checkConfig(text)
}

// findKey returns the line that a key is in, also as a comment with the default; -1 if none is.
func findKey(lines []string, o config.Override) int {
	section := ""
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
		}
		key, _, assigned := strings.Cut(strings.TrimPrefix(line, "#"), "=")
		if assigned && section == o.Section && strings.TrimSpace(key) == o.Key {
			return i
		}
	}
	return -1
}

// checkConfig finds out what a node would say to a configuration.
func checkConfig(text string) error {
	file, err := os.CreateTemp("", "config.ini-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if _, _, err := config.Load(file.Name(), nil, false); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), file.Name(), "etc/config.ini"))
	}
	return nil
}
