package check

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const busyTable = `
                         memory:         overflow:          total:
storage      kind        records  bytes    records  bytes  records  bytes
@events      subscriber        2      2          0      0        2      2
jobs         plain             2      8          0      0        2      8
late@events  subscriber        0      0          0      0        0      0
logs         plain             1    600          2    601        3   1201
total: 4                       5    610          2    601        7   1211
`

// How a directory was left, what is in it, and what the next start does with it.
func TestSituations(t *testing.T) {
	stopped := func(t *testing.T, keep bool) string {
		o := options(t.TempDir())
		o.Keep = keep
		closeIt(t, busy(t, o))
		return o.Dir
	}
	interrupted := func(t *testing.T) string { // after the dumps were loaded, before anything counts
		dir := stopped(t, false)
		cs, err := storage.Load(options(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer closeIt(t, cs)
		return killed(t, dir)
	}
	for _, test := range []struct {
		name      string
		left      func(t *testing.T) string
		situation Situation
		texts     []string
	}{
		{"nothing", func(t *testing.T) string { return t.TempDir() }, Empty,
			[]string{": no records, no subscriptions.\n\nNo faults.\n"}},
		{"killed", func(t *testing.T) string {
			cs := busy(t, options(t.TempDir()))
			defer closeIt(t, cs)
			return killed(t, cs.dir)
		}, Killed, []string{"a node was killed or crashed.", busyTable, "No faults."}},
		{"stop = keep", func(t *testing.T) string { return stopped(t, true) }, Kept,
			[]string{"stop = keep", "dmq export", busyTable, "No faults."}},
		{"stop = dump", func(t *testing.T) string { return stopped(t, false) }, Stopped,
			[]string{"stopped cleanly.\n", busyTable, "No faults."}},
		{"killed in a start", interrupted, Interrupted,
			[]string{"interrupted", busyTable, "nobody needs it any more", "No faults."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := directory(t, test.left(t))
			got := text(t, r)
			if r.Situation != test.situation {
				t.Errorf("situation: got %s, want %s", r.Situation, test.situation)
			}
			for _, want := range test.texts {
				if !strings.Contains(got, want) {
					t.Errorf("got\n%s\nwant it to contain\n%s", got, want)
				}
			}
		})
	}
}

// The records that the D node of the specification left are counted as a start loads them.
func TestFilesOfTheOriginal(t *testing.T) {
	for name, want := range map[string]struct {
		situation Situation
		total     Counts
		faults    int
	}{
		"loadfiles":           {Stopped, Counts{count(5, 50), count(7, 70), count(12, 120)}, 0},
		"crash/lost-index":    {Outdated, Counts{}, 4},
		"crash/stale-pushed":  {Outdated, Counts{Overflow: count(4, 22), Total: count(4, 22)}, 1},
		"crash/stale-popped":  {Stopped, Counts{Overflow: count(3, 16), Total: count(3, 16)}, 0},
		"crash/stale-drained": {Outdated, Counts{Overflow: count(2, 7), Total: count(2, 7)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := directory(t, filepath.Join("..", "..", "..", "docs", "spec", "fixtures", name))
			if r.Situation != want.situation || r.Totals != want.total || len(r.Faults) != want.faults {
				t.Errorf("got %s, %+v and %d faults, want %s, %+v and %d\n%s",
					r.Situation, r.Totals, len(r.Faults), want.situation, want.total, want.faults, text(t, r))
			}
		})
	}
}

// Files that no start loads are named, with what to do about them.
func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"a.b.rq": "", "README": "", `back\slash`: "", "falloctest_x": "", "ring-000007-aside.dat": "x", "catalogue-new.dat": "x",
		"jobs.rq-aside":        "\x02\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00v",
		"overflow-aside-1.dat": "QDSKOF01",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(strings.Fields(text(t, directory(t, dir))), " ")
	for _, want := range []string{
		"FAULT a.b.rq: not the name of a storage", "rename it to STORAGE.rq", "README: ignored", `back\slash: ignored`,
		"falloctest_x: a probe", "ring-000007-aside.dat: set aside", "catalogue-new.dat: nobody needs it any more", "which has loaded the 1 record of 1 bytes before the damage",
		"overflow-aside-1.dat: overflow records", "Faults: 1",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant it to contain %q", got, want)
		}
	}
}

