package storage

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// takeOne takes one run of at most that many records.
func (c *client) takeOne(t testing.TB, records int) *Run {
	t.Helper()
	r, removed, err := c.Take(everything, records)
	if removed || err != nil {
		t.Fatalf("%s: Take: removed %v, error %v", c.name, removed, err)
	}
	return r
}

func wantRun(t testing.TB, r *Run, tries int, want string) {
	t.Helper()
	if r == nil {
		t.Fatalf("got no run, want %q", want)
	}
	if got := strings.Join(payloads([]*Run{r}), " "); got != want || r.Tries() != tries {
		t.Errorf("got %q, tried %d times, want %q, %d", got, r.Tries(), want, tries)
	}
}

func wantStored(t testing.TB, cs *Channels, channel string, want uint64) {
	t.Helper()
	var got uint64
	for _, f := range cs.Figures() {
		if f.Channel == channel {
			got += f.MemoryRecords + f.OverflowRecords
		}
	}
	if got != want {
		t.Errorf("%s has %d records, want %d", channel, got, want)
	}
}

// failing returns channels in which a record is delivered at most that often.
func failing(t *testing.T, deliveries int, change func(*Options)) (*Channels, *observer.ObservedLogs) {
	options := realOptions(t.TempDir())
	options.RingInFile, options.Keep, options.inline = false, true, true
	options.RingSize = func(string) uint64 { return 1000 }
	options.MaxDeliveries, options.FailedChannel = deliveries, "{channel}-failed"
	core, logs := observer.New(zapcore.WarnLevel)
	options.Logs = func(string) *zap.Logger { return zap.New(core) }
	if change != nil {
		change(&options)
	}
	return serve(t, options), logs
}

func TestTriesAreCountedForEachRecord(t *testing.T) {
	cs, _ := failing(t, 0, nil)
	var log []string
	c := attach(t, subscribe(t, cs, "c", ""), &log, "a")[0]
	push(t, cs, "c", "1", "2", "3")
	first, second := c.takeOne(t, 1), c.takeOne(t, 2)
	wantRun(t, first, 0, "1")
	wantRun(t, second, 0, "2 3")
	first.Fail(0)
	first = c.takeOne(t, 1)
	wantRun(t, first, 1, "1")
	second.GiveBack(0) // has not reached the client
	first.Fail(0)
	// What was tried differently often is not in one run, and the order is the old one.
	wantRun(t, c.takeOne(t, 9), 2, "1")
	wantRun(t, c.takeOne(t, 9), 0, "2 3")
}

func TestRecordsMoveToTheFailedChannelInOrder(t *testing.T) {
	cs, logs := failing(t, 2, nil)
	var log []string
	c := attach(t, subscribe(t, cs, "c", "s"), &log, "a")[0]
	push(t, cs, "c", "1", "", "3", "4")
	for range 2 {
		first, second := c.takeOne(t, 2), c.takeOne(t, 1)
		first.Fail(0)
		second.Fail(0)
	}
	wantRun(t, c.takeOne(t, 9), 0, "4")
	wantStored(t, cs, "c", 1)
	f := attach(t, subscribe(t, cs, "c-failed", ""), &log, "f")[0]
	if got := strings.Join(payloads(f.runs), " "); got != "1  3" {
		t.Errorf("the failed channel has %q, want the records in order", got)
	}
	if got := cs.Figures()[0].Failed; got != (Moved{3, 2}) {
		t.Errorf("counted %+v as failed", got)
	}
	if got := len(logs.FilterMessageSnippet("moved to the failed channel").All()); got != 1 {
		t.Errorf("%d lines about that, want 1: %v", got, logs.All())
	}
	// There they stay.
	for range 5 {
		f.runs[0].Fail(0)
		f.runs = []*Run{f.takeOne(t, 9)}
	}
	wantRun(t, f.runs[0], 5, "1  3")
}

func TestRecordsStayThatCannotBeMoved(t *testing.T) {
	long := strings.Repeat("c", 250)
	for what, c := range map[string]struct {
		channel string
		change  func(*Options)
		logged  string
	}{
		"a long name":       {long, nil, "no channel can have the name"},
		"too many channels": {"c", func(o *Options) { o.MaxQueues = 1 }, "as many channels, and subscribers"},
	} {
		t.Run(what, func(t *testing.T) {
			cs, logs := failing(t, 1, c.change)
			var log []string
			consumer := attach(t, subscribe(t, cs, c.channel, ""), &log, "a")[0]
			push(t, cs, c.channel, "1", "2")
			for tries := range 3 {
				r := consumer.takeOne(t, 2)
				wantRun(t, r, tries, "1 2")
				r.Fail(0)
			}
			wantStored(t, cs, c.channel, 2)
			if got := logs.All(); len(got) != 1 || got[0].Level != zapcore.ErrorLevel || !strings.Contains(got[0].ContextMap()["error"].(string), c.logged) {
				t.Errorf("got log %v, want one line with %q", got, c.logged)
			}
		})
	}
}

