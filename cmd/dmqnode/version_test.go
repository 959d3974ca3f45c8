package main

import (
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	settings := func(revision, modified, time string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified}, {Key: "vcs.time", Value: time}}
	}
	compiler := "compiler=" + runtime.Compiler + " " + runtime.Version()
	platform := "go_os_arch=" + runtime.GOOS + "/" + runtime.GOARCH
	tests := []struct {
		rule          string
		version, date string
		info          debug.BuildInfo
		want          build
	}{
		{
			"the linker's values win", "v2.0.0-3-gabc", "2026-01-02 03:04:05 UTC",
			debug.BuildInfo{Main: debug.Module{Version: "v1.0.0"}, Settings: settings("abc", "true", "2020-01-01T00:00:00Z")},
			build{"v2.0.0-3-gabc", []string{"build_date=2026-01-02 03:04:05 UTC", compiler, platform}},
		},
		{
			"version of the module", "", "",
			debug.BuildInfo{Main: debug.Module{Version: "v1.0.0"}, Settings: settings("abc", "false", "2026-01-02T03:04:05+02:00")},
			build{"v1.0.0", []string{"build_date=2026-01-02 01:04:05 UTC", compiler, platform}},
		},
		{
			"commit", "", "",
			debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: settings("abc", "false", "")},
			build{"abc", []string{"build_date=unknown", compiler, platform}},
		},
		{
			"modified commit", "", "",
			debug.BuildInfo{Settings: settings("abc", "true", "")},
			build{"abc-dirty", []string{"build_date=unknown", compiler, platform}},
		},
		{
			"nothing known", "", "", debug.BuildInfo{},
			build{"unknown", []string{"build_date=unknown", compiler, platform}},
		},
		{
			"libraries, sorted by name", "v1", "d",
			debug.BuildInfo{Deps: []*debug.Module{
				{Path: "x/b", Version: "v2.0.0", Replace: &debug.Module{Path: "y", Version: "v3.0.0"}},
				{Path: "x/a/c", Version: "v1.1.0"},
				{Path: "x/a", Version: "v1.0.0"},
			}},
			build{"v1", []string{"build_date=d", compiler, platform, "lib_x/a=v1.0.0", "lib_x/a/c=v1.1.0", "lib_x/b=v3.0.0"}},
		},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			if got := newBuild(test.version, test.date, &test.info); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q\nwant %q", got, test.want)
			}
		})
	}
}

// The three forms of operations spec §1.3.
func TestBuildForms(t *testing.T) {
	b := build{"v1", []string{"a=1", "b=2 3"}}
	if got, want := b.String(), "dmqnode version v1"; got != want {
		t.Errorf("version line: got %q, want %q", got, want)
	}
	if got, want := b.lines(), []string{"dmqnode version v1", "a=1", "b=2 3"}; !slices.Equal(got, want) {
		t.Errorf("build info: got %q, want %q", got, want)
	}
	if got, want := b.message(), "dmqnode version v1, a=1, b=2 3"; got != want {
		t.Errorf("log message: got %q, want %q", got, want)
	}
}

func TestVersionOptions(t *testing.T) {
	tests := []struct{ option, want string }{
		{"--version", `\Admqnode version \S+\n\z`},
		{"--build-info", `\Admqnode version \S+\nbuild_date=.+\ncompiler=.+\ngo_os_arch=.+\n(lib_\S+=.+\n)*\z`},
	}
	for _, test := range tests {
		var stdout, stderr strings.Builder
		commandLine([]string{test.option}, &stdout, &stderr)
		if !regexp.MustCompile(test.want).MatchString(stdout.String()) {
			t.Errorf("%s: got %q, want %s", test.option, &stdout, test.want)
		}
	}
}
