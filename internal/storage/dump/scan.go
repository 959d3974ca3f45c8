package dump

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Found is a dump file.
type Found struct {
	File       string // its name
	Storage    string
	Subscriber string // of the storage, if it has one
	Channel    string
	Subscribed bool // the storage is that of a subscriber, whose name may be empty
	ID         ID
}

// Ignored is another entry of the directory.
type Ignored struct {
	Name     string
	Severity Severity
	Reason   string // why it is not loaded: a clause without the name
	Remedy   string // of an Error: what to do, a clause, too
}

// Severity tells how an ignored entry is to be logged.
type Severity int

// Severities.
const (
	Silent  Severity = iota // not at all
	Warning                 // what is it doing here?
	Error                   // it may hold records
)

// Scan tells which entries of the directory are dump files and which are not (storage spec
// §2.4), both sorted by name. It reads the directory and no file; symbolic links are
// followed.
//
// A file whose name has a backslash is ignored like others, though the original refuses to
// start in such a directory. A symbolic link named like a dump that leads nowhere, or back to
// itself, is ignored and left; the original takes the former for an empty storage and deletes
// it. An entry that cannot be looked at is in neither list, but named in the error; it may be a
// dump.
func Scan(dir disk.Dir) ([]Found, []Ignored, error) {
	entries, err := dir.List()
	if err != nil {
		return nil, nil, fmt.Errorf("look for dumps in %s: %w", dir.Path(""), err)
	}
	var dumps []Found
	var others []Ignored
	var failed []error
	for _, e := range entries {
		found, ignored, err := look(dir, e.Name())
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("dump %s: %w", dir.Path(e.Name()), err))
		case ignored.Reason != "":
			others = append(others, ignored)
		default:
			dumps = append(dumps, found)
		}
	}
	slices.SortFunc(dumps, func(a, b Found) int { return cmp.Compare(a.File, b.File) })
	slices.SortFunc(others, func(a, b Ignored) int { return cmp.Compare(a.Name, b.Name) })
	return dumps, others, errors.Join(failed...)
}

// look tells what one entry is: it is ignored if there is a reason to.
func look(dir disk.Dir, name string) (found Found, ignored Ignored, err error) {
	ignore := func(s Severity, reason string) (Found, Ignored, error) {
		return Found{}, Ignored{name, s, reason, ""}, nil
	}
	fault := func(reason, remedy string) (Found, Ignored, error) {
		return Found{}, Ignored{name, Error, reason, "while the node is stopped, " + remedy}, nil
	}
	switch {
	case strings.Contains(name, `\`):
		return ignore(Warning, `a name with a \; the D node does not start while such a file is there`)
	case strings.HasPrefix(name, "."):
		return ignore(Silent, "a hidden file")
	}
	info, statErr := dir.Stat(name)
	if statErr == nil {
		switch {
		case info.IsDir():
			return ignore(Warning, "a subdirectory")
		case !info.Mode().IsRegular():
			return ignore(Silent, "not a regular file")
		}
	}
	stem, suffix := split(name)
	switch {
	case suffix == ".dat" || suffix == ".csv":
		return ignore(Silent, "not a dump")
	case strings.HasPrefix(suffix, asideSuffix):
		return ignore(Warning, "a dump that was set aside; the log of that start tells why, and how many of its records were loaded")
	case suffix != Suffix:
		return ignore(Warning, fmt.Sprintf("not a dump, whose name ends in %s", Suffix))
	}
	found.File, found.Storage = name, stem
	var ok bool
	found.Subscriber, found.Channel, found.Subscribed, ok = names.ParseStorage(stem)
	switch {
	case !ok:
		return fault("not the name of a storage: a channel or subscriber@channel, of letters, digits, _ and -",
			"rename it to STORAGE.rq, or move it away")
	case errors.Is(statErr, fs.ErrNotExist):
		return fault("a symbolic link to a file that does not exist",
			"get the file back, or remove the link")
	case errors.Is(statErr, unix.ELOOP):
		return fault("a symbolic link that leads back to itself",
			"let it lead to a file, or remove it")
	case statErr != nil:
		return Found{}, Ignored{}, statErr
	}
	found.ID = identity(info)
	return found, Ignored{}, nil
}

// split cuts a file name in front of its last dot and the dots adjacent to that.
func split(name string) (stem, suffix string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return name, ""
	}
	stem = strings.TrimRight(name[:dot], ".")
	return stem, name[len(stem):]
}