// Without a ring file that had records no node starts: the report says so, and what else is there.
func TestMissingRing(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	dir := killed(t, cs.dir)
	jobs := ringOf(t, dir, "jobs")
	if err := os.Remove(filepath.Join(dir, jobs)); err != nil {
		t.Fatal(err)
	}
	r := directory(t, dir)
	if len(r.Faults) != 1 || r.Faults[0].File != jobs || r.Faults[0].Storage != "jobs" || !strings.Contains(r.Faults[0].Remedy, "make an empty one") {
		t.Errorf("got faults %+v, want one of %s with a remedy", r.Faults, jobs)
	}
	if want := count(5, 1203); r.Totals.Total != want || r.Situation != Killed {
		t.Errorf("got %s with %v, want killed with the %v of the others", r.Situation, r.Totals.Total, want)
	}
	if err := os.WriteFile(filepath.Join(dir, jobs), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := directory(t, dir); len(r.Faults) != 1 || !strings.Contains(r.Faults[0].Meaning, "given up") {
		t.Errorf("with an empty file: got faults %+v, want one that says that the records are given up", r.Faults)
	}
}

// A node that runs is known by its lock; its files are counted.
func TestRunningNode(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	r := directory(t, cs.dir)
	// The record that was delivered out of turn is still in the ring.
	if want := count(8, 1214); r.Situation != Running || r.Totals.Total != want || len(r.Storages) != 4 {
		t.Errorf("got %s, %v and storages %v, want running and %v", r.Situation, r.Totals.Total, r.Storages, want)
	}
	if got := text(t, r); !strings.Contains(got, "The numbers are a snapshot") {
		t.Errorf("got\n%s", got)
	}
}

// A check changes nothing, access times neither.
func TestNothingIsChanged(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	dir := killed(t, cs.dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	long := unix.Timespec{Sec: 1e9} // ago, so that the system would change it
	look := func() (all map[string]unix.Stat_t) {
		all = make(map[string]unix.Stat_t)
		for _, name := range []string{"."} {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, name), &st); err != nil {
				t.Fatal(err)
			}
			all[name] = st
		}
		for _, e := range entries {
			var st unix.Stat_t
			if err := unix.Stat(filepath.Join(dir, e.Name()), &st); err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = st
		}
		return all
	}
	for _, e := range append(entries, nil) {
		name := dir
		if e != nil {
			name = filepath.Join(dir, e.Name())
		}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{long, long}, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := look()
	directory(t, dir)
	for name, after := range look() {
		if after != before[name] {
			t.Errorf("%s: got %+v, want it as it was, %+v", name, after, before[name])
		}
	}
	if now, err := os.ReadDir(dir); err != nil || len(now) != len(entries) {
		t.Errorf("there are %d files, %v, want %d", len(now), err, len(entries))
	}
}

// Whatever is damaged: a check ends with a report, and if a node starts, it hands out what the
// report has counted.
func TestDamageIsCountedAsAStartFindsIt(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	random := rand.New(rand.NewPCG(1, 2))
	faults, started := 0, 0
	for i := range 100 {
		dir := killed(t, cs.dir)
		what := fmt.Sprintf("%d: %s", i, damage(t, dir, random))
		f, s := compare(t, dir, what)
		faults, started = faults+f, started+s
	}
	if faults < 10 || started < 10 {
		t.Errorf("%d reports with faults and %d starts: the damage is not varied enough", faults, started)
	}
}

// A length that takes in the records behind it costs these, and brings none back.
func TestLengthThatTakesInRecords(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	dir := killed(t, cs.dir)
	file := filepath.Join(dir, ringOf(t, dir, "@events"))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[headSize] += 8
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if faults, started := compare(t, dir, "length"); faults != 1 || started != 1 {
		t.Errorf("got %d reports with faults and %d starts, want 1 and 1", faults, started)
	}
}

// compare starts a node and compares what it hands out with what a check has told.
func compare(t *testing.T, dir, what string) (faults, started int) {
	t.Helper()
	r := directory(t, dir)
	faults = min(len(r.Faults), 1)
	node, err := storage.Load(options(dir))
	if err != nil {
		if len(r.Faults)+len(r.Incomplete) == 0 {
			t.Errorf("%s: a start fails, which the report does not tell: %v\n%s", what, err, text(t, r))
		}
		return faults, 0
	}
	defer closeIt(t, node)
	if err := node.Serve(); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]Count)
	for _, s := range r.Storages {
		want[s.Name] = s.Total
	}
	if got := fmt.Sprint(drain(t, node)); got != fmt.Sprint(want) {
		t.Errorf("%s: a start has %v, and the report\n%s", what, got, text(t, r))
	}
	return faults, 1
}

// damage changes some bytes of a file where they matter, or cuts it.
func damage(t *testing.T, dir string, random *rand.Rand) (what string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	name := files[random.IntN(len(files))]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	used := []int{0, 40, 64, 704, 4096}
	at := used[random.IntN(len(used))] + random.IntN([]int{8, 40, 640}[random.IntN(3)])
	what = fmt.Sprintf("%s at %d", filepath.Base(name), at)
	switch random.IntN(4) {
	case 0:
		b, what = b[:at], what+" cut"
	case 1:
		b[at] = 0
	default:
		b[at] ^= 1 << random.IntN(8)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}

// drain takes all records, and counts them by storage.
func drain(t *testing.T, cs *storage.Channels) map[string]Count {
	t.Helper()
	counts := make(map[string]Count)
	for _, f := range cs.Figures() {
		c := cs.Find([]byte(f.Channel))
		c.Lock()
		s, err := c.Subscribe(f.Subscriber)
		if err != nil {
			t.Fatal(err)
		}
		var consumer storage.Consumer
		woken := make(bell, 1)
		consumer.Attach(s, woken)
		c.Commit()
		var n Count
		for runs := []*storage.Run(nil); ; {
			if runs, _, err = consumer.Next(runs, 1<<20, false); err != nil {
				t.Fatal(err)
			}
			if now, err := cs.Queue(consumer.Queue()); err != nil || len(runs) == 0 && now.MemoryRecords+now.OverflowRecords == 0 {
				break
			}
			if len(runs) == 0 { // a file is read
				<-woken
			}
			for _, r := range runs {
				n.Add(count(uint64(r.Records()), uint64(len(r.Bytes())-ring.HeaderSize*r.Records())))
			}
		}
		consumer.Leave(nil, 0)
		counts[names.Storage(f.Subscriber, f.Channel, f.Subscribed)] = n
	}
	return counts
}

func count(records, bytes uint64) Count { return Count{Records: records, Bytes: bytes} }

// bell is rung to wake a consumer.
type bell chan struct{}

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}
