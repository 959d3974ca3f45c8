package check

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// A dump of a ring file that was set aside has what it holds, and a node loads it.
func TestExtractRing(t *testing.T) {
	for _, test := range []struct {
		name    string
		storage string
		change  func(b []byte) []byte // of the file
		want    []string              // records
		damage  string
	}{
		{"intact", "logs", nil, []string{strings.Repeat("x", 600)}, ""},
		{"one delivered out of turn", "jobs", nil, []string{"one", "three"}, ""},
		{"records behind the end", "jobs", func(b []byte) []byte { return b[:headSize+11] }, []string{"one"}, "it has 4107 bytes"},
		{"a damaged length", "@events", func(b []byte) []byte { b[headSize+10+7] = 0x7f; return b }, []string{"e1"}, "offset 4106: what lies there is no record"},
		{"a damaged head", "logs", func(b []byte) []byte { b[64+8] ^= 7; b[64+8+48] ^= 7; return b }, []string{strings.Repeat("x", 600)}, "does not tell which"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cs := busy(t, options(t.TempDir()))
			defer closeIt(t, cs)
			dir := killed(t, cs.dir)
			aside := filepath.Join(t.TempDir(), "ring-000001-aside.dat")
			b, err := os.ReadFile(filepath.Join(dir, ringOf(t, dir, test.storage)))
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				b = test.change(b)
			}
			if err := os.WriteFile(aside, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var dump bytes.Buffer
			count, damage, err := Extract(aside, 0, &dump)
			if err != nil || !strings.Contains(damage, test.damage) || (damage == "") != (test.damage == "") {
				t.Fatalf("got damage %q and error %v, want damage %q", damage, err, test.damage)
			}
			if want := len(strings.Join(test.want, "")); int(count.Records) != len(test.want) || int(count.Bytes) != want {
				t.Errorf("got %v, want %d of %d", count, len(test.want), want)
			}
			o := options(t.TempDir())
			if err := os.WriteFile(filepath.Join(o.Dir, "again.rq"), dump.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			node := load(t, o)
			defer closeIt(t, node)
			for _, want := range test.want {
				run := pop(t, node, "again")
				if run == nil || string(run.Payload()) != want {
					t.Fatalf("the node has %v, want %q", run, want)
				}
				run.Deliver()
			}
			if run := pop(t, node, "again"); run != nil {
				t.Errorf("the node has %q, too", run.Payload())
			}
		})
	}
}

const headSize = 4096

func TestExtractRingHasNoIDs(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	_, _, err := Extract(filepath.Join(cs.dir, ringOf(t, cs.dir, "jobs")), 1, &bytes.Buffer{})
	if !errors.Is(err, ErrWhich) {
		t.Errorf("got error %v, want %v", err, ErrWhich)
	}
}

// What can't be written is an error, not the end of the records.
func TestInspectTellsThatItCannotWrite(t *testing.T) {
	cs := busy(t, options(t.TempDir()))
	defer closeIt(t, cs)
	dir, err := disk.OpenDirReadOnly(cs.dir)
	if err != nil {
		t.Fatal(err)
	}
	name := ringOf(t, cs.dir, "jobs")
	h, err := ring.ReadHead(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Inspect(dir, name, h, fullWriter{}); !errors.Is(err, errFull) {
		t.Errorf("got error %v, want %v", err, errFull)
	}
}

var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }
