package overflow

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// chainOf returns a directory with the records of one storage between those of another,
// the States of both, and where each record of the first begins.
func chainOf(payloads ...string) (dir *memDir, owner *published, at []int) {
	b := newBuilder()
	owner = newPublished()
	s := State{ID: 1}
	first := b.push(2, "other")
	for _, p := range payloads {
		at = append(at, b.push(1, p))
		s.Records++
		s.Bytes += uint64(len(p))
	}
	s.First, s.Last = int64(at[0]), int64(at[len(at)-1])
	last := b.push(2, "another")
	owner.states["q"] = s
	owner.states["other"] = State{2, int64(first), int64(last), 2, 12}
	return b.dir(""), owner, at
}

func TestAttachRefusesAStateThatDoesNotFitTheFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *State, data []byte)
		want   string
	}{
		{"bad magic", func(s *State, data []byte) { data[0] = 'X' }, "doesn't begin with"},
		{"no id", func(s *State, data []byte) { s.ID = 0 }, "id 0 is not its own"},
		{"id of another storage", func(s *State, data []byte) { s.ID = 2 }, "id 2 is not its own"},
		{"first in the magic", func(s *State, data []byte) { s.First = 7 }, "can't be in"},
		{"first negative", func(s *State, data []byte) { s.First = math.MinInt64 }, "can't be in"},
		{"first behind last", func(s *State, data []byte) { s.First = s.Last + 1 }, "can't be in"},
		{"last behind the file", func(s *State, data []byte) { s.Last = int64(len(data)) - 31 }, "can't be in"},
		{"last at the end of the world", func(s *State, data []byte) { s.Last = math.MaxInt64 }, "can't be in"},
		{"last is no record", func(s *State, data []byte) { s.Last++ }, "no record of id 1"},
		{"last is longer than the file", func(s *State, data []byte) {
			header{channel: 1, length: uint64(len(data))}.put(data[s.Last:])
		}, "no record of id 1"},
		{"last is longer than anything", func(s *State, data []byte) {
			header{channel: 1, length: math.MaxUint64}.put(data[s.Last:])
		}, "no record of id 1"},
		{"neither first nor last is a record", func(s *State, data []byte) { s.First++; s.Last++ }, "no record of id 1"},
	} {
		dir, owner, _ := chainOf("one", "two", "three")
		s := owner.states["q"]
		c.change(&s, dir.files[dataName].data)
		owner.states["q"] = s
		before := string(dir.files[dataName].data)
		if _, _, err := owner.open(dir, silent); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want …%s", c.name, err, c.want)
		}
		if string(dir.files[dataName].data) != before {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
}

// Damage to the oldest record costs that one: what is left is counted, delivered and listed in
// the index as if it had never been there.
func TestAttachGoesOnBehindADamagedOldestRecord(t *testing.T) {
	rest := []string{"two", "three", "four", "five"}
	for _, c := range []struct {
		name   string
		damage func(s *State, data []byte, at []int)
		want   []string
		log    string
		gap    bool // more is damaged, which a start without States has doubts about
	}{
		{"the parity", func(s *State, data []byte, at []int) { data[at[0]+16] ^= 1 }, rest, "the parity is wrong", false},
		{"the id", func(s *State, data []byte, at []int) { data[at[0]] ^= 4 }, rest, "the parity is wrong", false},
		{"the length", func(s *State, data []byte, at []int) { data[at[0]+24] ^= 0x40 }, rest, "the parity is wrong", false},
		{"the link", func(s *State, data []byte, at []int) { data[at[0]+8] ^= 8 }, rest, "the parity is wrong", false},
		{"the whole header", func(s *State, data []byte, at []int) { copy(data[at[0]:], garbageBytes(headerSize)) }, rest, "the parity is wrong", false},
		{"the id and the parity", func(s *State, data []byte, at []int) { header{7, 35, 3}.put(data[at[0]:]) }, rest, "the record is one of id 7, not 1", false},
		{"the link and the parity", func(s *State, data []byte, at []int) { header{1, 7, 3}.put(data[at[0]:]) }, rest, "the link 7 doesn't lead to a newer record", false},
		{"the length and the parity", func(s *State, data []byte, at []int) {
			header{1, 35, math.MaxUint64 - 31}.put(data[at[0]:])
		}, rest, "the length 18446744073709551584 is larger than the file", false},
		{"two records", func(s *State, data []byte, at []int) { copy(data[at[0]:], garbageBytes(at[2]-at[0])) }, rest[1:], "the parity is wrong", false},
		{"all but the newest", func(s *State, data []byte, at []int) { copy(data[at[0]:], garbageBytes(at[4]-at[0])) }, rest[3:], "the parity is wrong", false},
		{"one more in the middle", func(s *State, data []byte, at []int) { data[at[0]+16] ^= 1; data[at[3]+16] ^= 1 }, []string{"two", "three", "five"}, "the parity is wrong", true},
		{"and a link that is missing", func(s *State, data []byte, at []int) { data[at[0]+16] ^= 1; header{1, 0, 5}.put(data[at[2]:]) },
			[]string{"two", "four", "five"}, "the parity is wrong", true},
		{"the link of the newest is half-written, too", func(s *State, data []byte, at []int) { data[at[0]+16] ^= 1; data[at[4]+8] = 36 }, rest, "the parity is wrong", false},
		{"no record there", func(s *State, data []byte, at []int) { s.First++ }, rest, "the parity is wrong", false},
		{"the record of another storage there", func(s *State, data []byte, at []int) { s.First = 8 }, append([]string{"one"}, rest...), "the record is one of id 2, not 1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, owner, at := chainOf(append([]string{"one"}, rest...)...)
			s := owner.states["q"]
			c.damage(&s, dir.files[dataName].data, at)
			owner.states["q"] = s
			logs, seen := observed()
			f, queues, err := owner.open(dir, logs)
			if err != nil {
				t.Fatal(err)
			}
			checkLogged(t, zapcore.ErrorLevel, messages(seen, zapcore.ErrorLevel), []string{"records of the overflow are lost", c.log})
			if oldest := f.oldest(); oldest > s.First && s.First != 8 {
				t.Errorf("the file keeps what lies behind %d, but the State that is published begins at %d", oldest, s.First)
			}
			checkCounted(t, queues["q"].State(), c.want)
			_, copies := owner.mustOpen(t, dir.clone())
			if got := mustDrain(t, copies["q"]); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if !c.gap {
				checkRecovered(t, dir, mustRecover(t, dir), map[string][]string{"q": c.want, "other": {"other", "another"}})
			}
		})
	}
}

