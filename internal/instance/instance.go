// Package instance looks at the directory that a node is about to run in, before the node
// changes anything there, for what an operator would want to be told: a data directory that is
// about to be created although the records are in another one, keys that others can read.
//
// It only looks. It imports nothing else of the node.
package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CheckDataDir tells what is wrong with a data directory that the node would create. A warning is
// for one that is new although a node has run here before, a log file of which is given: then the
// records are most likely somewhere else. An error is for a link that leads nowhere: what it
// should lead to is not mounted, perhaps.
func CheckDataDir(dir string, logFiles ...string) (warning string, err error) {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return "", nil // there, or an error that creating it gives, too
	}
	if target, err := os.Readlink(dir); err == nil {
		return "", fmt.Errorf("data directory %s is a link to %s, which does not exist: is it mounted?", dir, target)
	}
	for _, file := range logFiles {
		if info, err := os.Stat(file); err == nil && info.Size() > 0 {
			return fmt.Sprintf("data directory %q is new, but a node has run here before (%s): it had its records elsewhere%s",
				dir, file, others(dir)), nil
		}
	}
	return "", nil
}

// others names the directories beside dir that hold files of queues.
func others(dir string) string {
	var found []string
	entries, _ := os.ReadDir(filepath.Dir(dir)) // no entries, no hint
	for _, entry := range entries {
		if path := filepath.Join(filepath.Dir(dir), entry.Name()); HasQueues(path) {
			found = append(found, fmt.Sprintf("%q", path))
		}
	}
	if len(found) == 0 {
		return ""
	}
	return ", perhaps in " + strings.Join(found, " or ")
}

// HasQueues tells whether a directory holds files of queues, of this node or of the original.
func HasQueues(dir string) bool {
	for _, pattern := range []string{"*.rq", "*.dat"} {
		if files, _ := filepath.Glob(filepath.Join(escaped(dir), pattern)); len(files) > 0 {
			return true
		}
	}
	return false
}

// escaped is a path in which no character means anything to Glob.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// CheckSecret tells whether others than the node's user and group can read a file of keys. One that
// has none is no secret.
func CheckSecret(file string) (warning string) {
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o004 == 0 || info.Size() == 0 {
		return ""
	}
	return fmt.Sprintf("everybody on this machine can read the keys of clients in %s, mode %04o: chmod o= %s",
		file, info.Mode().Perm(), file)
}
