package dformat

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamesOfDumpsThatAreSetAside(t *testing.T) {
	long := "@" + strings.Repeat("x", 251)
	for _, c := range []struct {
		rule, file string
		taken      []string
		want       string
	}{
		{"a free name", "orders.rq", nil, "orders.rq-aside"},
		{"the name is taken", "orders.rq", []string{"orders.rq-aside"}, "orders.rq-aside-2"},
		{"several are taken", "orders.rq", []string{"orders.rq-aside-2", "orders.rq-aside", "orders.rq-aside-4"}, "orders.rq-aside-3"},
		{"the longest storage name", long + ".rq", nil, long[:246] + ".rq-aside"},
		{"the longest storage name, again", long + ".rq", []string{long[:246] + ".rq-aside"}, long[:244] + ".rq-aside-2"},
		{"another one that begins alike", long[:251] + "y.rq", []string{long[:246] + ".rq-aside"}, long[:244] + ".rq-aside-2"},
	} {
		dir := newTestDir()
		for _, name := range c.taken {
			dir.Put(name, []byte("kept"))
		}
		dir.Put(c.file, []byte("damaged"))
		before := dir.state()
		d, _ := mustRead(t, dir)
		if err := Finish(dir, d.Sources); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
		if got := asideOf(d.Sources); got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
		checkFinished(t, dir, before, d.Sources)
	}
}

// A link that leads nowhere has a name, too, and is not to be lost.
func TestSettingAsideDoesNotReplaceALink(t *testing.T) {
	dir, path := tempDir(t)
	err := errors.Join(os.WriteFile(filepath.Join(path, "damaged"), nil, 0o666),
		os.Symlink("nowhere", filepath.Join(path, "orders.rq-aside")), os.Symlink("damaged", filepath.Join(path, "orders.rq")))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read(dir, Left{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Finish(dir, d.Sources); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"orders.rq-aside": "nowhere", "orders.rq-aside-2": "damaged"} {
		if target, err := os.Readlink(filepath.Join(path, name)); target != want {
			t.Errorf("%s: got a link to %q, %v, want %q", name, target, err, want)
		}
	}
}

// If a name has been taken since, the file gets another one.
func TestSettingAsideReplacesNoFile(t *testing.T) {
	dir := newTestDir()
	dir.Put(dataName, []byte("not the magic"))
	d, _ := mustRead(t, dir)
	dir.Put("overflow-aside-1.dat", []byte("kept"))
	if err := Finish(dir, d.Sources); err != nil {
		t.Fatal(err)
	}
	got := dir.state()
	if len(got) != 2 || got["overflow-aside-1.dat"] != "kept" || got["overflow-aside-2.dat"] != "not the magic" {
		t.Errorf("got %q", got)
	}
}

func TestFinishLeavesAFileThatIsAnotherOne(t *testing.T) {
	dir := newTestDir()
	for _, name := range []string{"replaced.rq", "changed.rq", "same.rq", "gone.rq"} {
		dir.Put(name, make([]byte, 12))
	}
	d, _ := mustRead(t, dir)
	dir.Put("replaced.rq", make([]byte, 12))
	f, err := dir.Open("changed.rq")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0}, 0); err != nil {
		t.Fatal(err)
	}
	if err := dir.Remove("gone.rq"); err != nil {
		t.Fatal(err)
	}
	if err := Finish(dir, d.Sources); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(dir.Names(), " "); got != "changed.rq replaced.rq" {
		t.Errorf("what is left is %s, want the two that are not what was read", got)
	}
}

func TestFinishDoesWhatItCan(t *testing.T) {
	dir := newTestDir()
	for _, name := range []string{"a.rq", "b.rq", "c.rq"} {
		dir.Put(name, make([]byte, 12))
	}
	d, _ := mustRead(t, dir)
	dir.failing("remove", "b.rq")
	err := Finish(dir, d.Sources)
	if !errors.Is(err, errTest) || !strings.Contains(err.Error(), "b.rq has been loaded") {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(dir.Names(), " "); got != "b.rq" {
		t.Errorf("what is left is %s, want b.rq", got)
	}
}

func TestChannelsWithAndWithoutSubscribers(t *testing.T) {
	record := string([]byte{1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'r'})
	b := newBuilder()
	x := b.push(1, "x")
	for _, c := range []struct {
		name, index string
		dumps       []string
		want, aside string
		refused     string
	}{
		{"two subscribers", "", []string{"@c", "s@c"}, "@c s@c", "", ""},
		{"two dumps", "", []string{"c", "s@c"}, "c", "s@c.rq-aside", ""},
		{"the empty subscriber", "", []string{"c", "@c", "d"}, "@c d", "c.rq-aside", ""},
		{"plain in the overflow", line("c", 1, 1, x, x), []string{"@c", "c"}, "c", "@c.rq-aside", ""},
		{"a subscriber in the overflow", line("s@c", 1, 1, x, x), []string{"@c", "c"}, "s@c @c", "c.rq-aside", ""},
		{"both in the overflow", line("c", 1, 1, x, x) + line("s@c", 1, 1, x+33, x+33), nil, "", "",
			"ofchannels.csv lists s@c, but there is c, too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newTestDir()
			if c.index != "" {
				data := newBuilder()
				data.push(1, "x")
				if strings.Count(c.index, "\n") > 1 {
					data.push(2, "x")
				}
				dir = data.dir(c.index)
			}
			for _, name := range c.dumps {
				dir.Put(name+".rq", []byte(record))
			}
			if c.refused != "" {
				before := dir.state()
				if _, err := Read(dir, Left{}); err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "to do: ") {
					t.Errorf("got %v, want it refused: %s", err, c.refused)
				}
				checkFinished(t, dir, before, nil)
				dir.Release()
				return
			}
			d, _ := mustRead(t, dir)
			var got []string
			for _, q := range d.Queues {
				got = append(got, q.Storage)
			}
			if strings.Join(got, " ") != c.want || asideOf(d.Sources) != c.aside {
				t.Errorf("got %q, set aside %q, want %q and %q", got, asideOf(d.Sources), c.want, c.aside)
			}
			if c.aside != "" && len(d.Findings) != 1 {
				t.Errorf("findings: %v", d.Findings)
			}
		})
	}
}
