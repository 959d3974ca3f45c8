package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// texts are the payloads of what was peeked at.
func texts(peeked []Peeked) (all []string) {
	for _, p := range peeked {
		all = append(all, string(p.Bytes))
	}
	return all
}

// nodeOf is a node that the test ends itself.
func nodeOf(t *testing.T, options Options) *Channels {
	t.Helper()
	cs := mustLoad(t, options)
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	return cs
}

// What is paused hands out nothing, stays so when the node is killed, or stopped in either way, and
// under another name; and not when the queue is gone.
func TestPauseOutlastsTheNode(t *testing.T) {
	for _, keep := range []bool{false, true} {
		options := realOptions(t.TempDir())
		options.Keep = keep
		cs := nodeOf(t, options)
		push(t, cs, "a", "1", "2")
		push(t, cs, "gone", "1")
		for _, name := range []string{"a", "gone"} {
			if err := cs.Pause(name, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := cs.Pause("b", true); !errors.Is(err, ErrNoQueue) {
			t.Errorf("pause of a queue that is not there: %v", err)
		}
		remove(t, cs, "gone")
		push(t, cs, "gone", "2")
		if got := pop(t, cs, "a"); got != "" {
			t.Errorf("a paused queue hands out %q", got)
		}
		subscribe(t, cs, "a", "s")
		push(t, cs, "a", "3")
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}

		cs = nodeOf(t, options)
		if got := pop(t, cs, "gone"); got != "2" {
			t.Errorf("keep=%t: the queue that was made after a paused one of its name hands out %q, want 2", keep, got)
		}
		f, err := cs.Queue("s@a")
		if err != nil || !f.Paused || f.MemoryRecords != 3 {
			t.Errorf("keep=%t: s@a after a restart: paused %t, %d records, %v; want true, 3", keep, f.Paused, f.MemoryRecords, err)
		}
		s := subscribe(t, cs, "a", "s")
		c := &Consumer{}
		openChannel(t, cs, "a")
		called := make(bell, 1)
		c.Attach(s, called)
		s.channel.Commit()
		if runs, _, err := c.Next(nil, 1000, false); len(runs) > 0 || err != nil {
			t.Errorf("keep=%t: a paused queue hands out %d runs, %v", keep, len(runs), err)
		}
		if err := cs.Pause("s@a", false); err != nil {
			t.Fatal(err)
		}
		if c.state != woken {
			t.Errorf("keep=%t: the consumer is not woken when the queue goes on", keep)
		}
		<-called
		runs, _, err := c.Next(nil, 1000, false)
		for err == nil && len(runs) == 0 { // as long as its file is not mapped and read
			<-called
			runs, _, err = c.Next(runs, 1000, false)
		}
		if len(runs) != 1 || runs[0].Records() != 3 || err != nil {
			t.Errorf("keep=%t: after the pause: %d runs, %v", keep, len(runs), err)
		}
		c.Leave(runs, 0)
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
		cs = nodeOf(t, options)
		if f, _ := cs.Queue("s@a"); f.Paused {
			t.Errorf("keep=%t: s@a is paused again", keep)
		}
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// So does a queue that has no records, of which a stop that leaves the files of the original leaves nothing.
func TestPauseOfAnEmptyQueueOutlastsTheNode(t *testing.T) {
	for _, keep := range []bool{false, true} {
		options := realOptions(t.TempDir())
		options.Keep = keep
		cs := nodeOf(t, options)
		push(t, cs, "a", "1")
		pop(t, cs, "a")
		if err := cs.Pause("a", true); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := cs.Close(); err != nil {
				t.Fatal(err)
			}
			cs = nodeOf(t, options)
		}
		push(t, cs, "a", "2")
		if got := pop(t, cs, "a"); got != "" {
			t.Errorf("keep=%t: the paused queue hands out %q", keep, got)
		}
		if err := cs.Pause("a", false); err != nil {
			t.Fatal(err)
		}
		if got := pop(t, cs, "a"); got != "2" {
			t.Errorf("keep=%t: after the pause: got %q, want 2", keep, got)
		}
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is wrong with the file is told once, makes no queues, and does not keep the others from being paused.
func TestDamagedListOfPausedQueues(t *testing.T) {
	options := realOptions(t.TempDir())
	options.Keep = true
	cs := nodeOf(t, options)
	push(t, cs, "a", "1")
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(options.Dir, pausedFile)
	if err := os.WriteFile(file, []byte("a\nb\n\xff\x00c\ns@b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	core, logged := observer.New(zapcore.WarnLevel)
	options.Logs = func(string) *zap.Logger { return zap.New(core) }
	cs = nodeOf(t, options)
	if f, err := cs.Queue("a"); err != nil || !f.Paused {
		t.Errorf("a: got paused %t, %v; want true", f.Paused, err)
	}
	if cs.Find([]byte("b")) != nil {
		t.Error("the damaged file has made a channel")
	}
	if n := logged.FilterMessageSnippet(pausedFile + " is damaged").Len(); n != 1 {
		t.Errorf("got %d lines about the damage in %v, want 1", n, logged.All())
	}
	if b, err := os.ReadFile(file); string(b) != "a\n" {
		t.Errorf("the file has %q in the end, %v; want only a", b, err)
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
}

// A pause that can't be stored is none.
func TestAPauseThatCantBeStoredIsNone(t *testing.T) {
	options := realOptions(t.TempDir())
	cs := serve(t, options)
	push(t, cs, "a", "1")
	if err := os.MkdirAll(filepath.Join(options.Dir, newPausedFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := cs.Pause("a", true); err == nil {
		t.Error("Pause succeeds")
	}
	if got := pop(t, cs, "a"); got != "1" {
		t.Errorf("Pop: %q, want 1", got)
	}
}

// pop returns the oldest record, or "" if there is none.
func pop(t *testing.T, cs *Channels, channel string) string {
	t.Helper()
	c := openChannel(t, cs, channel)
	run, err := c.Pop(false)
	c.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if run == nil {
		return ""
	}
	payload := string(run.Payload())
	run.Deliver()
	return payload
}

// Peek shows records of the ring and of files, in order, and leaves them where they are.
func TestPeekGoesThroughRingAndFiles(t *testing.T) {
	cs := newTestChannels(t, 1000)
	var want []string
	for i := range 30_000 { // 10 in the ring, the rest in files of 1 MiB and more
		want = append(want, fmt.Sprintf("%092d", i))
	}
	push(t, cs, "a", want...)
	for _, c := range []struct{ skip, records, bytes int }{
		{0, 5, 1000}, {8, 5, 1000}, {0, 30_000, 1 << 30}, {29_998, 10, 1000}, {30_000, 1, 1000}, {11_000, 3, 150}, {0, 0, 100},
	} {
		peeked, err := cs.Peek("a", c.skip, c.records, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		var expected []string
		for i, left := c.skip, c.bytes; i < len(want) && i < c.skip+c.records && left > 0; i++ {
			expected = append(expected, want[i][:min(len(want[i]), left)])
			left -= 8 + len(expected[len(expected)-1])
		}
		if got := texts(peeked); !slices.Equal(got, expected) {
			t.Errorf("Peek(%+v): %d records, want %d", c, len(got), len(expected))
		}
	}
	for i := range 3 {
		if got := pop(t, cs, "a"); got != want[i] {
			t.Errorf("Pop after Peek: %q, want %q", got, want[i])
		}
	}
	if _, err := cs.Peek("b", 0, 1, 1); !errors.Is(err, ErrNoQueue) {
		t.Errorf("Peek of a queue that is not there: %v", err)
	}
}

// After a start, files are not mapped before they are needed: to peek needs them, and so does clear,
// or else what was cleared would be back with the next start.
func TestSteerQueuesThatAreNotMapped(t *testing.T) {
	options := realOptions(t.TempDir())
	options.Keep = true
	cs := nodeOf(t, options)
	push(t, cs, "a", "1", "2")
	restart := func() {
		t.Helper()
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
		cs = nodeOf(t, options)
	}
	restart()
	peeked, err := cs.Peek("a", 0, 10, 1000)
	if got := texts(peeked); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("peek: got %v, error %v, want 1 2", got, err)
	}
	restart()
	if dropped, err := cs.Clear("a"); err != nil || dropped.Records != 2 {
		t.Errorf("clear: dropped %+v, error %v, want 2 records", dropped, err)
	}
	restart()
	if got := pop(t, cs, "a"); got != "" {
		t.Errorf("after clear and a restart: got record %q, want none", got)
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
}
