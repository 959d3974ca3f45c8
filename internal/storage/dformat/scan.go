package dformat

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

// found is a dump file.
type found struct {
	Queue
	info fs.FileInfo
}

// scan tells which entries of the directory are dump files and which are not (storage spec
// §2.4). It reads the directory and no file; symbolic links are followed.
//
// A file whose name has a backslash is ignored like others, though the original refuses to
// start in such a directory. A symbolic link named like a dump that leads nowhere, or back to
// itself, is ignored and left; the original takes the former for an empty storage and deletes
// it.
func scan(dir disk.Dir) (dumps []found, others []Ignored, taken map[string]bool, err error) {
	entries, err := dir.List()
	if err != nil {
		return nil, nil, nil, err
	}
	taken = make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name()] = true
		f, ignored, err := look(dir, e.Name())
		switch {
		case err != nil:
			return nil, nil, nil, err
		case ignored.Reason != "":
			others = append(others, ignored)
		default:
			dumps = append(dumps, f)
		}
	}
	slices.SortFunc(dumps, func(a, b found) int { return cmp.Compare(a.Storage, b.Storage) })
	slices.SortFunc(others, func(a, b Ignored) int { return cmp.Compare(a.Name, b.Name) })
	return dumps, others, taken, nil
}

// look tells what one entry is: it is ignored if there is a reason to.
func look(dir disk.Dir, name string) (f found, ignored Ignored, err error) {
	ignore := func(s Severity, reason string) (found, Ignored, error) {
		return found{}, Ignored{name, s, reason, ""}, nil
	}
	fault := func(reason, remedy string) (found, Ignored, error) {
		return found{}, Ignored{name, Error, reason, "while the node is stopped, " + remedy}, nil
	}
	switch {
	case strings.Contains(name, `\`):
		return ignore(Warning, `a name with a \; the D node does not start while such a file is there`)
	case strings.HasPrefix(name, "."):
		return ignore(Silent, "a hidden file")
	}
	stem, suffix := split(name)
	info, statErr := dir.Stat(name)
	switch {
	case statErr == nil && info.IsDir():
		return ignore(Warning, "a subdirectory")
	case statErr == nil && !info.Mode().IsRegular():
		return ignore(Silent, "not a regular file")
	case suffix == ".dat" || suffix == ".csv":
		return ignore(Silent, "not a dump")
	case strings.HasPrefix(suffix, asideSuffix):
		return ignore(Warning, "a dump that was set aside; the log of that start tells why, and how many of its records were loaded")
	case suffix != dumpSuffix:
		return ignore(Warning, fmt.Sprintf("not a dump, whose name ends in %s", dumpSuffix))
	}
	f.Storage, f.info = stem, info
	var ok bool
	f.Subscriber, f.Channel, f.Subscribed, ok = names.ParseStorage(stem)
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
	}
	return f, Ignored{}, statErr
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
