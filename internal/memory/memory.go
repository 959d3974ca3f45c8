// Package memory tells how much memory the process may use: that of the machine, or less if one
// of the control groups that it is in has a limit (version 1 and 2). A process that wants more is
// killed by the kernel without a word.
//
//	/proc/self/cgroup ─── path of the group ──┐
//	/proc/self/mountinfo ─ where groups are ──┴▶ a file for the group and each of those around it
//
// The files are looked for once; the limits are read each time, because they can be changed while
// the process runs.
package memory

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Limit is how much memory the process may use.
type Limit struct {
	Bytes   uint64
	Machine uint64 // memory of the machine
	File    string // of the control group that has the limit; "" if it is that of the machine
}

// Read returns the limit.
func Read() (Limit, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Limit{}, fmt.Errorf("sysinfo: %w", err)
	}
	machine := uint64(info.Totalram) * uint64(info.Unit)
	limit := Limit{Bytes: machine, Machine: machine}
	for _, file := range files() {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the root group has none, and that of an outer container may not be seen
		}
		// The word for no limit, max, is no number.
		if bytes, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && bytes < limit.Bytes {
			limit.Bytes, limit.File = bytes, file
		}
	}
	return limit, nil
}

// files are those with a limit of a group that the process is in.
var files = sync.OnceValue(func() []string {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil // no control groups in this system
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return limitFiles(string(groups), string(mounts))
})

// limitFiles finds them in the texts of the two files (cgroups(7), proc_pid_mountinfo(5)).
func limitFiles(groups, mounts string) (all []string) {
	version1, version2 := groupPaths(groups)
	for line := range strings.Lines(mounts) {
		// ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
		before, after, _ := strings.Cut(line, " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(kind) < 3 {
			continue
		}
		root, point := unescape(mount[3]), unescape(mount[4])
		switch {
		case kind[0] == "cgroup2" && version2 != "":
			all = append(all, ancestors(version2, root, point, "memory.max")...)
		case kind[0] == "cgroup" && version1 != "" && has(kind[2], "memory"):
			all = append(all, ancestors(version1, root, point, "memory.limit_in_bytes")...)
		}
	}
	return all
}

// groupPaths are the groups that account for memory: one of version 1, one of version 2; "" if
// there is none.
func groupPaths(groups string) (version1, version2 string) {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // ID:CONTROLLERS:PATH
		switch {
		case len(fields) < 3:
		case fields[0] == "0" && fields[1] == "":
			version2 = fields[2]
		case has(fields[1], "memory"):
			version1 = fields[2]
		}
	}
	return version1, version2
}

// ancestors are the files of that name of a group and of those around it that can be seen where
// root, as a rule the group of all, is mounted.
func ancestors(group, root, point, name string) (all []string) {
	below := strings.TrimPrefix(group, strings.TrimSuffix(root, "/"))
	if below == group && root != "/" {
		below = "/" // a container that sees its own group as the root of all
	}
	for dir := path.Clean("/" + below); ; dir = path.Dir(dir) {
		all = append(all, path.Join(point, dir, name))
		if dir == "/" {
			return all
		}
	}
}

func has(list, word string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == word {
			return true
		}
	}
	return false
}

// unescape undoes what mountinfo does to white space.
func unescape(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}
