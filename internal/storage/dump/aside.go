package dump

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// asideSuffix ends the names of files that were set aside, but for a number. Neither node
// loads such a file, and both mention it in the log at every start.
const asideSuffix = Suffix + "-aside"

// maxName is the length in bytes of the longest name that a file can have.
const maxName = 255

// SetAside renames a file to a name that no file has and that no node loads:
// <storage>.rq-aside, or the same with a number, its front part cut as far as necessary. A
// symbolic link is renamed itself. The caller syncs the directory. After an error the
// directory is as it was.
func SetAside(dir disk.Dir, fileName string) (newName string, err error) {
	entries, err := dir.List()
	if err != nil {
		return "", fmt.Errorf("set %s aside: %w", dir.Path(fileName), err)
	}
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name()] = true
	}
	newName = asideName(fileName, 1)
	for i := 2; taken[newName]; i++ {
		newName = asideName(fileName, i)
	}
	if err := dir.Rename(fileName, newName); err != nil {
		return "", fmt.Errorf("set %s aside: %w", dir.Path(fileName), err)
	}
	return newName, nil
}

func asideName(fileName string, number int) string {
	suffix := asideSuffix
	if number > 1 {
		suffix += "-" + strconv.Itoa(number)
	}
	front := strings.TrimSuffix(fileName, Suffix)
	return front[:min(len(front), maxName-len(suffix))] + suffix
}
