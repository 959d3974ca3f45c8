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

// scan finds the dump files of the directory, and tells what else is there (storage spec §2.4). It
// reads the directory and no file; symbolic links are followed.
//
// A file whose name has a backslash is ignored like others, though the original refuses to
// start in such a directory. A symbolic link named like a dump that leads nowhere, or back to
// itself, is ignored and left; the original takes the former for an empty storage and deletes
// it.
func (d *Directory) scan(left Left) (dumps []*found, err error) {
	entries, err := d.dir.List()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	d.taken = make(map[string]bool, len(entries))
	for _, e := range entries {
		name := e.Name()
		d.taken[name] = true
		switch {
		case left.made(name):
			d.Unneeded = append(d.Unneeded, name)
		case left.loaded(d.dir, name):
			d.Loaded = append(d.Loaded, name)
		default:
			f, ignored, err := look(d.dir, name)
			if err != nil {
				return nil, err
			}
			if f != nil {
				dumps = append(dumps, f)
			}
			if ignored != nil {
				d.report(*ignored)
			}
		}
	}
	return dumps, nil
}

// made reports whether a stop that was interrupted has made a file, and it does not count.
func (l Left) made(name string) bool {
	stem, suffix := split(name)
	return temporary(name) || l.Stopping && (name == dataName || name == indexName || suffix == dumpSuffix && l.Storages[stem])
}

// loaded reports whether a file has been loaded, and is still the same.
func (l Left) loaded(dir disk.Dir, name string) bool {
	i := slices.IndexFunc(l.Sources, func(s Source) bool { return s.Name == name })
	if i < 0 {
		return false
	}
	there, err := l.Sources[i].isThere(dir)
	return there && err == nil
}

// look tells what one entry is: a dump, or ignored, which may be worth telling.
func look(dir disk.Dir, name string) (f *found, ignored *Finding, err error) {
	ignore := func(reason string) (*found, *Finding, error) {
		return nil, &Finding{Severity: Warning, File: name, Problem: Ignored, Meaning: reason}, nil
	}
	fault := func(reason, remedy string) (*found, *Finding, error) {
		return nil, &Finding{Severity: Error, File: name, Problem: reason,
			Meaning: "no node loads it; records that it may hold stay in it", Remedy: "while the node is stopped, " + remedy}, nil
	}
	switch {
	case strings.Contains(name, `\`):
		return ignore(`a name with a \; the D node does not start while such a file is there`)
	case strings.HasPrefix(name, "."):
		return nil, nil, nil
	}
	stem, suffix := split(name)
	info, statErr := dir.Stat(name)
	switch {
	case statErr == nil && info.IsDir():
		return ignore("a subdirectory")
	case statErr == nil && !info.Mode().IsRegular(), suffix == ".dat", suffix == ".csv":
		return nil, nil, nil
	case strings.HasPrefix(suffix, asideSuffix):
		return ignore("a dump that was set aside; the log of that start tells why, and how many of its records were loaded")
	case suffix != dumpSuffix:
		return ignore(fmt.Sprintf("not a dump, whose name ends in %s", dumpSuffix))
	}
	f = &found{Queue{Storage: stem}, info}
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
	return f, nil, statErr
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