// checkCounted compares the counters of a State with what there should be.
func checkCounted(t *testing.T, s State, want []string) {
	t.Helper()
	if bytes := len(strings.Join(want, "")); int(s.Records) != len(want) || int(s.Bytes) != bytes {
		t.Errorf("%d records of %d bytes, want %d of %d", s.Records, s.Bytes, len(want), bytes)
	}
}

func TestAttachAfterAPushIsRefused(t *testing.T) {
	dir, owner, _ := chainOf("one")
	late := owner.states["q"]
	delete(owner.states, "q")
	f, queues := owner.mustOpen(t, dir)
	if err := queues["other"].Push(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Attach("q", late); err == nil || !strings.Contains(err.Error(), "before the first push") {
		t.Errorf("got %v", err)
	}
	if _, err := f.Attach("empty", State{ID: 9}); err != nil {
		t.Errorf("a storage without records: %v", err)
	}
	if q, err := f.Create("new"); err != nil || q.State().ID != 10 {
		t.Errorf("new storage: %v, id %d, want 10", err, q.State().ID)
	}
}

func TestIDsAreUsedUp(t *testing.T) {
	owner := newPublished()
	owner.states["last"] = State{ID: math.MaxUint32}
	f, _ := owner.mustOpen(t, newMemDir())
	if _, err := f.Create("one too many"); err == nil || !strings.Contains(err.Error(), "4294967295 ids are used") {
		t.Errorf("got %v", err)
	}
}

// The chain decides how many records there are.
func TestWrongCountersAreCorrected(t *testing.T) {
	want := []string{"one", "two", "", "four"}
	for _, records := range []uint64{1, 3, 4, 5, 1000, math.MaxUint64} {
		for _, enough := range []int{1, 1 << 20} {
			dir, owner, _ := chainOf(want...)
			s := owner.states["q"]
			s.Records = records
			owner.states["q"] = s
			logs, seen := observed()
			_, queues, err := owner.open(dir, logs)
			if err != nil {
				t.Fatal(err)
			}
			q := queues["q"]
			var got []string
			for q.Waiting() > 0 {
				run, n, err := q.Take(enough, 100)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, payloads(run)...)
				q.Free(len(run), n)
			}
			if !slices.Equal(got, want) || q.State() != (State{ID: 1}) {
				t.Errorf("counter %d: got %q, then %+v", records, got, q.State())
			}
			if logged := len(messages(seen, zapcore.ErrorLevel)); records < 4 && logged != 1 || records == 4 && logged != 0 {
				t.Errorf("counter %d: %d errors logged", records, logged)
			}
		}
	}
}

