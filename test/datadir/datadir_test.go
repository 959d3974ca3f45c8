package datadir

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The reader must find what it is there for, else the tests that rely on it prove nothing.
func TestReaderOfStoppedDirectories(t *testing.T) {
	good := FilesOf(t, filepath.Join(Fixtures, "interleaved"))
	write := func(t *testing.T, change func(files map[string]string)) error {
		files := maps.Clone(good)
		change(files)
		dir := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := ReadStopped(dir, func(string) int { return 64 })
		return err
	}
	set := func(name string, at int, to string) func(map[string]string) {
		return func(files map[string]string) {
			files[name] = files[name][:at] + to + files[name][min(len(files[name]), at+len(to)):]
		}
	}
	cut := func(name string, by int) func(map[string]string) {
		return func(files map[string]string) { files[name] = files[name][:len(files[name])-by] }
	}
	replace := func(name, old, with string) func(map[string]string) {
		return func(files map[string]string) { files[name] = strings.Replace(files[name], old, with, 1) }
	}
	if err := write(t, func(map[string]string) {}); err != nil {
		t.Errorf("the fixture itself: %v", err)
	}
	for name, change := range map[string]func(map[string]string){
		"another file":           set("ring-000001.dat", 0, "x"),
		"an invalid name":        set("a.b.rq", 0, DumpOf()),
		"a mixed channel":        set("events.rq", 0, DumpOf("x")),
		"a dump beyond its ring": set("big.rq", 0, DumpOf(strings.Repeat("x", 57))),
		"a wrong record count":   set("logs.rq", 0, "\x04"),
		"a cut dump":             cut("logs.rq", 1),
		"a cut overflow":         cut("overflow.dat", 1),
		"a wrong parity":         set("overflow.dat", 56+16, "\x00"),
		"no index":               func(files map[string]string) { delete(files, "ofchannels.csv") },
		"a missing index line":   set("ofchannels.csv", 0, "\n"),
		"wrong records":          replace("ofchannels.csv", "logs 4", "logs 3"),
		"wrong bytes":            replace("ofchannels.csv", " 57 ", " 58 "),
		"a wrong first":          replace("ofchannels.csv", " 56 ", " 118 "),
		"a wrong last":           replace("ofchannels.csv", " 651", " 150"),
		"an index entry twice":   replace("ofchannels.csv", "new-chan 1 70 705 705", "other 1 70 705 705\nnew-chan 1 70 705 705"),
	} {
		if err := write(t, change); err == nil {
			t.Errorf("%s: the reader finds no fault", name)
		}
	}
}
