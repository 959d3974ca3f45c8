package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// version and buildDate are set by the linker:
//
//	-ldflags "-X main.version=v2.0.0 -X 'main.buildDate=2026-01-02 03:04:05 UTC'"
//
// Without them the build information of the Go tool has to do.
var version, buildDate string

// build says which version of the program this is and how it was built (operations spec §1.3).
// Its String is the version line.
type build struct {
	version string   // git description
	details []string // NAME=VALUE, sorted
}

func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return newBuild(version, buildDate, info)
}

func newBuild(version, date string, info *debug.BuildInfo) build {
	if version == "" {
		version = describe(info)
	}
	if date == "" {
		date = commitDate(info)
	}
	details := []string{
		"build_date=" + date,
		"compiler=" + runtime.Compiler + " " + runtime.Version(),
		"go_os_arch=" + runtime.GOOS + "/" + runtime.GOARCH,
	}
	for _, library := range info.Deps {
		name := library.Path
		if library.Replace != nil {
			library = library.Replace
		}
		details = append(details, "lib_"+name+"="+library.Version)
	}
	slices.SortFunc(details, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return build{version, details}
}

// describe is the version that the Go tool found, or at least the commit.
func describe(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision := setting(info, "vcs.revision")
	if revision == "" {
		return "unknown"
	}
	if setting(info, "vcs.modified") == "true" {
		revision += "-dirty"
	}
	return revision
}

// commitDate stands in for the date of the build.
func commitDate(info *debug.BuildInfo) string {
	t, err := time.Parse(time.RFC3339, setting(info, "vcs.time"))
	if err != nil {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// String is the output of --version.
func (b build) String() string { return fmt.Sprintf("dmqnode version %s", b.version) }

// lines is the output of --build-info.
func (b build) lines() []string { return append([]string{b.String()}, b.details...) }

// message is the same on one line, for the logs (operations spec §7.4).
func (b build) message() string { return strings.Join(b.lines(), ", ") }