func TestAStopOfTheNodeIsNoFailure(t *testing.T) {
	cs, _ := failing(t, 1, nil)
	var log []string
	c := attach(t, subscribe(t, cs, "c", ""), &log, "a")[0]
	push(t, cs, "c", "1")
	r := c.takeOne(t, 1)
	cs.Stopping()
	r.Fail(0)
	wantStored(t, cs, "c", 1)
	wantStored(t, cs, "c-failed", 0)
}

func TestADelayedRecordComesWhenItIsDue(t *testing.T) {
	cs, _ := failing(t, 0, func(o *Options) { o.inline, o.MaxDelayed = false, 2 })
	woken := make(chan struct{}, 100)
	s := subscribe(t, cs, "c", "")
	var c Consumer
	s.channel.Lock()
	c.Attach(s, wakes(woken))
	s.channel.Commit()
	push(t, cs, "c", "1", "2", "3", "4")
	take := func() (*Run, string) {
		r, _, err := c.Take(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return nil, ""
		}
		return r, payloads([]*Run{r})[0]
	}
	first, _ := take()
	second, _ := take()
	third, _ := take()
	first.Fail(10 * time.Millisecond)
	second.Fail(time.Hour)
	third.Fail(time.Hour) // one too many
	var got []string
	for len(got) < 3 {
		if r, payload := take(); r != nil {
			got = append(got, payload)
			continue
		}
		<-woken
	}
	// 4 has waited all the time, or the timer was faster; 2 is not due.
	if all := strings.Join(got, " "); !strings.HasPrefix(all, "3 ") && !strings.HasPrefix(all, "1 3 ") {
		t.Errorf("got %q", all)
	}
	if f := cs.Figures()[0]; f.Delayed != (Moved{1, 1}) || f.MemoryRecords != 4 {
		t.Errorf("got figures %+v, want one record delayed of 4", f)
	}
}

type wakes chan struct{}

func (w wakes) Wake() { w <- struct{}{} }

// Who waits longest is served first, whoever else comes.
func TestPopsAreServedInTurn(t *testing.T) {
	cs, _ := failing(t, 0, nil)
	c := openChannel(t, cs, "c")
	s, err := c.Popped()
	c.Commit()
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	clients := make([]*client, 3)
	for i, name := range []string{"a", "b", "late"} {
		clients[i] = &client{name: name, log: &log}
	}
	attachTo := func(c *client) {
		s.channel.Lock()
		c.Attach(s, c)
		s.channel.Commit()
	}
	for _, c := range clients[:2] {
		attachTo(c)
		if r := c.takeOne(t, 1); r != nil {
			t.Fatal("got a record of none")
		}
	}
	push(t, cs, "c", "1")
	wantLog(t, &log, "a!")
	attachTo(clients[2])
	if r := clients[2].takeOne(t, 1); r != nil {
		t.Fatalf("%s got the record of another", clients[2].name)
	}
	wantRun(t, clients[0].takeOne(t, 1), 0, "1")

	// A Pop that does not wait is faster, which costs b no place.
	push(t, cs, "c", "2")
	wantLog(t, &log, "b!")
	s.channel.Lock()
	if r, err := s.channel.Pop(false); r == nil || err != nil {
		t.Errorf("Pop: got %v, %v", r, err)
	}
	s.channel.Commit()
	if r := clients[1].takeOne(t, 1); r != nil {
		t.Fatal("got a record of none")
	}
	push(t, cs, "c", "3", "4")
	wantLog(t, &log, "b! late!")
	wantRun(t, clients[1].takeOne(t, 1), 0, "3")
	wantRun(t, clients[2].takeOne(t, 1), 0, "4")
}

// The first subscriber takes the queue of a channel over, and sends those home who pop from it
// unless it has no name.
func TestPopsEndWhenTheQueueGetsAnotherSubscriber(t *testing.T) {
	for subscriber, want := range map[string]error{"": nil, "s": ErrSubscribed} {
		cs, _ := failing(t, 0, nil)
		c := openChannel(t, cs, "c")
		s, err := c.Popped()
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		pop := &client{name: "pop", log: &log}
		pop.Attach(s, pop)
		c.Commit()
		pop.takeOne(t, 1)
		subscribe(t, cs, "c", subscriber)
		wantLog(t, &log, "pop!")
		if r, _, err := pop.Take(1, 1); r != nil || err != want {
			t.Errorf("subscriber %q: got %v, %v, want error %v", subscriber, r, err, want)
		}
		c.Lock()
		if _, err := c.Popped(); err != want {
			t.Errorf("subscriber %q: Popped: got %v, want error %v", subscriber, err, want)
		}
		c.Commit()
	}
}
