package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// dataFiles are the patterns of the files of a data directory, of this node and the original.
var dataFiles = []string{
	"*.rq", "*.rq-aside*", "overflow*.dat", "ofchannels*.csv",
	"catalogue*.dat", "ring-*.dat", "spill-*.dat", "storages.dat",
}

var errNoDataDir = errors.New("this is not the data directory of a node: it has none of its files")

// checkDataDir finds out whether dir is the data directory of a node, and if not, which one
// may have been meant. An empty directory is one: that of a node without records.
func checkDataDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnchecked, err)
	}
	if len(entries) == 0 || slices.ContainsFunc(entries, isDataFile) {
		return nil
	}
	return &hintedError{
		fmt.Errorf("%s: %w", dir, errNoDataDir),
		likelyDataDir(dir),
	}
}

func isDataFile(entry fs.DirEntry) bool {
	return slices.ContainsFunc(dataFiles, func(pattern string) bool {
		matches, _ := filepath.Match(pattern, entry.Name()) // the patterns are good
		return matches
	})
}

// likelyDataDir tells what to check instead of a directory.
func likelyDataDir(dir string) string {
	for _, instance := range []string{dir, filepath.Join(dir, "..")} {
		if check, ok := dataDirOf(instance); ok {
			return fmt.Sprintf("its instance has another one: dmq check %s", check)
		}
	}
	var checks []string
	configs, _ := filepath.Glob(filepath.Join(dir, "*", "etc", "config.ini"))
	for _, file := range configs {
		if check, ok := dataDirOf(filepath.Dir(filepath.Dir(file))); ok {
			checks = append(checks, "dmq check "+check)
		}
	}
	if len(checks) > 0 {
		return "there are instances in it: " + strings.Join(checks, "; ")
	}
	return "it is that of [Server] data_dir in etc/config.ini of the instance, as a rule DIR/data"
}

// dataDirOf returns the arguments of check for an instance, as its configuration says.
func dataDirOf(instance string) (check string, ok bool) {
	data, rings, ok := directoriesOf(instance)
	check = shellWord(data)
	if rings != "" {
		check += " --ring-dir " + shellWord(rings)
	}
	return check, ok
}

// directoriesOf returns the data directory of an instance, and that of its ring files if they
// are elsewhere; not ok if it is no instance.
func directoriesOf(instance string) (data, rings string, ok bool) {
	file := filepath.Join(instance, "etc", "config.ini")
	if _, err := os.Stat(file); err != nil {
		return "", "", false
	}
	in := func(dir string) string {
		if dir == "" || filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(instance, dir)
	}
	c, _, err := config.Load(file, nil, true)
	if err != nil { // which is no reason to tell nothing
		return in("data"), "", true
	}
	return in(c.Server.DataDir), in(c.Storage.RingDir), true
}

// configuredRings returns the directory of the ring files that belong to a data directory, if
// the instance that it is in says so; "" = that itself.
func configuredRings(dir string) string {
	data, rings, ok := directoriesOf(filepath.Join(dir, ".."))
	if !ok {
		return ""
	}
	configured, err := os.Stat(data)
	if err != nil {
		return ""
	}
	if this, err := os.Stat(dir); err != nil || !os.SameFile(this, configured) {
		return ""
	}
	return rings
}

// shellWord quotes what a shell would take apart.
func shellWord(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$&;|<>()*?[]#~`!", r) }) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// untilInterrupted does something that only reads files, and does not wait for its end if
// ctx ends before.
func untilInterrupted(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
