package overflow

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The files are emptied when the last record has gone, but not before every State says so.
func TestFilesAreEmptiedWithTheLastRecord(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	for _, q := range []*Queue{a, b} {
		if err := q.Push([]byte("x")); err != nil {
			t.Fatal(err)
		}
		owner.publish(q)
	}
	if err := f.WriteIndex(owner.entries()); err != nil {
		t.Fatal(err)
	}
	if got := string(dir.files[indexName].data); got != "\na 1 1 8 8\nb 1 1 41 41\n" {
		t.Errorf("index %q", got)
	}
	sizes := func(empty bool, when string) {
		t.Helper()
		for _, name := range []string{dataName, indexName} {
			if got := len(dir.files[name].data); (got == 0) != empty {
				t.Errorf("%s %s has %d bytes", when, name, got)
			}
		}
	}
	mustDrain(t, a)
	owner.publish(a)
	sizes(false, "with a record left")
	mustDrain(t, b)
	sizes(false, "before the last State is published")
	owner.publish(b)
	sizes(true, "at the end")
	if err := f.WriteIndex(owner.entries()); err != nil {
		t.Fatal(err)
	}
	sizes(true, "after writing an index")
	if err := a.Push([]byte("again")); err != nil {
		t.Fatal(err)
	}
	if got := string(dir.files[dataName].data[:12]); got != magic+"\x01\x00\x00\x00" {
		t.Errorf("pushed again: the file begins with %q", got)
	}
	a.Remove()
	sizesData := len(dir.files[dataName].data)
	a.Published()
	if sizesData == 0 || len(dir.files[dataName].data) != 0 {
		t.Error("removing the last records did not empty the file, or too early")
	}
	b.Remove()
	b.Published()
	if q, err := f.Create("c"); err != nil || q.State().ID != 3 {
		t.Errorf("new storage: id %d, %v, want 3", q.State().ID, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if names := dir.names(); len(names) > 0 {
		t.Errorf("after a stop without records there are %v", names)
	}
}

// The files of a clean stop can be copied in any order and at any speed, so that the index
// looks older: nothing is set aside, whatever was consumed or removed before.
func TestCopiesOfACleanStopRaiseNoDoubt(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	kept, _ := f.Create("kept")
	consumed, _ := f.Create("consumed")
	removed, _ := f.Create("removed")
	for _, q := range []*Queue{consumed, kept, removed, kept, removed, consumed} {
		if err := q.Push([]byte(q.name)); err != nil {
			t.Fatal(err)
		}
	}
	mustDrain(t, consumed)
	removed.Remove()
	for _, q := range []*Queue{consumed, kept, removed} {
		owner.publish(q)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dir.files[indexName].modified = time.Now().Add(-time.Hour)
	checkRecovered(t, dir, mustRecover(t, dir), map[string][]string{"kept": {"kept", "kept"}})
}

// If there is no room for a new index after a kill, the old one may not stay: it lists storages
// in whose places others are going to have their records.
func TestAnIndexThatCannotBeRenewedIsEmptied(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, q := newQueueIn(t, dir)
	if err := q.Push([]byte("x")); err != nil {
		t.Fatal(err)
	}
	owner.publish(q)
	if err := f.WriteIndex([]Entry{{"consumed", q.State()}}); err != nil {
		t.Fatal(err)
	}
	dir = dir.clone()
	f, _ = owner.mustOpen(t, dir)
	dir.fault = func(operation, name string) error {
		if operation == "write" && name == newIndexName {
			return pathError(operation, name, unix.ENOSPC)
		}
		return nil
	}
	if err := f.Renew(owner.entries()); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Renew: got error %v, want %v", err, unix.ENOSPC)
	}
	if got := string(dir.files[indexName].data); got != "" {
		t.Errorf("the index is still %q", got)
	}
}

// Records that were consumed do not stay at the end of the data file.
func TestACleanStopEndsTheFileBehindTheLastRecordInUse(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(t *testing.T, kept, other *Queue) // is done before the stop
	}{
		{"drained", func(t *testing.T, _, other *Queue) { mustDrain(t, other) }},
		{"removed", func(_ *testing.T, _, other *Queue) { other.Remove() }},
		{"a part was consumed", func(t *testing.T, kept, other *Queue) {
			mustDrain(t, other)
			run, n, err := kept.Take(1, 1)
			if err != nil {
				t.Fatal(err)
			}
			kept.Free(len(run), n)
		}},
	} {
		dir, owner := newMemDir(), newPublished()
		f, _ := owner.mustOpen(t, dir)
		kept, _ := f.Create("kept")
		other, _ := f.Create("other")
		for _, q := range []*Queue{other, kept, kept, other, other} {
			if err := q.Push([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		c.after(t, kept, other)
		owner.publish(kept)
		owner.publish(other)
		want := int(kept.State().Last) + headerSize + 1
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(dir.files[dataName].data); got != want {
			t.Errorf("%s: the file has %d bytes, want %d", c.name, got, want)
		}
	}
}

func TestRunsOfARemovedQueueStayReadable(t *testing.T) {
	f, _ := newPublished().mustOpen(t, newMemDir())
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	if err := a.Push([]byte("of a removed queue")); err != nil {
		t.Fatal(err)
	}
	run, _, err := a.Take(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	a.Remove()
	a.Published()
	for range 100 {
		if err := b.Push([]byte(strings.Repeat("y", 100))); err != nil {
			t.Fatal(err)
		}
		run, n, err := b.Take(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		b.Free(len(run), n)
	}
	if got := payloads(run); !slices.Equal(got, []string{"of a removed queue"}) {
		t.Errorf("got %q", got)
	}
}

// A storage that was drained and pushed to again, without its State being published in
// between, holds the old record after a crash, and only that.
func TestPushAfterAnUnpublishedDrainContinuesTheChain(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	push := func(q *Queue, payload string) {
		t.Helper()
		if err := q.Push([]byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	push(a, "old")
	owner.publish(a)
	mustDrain(t, a)
	push(a, "new")
	push(b, "behind")
	owner.publish(b)

	dir = dir.clone()
	f, _ = owner.mustOpen(t, dir)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := Recover(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	_, queues := publishedEntries(entries).mustOpen(t, dir)
	if got := mustDrain(t, queues["a"]); !slices.Equal(got, []string{"old"}) {
		t.Errorf("got %q, want only the old record", got)
	}
}

func TestRenamedQueueIsInTheIndexByItsNewName(t *testing.T) {
	dir := newMemDir()
	f, q := newQueueIn(t, dir)
	if err := q.Push([]byte("x")); err != nil {
		t.Fatal(err)
	}
	q.Rename("sub@q")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := string(dir.files[indexName].data); got != "sub@q 1 1 8 8\n" {
		t.Errorf("index %q", got)
	}
}

// Leave and Recover find what a damaged file proves.
func TestLeaveTurnsStatesIntoAnIndex(t *testing.T) {
	dir, owner, at := chainOf("one", "two", "three")
	copy(dir.files[dataName].data[at[2]:], garbageBytes(32))
	f, err := Open(dir, silent, owner.global, func(Global) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Attach("q", owner.states["q"]); err == nil {
		t.Fatal("attached a damaged chain")
	}
	if err := f.Leave(owner.entries()); err != nil {
		t.Fatal(err)
	}
	entries, err := Recover(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	_, queues := publishedEntries(entries).mustOpen(t, dir)
	if got := mustDrain(t, queues["q"]); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q, want what is left", got)
	}
	if got := mustDrain(t, queues["other"]); !slices.Equal(got, []string{"other", "another"}) {
		t.Errorf("the other storage: got %q", got)
	}
	if got := asideNames(dir); got != bothAside {
		t.Errorf("set aside %q, want %q", got, bothAside)
	}
}

// Ids begin again when there are no storages any more (storage spec §3.6), if there are no
// records of them either.
func TestIDsBeginAgainWhenNothingIsLeft(t *testing.T) {
	f, q := newQueueIn(t, newMemDir())
	if err := q.Push(nil); err != nil {
		t.Fatal(err)
	}
	q.Remove()
	q.Published()
	if q, err := f.Create("next"); err != nil || q.State().ID != 1 {
		t.Errorf("new storage: id %d, %v, want 1", q.State().ID, err)
	}
}

// The last record can go while the index is being written.
func TestIndexDoesNotOutliveTheRecords(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	q, _ := f.Create("q")
	if err := q.Push([]byte("x")); err != nil {
		t.Fatal(err)
	}
	owner.publish(q)
	entries := owner.entries()
	dir.fault = func(operation, name string) error {
		if operation == "rename" {
			mustDrain(t, q)
			owner.publish(q)
		}
		return nil
	}
	if err := f.WriteIndex(entries); err != nil {
		t.Fatal(err)
	}
	if got := string(dir.files[indexName].data); got != "" {
		t.Errorf("index %q of an empty data file", got)
	}
}

// An index that was never completed, because there was no room or because of a kill, does not
// stay for ever.
func TestAnUnfinishedIndexIsDeleted(t *testing.T) {
	dir := newMemDir()
	f, q := newQueueIn(t, dir)
	if err := q.Push([]byte("x")); err != nil {
		t.Fatal(err)
	}
	dir.fault = func(operation, name string) error {
		if operation == "write" && name == newIndexName {
			return pathError(operation, name, unix.ENOSPC)
		}
		return nil
	}
	if err := f.WriteIndex([]Entry{{"q", q.State()}}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("WriteIndex: got error %v, want %v", err, unix.ENOSPC)
	}
	if _, ok := dir.files[newIndexName]; ok {
		t.Errorf("%s has stayed after an error", newIndexName)
	}
	dir.fault = nil
	dir.put(newIndexName, []byte("left by a kill"), time.Now())
	mustDrain(t, q)
	q.Published()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dir.names(); len(got) > 0 {
		t.Errorf("after a clean stop there are %q", got)
	}
}