// Damage costs the records it has hit and no others, and later pushes go on.
func TestTakeGoesOnBehindDamage(t *testing.T) {
	all := []string{"one", "two", "three", "four", "five"}
	for _, c := range []struct {
		name   string
		damage func(data []byte, at []int)
		want   []string
	}{
		{"a header", func(data []byte, at []int) { copy(data[at[2]:], garbageBytes(headerSize)) }, []string{"one", "two", "four", "five"}},
		{"a parity", func(data []byte, at []int) { data[at[1]+16] ^= 1 }, []string{"one", "three", "four", "five"}},
		{"two records", func(data []byte, at []int) { copy(data[at[1]:], garbageBytes(at[3]-at[1])) }, []string{"one", "four", "five"}},
		{"zeros", func(data []byte, at []int) { clear(data[at[1]:at[3]]) }, []string{"one", "four", "five"}},
		{"an id", func(data []byte, at []int) { header{7, int64(at[3] - at[2]), 5}.put(data[at[2]:]) }, []string{"one", "two", "four", "five"}},
		{"a link to nowhere", func(data []byte, at []int) { header{1, 1, 3}.put(data[at[1]:]) }, []string{"one", "three", "four", "five"}},
		{"a link back", func(data []byte, at []int) { header{1, -35, 3}.put(data[at[1]:]) }, []string{"one", "three", "four", "five"}},
		{"a link beyond the end", func(data []byte, at []int) { header{1, 1 << 62, 3}.put(data[at[1]:]) }, []string{"one", "three", "four", "five"}},
		{"a link that is missing", func(data []byte, at []int) { header{1, 0, 3}.put(data[at[1]:]) }, []string{"one", "three", "four", "five"}},
		{"a length", func(data []byte, at []int) { header{1, 37, math.MaxUint64}.put(data[at[2]:]) }, []string{"one", "two", "four", "five"}},
		{"the newest record", func(data []byte, at []int) { copy(data[at[4]:], garbageBytes(36)) }, []string{"one", "two", "three", "four"}},
		{"all but the first", func(data []byte, at []int) { copy(data[at[1]:], garbageBytes(at[4]+36-at[1])) }, []string{"one"}},
		{"everything", func(data []byte, at []int) { copy(data[at[0]:], garbageBytes(at[4]+36-at[0])) }, nil},
	} {
		for _, most := range []int{1, 100} {
			t.Run(fmt.Sprintf("%s, %d at once", c.name, most), func(t *testing.T) {
				dir, owner, at := chainOf(all...)
				logs, seen := observed()
				_, queues, err := owner.open(dir, logs)
				if err != nil {
					t.Fatal(err)
				}
				c.damage(dir.files[dataName].data, at)
				q := queues["q"]
				var got []string
				for q.Waiting() > 0 {
					run, n, err := q.Take(1<<20, most)
					if err != nil {
						t.Fatalf("after %q: %v", got, err)
					}
					got = append(got, payloads(run)...)
					q.Free(len(run), n)
				}
				if !slices.Equal(got, c.want) || q.State() != (State{ID: 1}) {
					t.Errorf("got %q, then %+v, want %q", got, q.State(), c.want)
				}
				checkLogged(t, zapcore.ErrorLevel, messages(seen, zapcore.ErrorLevel), []string{"records of the overflow are lost"})
				if err := q.Push([]byte("six")); err != nil {
					t.Fatal(err)
				}
				if got := mustDrain(t, q); !slices.Equal(got, []string{"six"}) {
					t.Errorf("pushed after the damage: got %q", got)
				}
				if got := mustDrain(t, queues["other"]); !slices.Equal(got, []string{"other", "another"}) {
					t.Errorf("the other storage: got %q", got)
				}
			})
		}
	}
}

// A crash between the push and its publication leaves records that must not come back, also
// not after a clean stop, when only the files are left.
func TestUnpublishedRecordsDoNotComeBack(t *testing.T) {
	dir, owner := newMemDir(), newPublished()
	f, _ := owner.mustOpen(t, dir)
	push := func(q *Queue, payloads ...string) {
		t.Helper()
		for _, p := range payloads {
			if err := q.Push([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, _ := f.Create("a")
	b, _ := f.Create("b")
	push(a, "a1")
	owner.publish(a)
	owner.publish(b)
	push(a, "a2", "a3")
	push(b, "b1") // behind them: they are not going to be overwritten
	owner.publish(b)
	dir = dir.clone()

	f, queues := owner.mustOpen(t, dir)
	push(queues["b"], "b2")
	owner.publish(queues["b"])
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := Recover(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	_, queues = publishedEntries(entries).mustOpen(t, dir)
	got := drainAll(t, queues)
	if want := map[string][]string{"a": {"a1"}, "b": {"b1", "b2"}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
