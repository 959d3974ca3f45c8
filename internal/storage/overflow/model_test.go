package overflow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// model is a File with queues and what should be in them.
type model struct {
	t    testing.TB
	dir  *memDir
	logs Logs
	rand *rand.Rand
	log  []string // what was done, to be read after a failure

	owner  *published
	file   *File
	queues map[string]*Queue

	held    map[string][]string // records that the queue holds
	taken   map[string]int      // how many of them are handed out
	runs    map[string][]*modelRun
	marked  map[string]bool     // records that are marked as delivered
	marking []string            // those that are just being marked
	durable map[string][]string // held, when last published
	stopped bool                // there are no States: the files must tell all
	serial  int
}

// modelRun is a run that is handed out.
type modelRun struct {
	bytes   []byte // nil if it is marked
	place   Place
	records int
}

func newModel(t testing.TB, seed uint64, dir *memDir) *model {
	m := &model{t: t, dir: dir, logs: silent, rand: rand.New(rand.NewPCG(seed, 0)), owner: newPublished(),
		held: map[string][]string{}, durable: map[string][]string{}, marked: map[string]bool{}}
	m.reopen()
	return m
}

func (m *model) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n"))
}

// reopen opens the file; the queues hold what was published.
func (m *model) reopen() {
	m.t.Helper()
	var err error
	if m.file, m.queues, err = m.owner.open(m.dir, m.logs); err != nil {
		m.fatal("open: %v", err)
	}
	m.taken, m.runs = map[string]int{}, map[string][]*modelRun{}
	m.held = map[string][]string{}
	for name, records := range m.durable {
		m.held[name] = slices.Clone(records)
	}
}

func (m *model) payload() string {
	m.serial++
	size := m.rand.IntN(40)
	switch m.rand.IntN(30) {
	case 0:
		return ""
	case 1:
		size = m.rand.IntN(9000)
	}
	return fmt.Sprintf("%d:%s", m.serial, strings.Repeat("x", size))
}

// queue returns one of the queues, or a new one.
func (m *model) queue() (string, *Queue) {
	name := fmt.Sprintf("q%d", m.rand.IntN(5))
	if m.queues[name] == nil {
		m.note("create %s", name)
		q, err := m.file.Create(name)
		if err != nil {
			m.fatal("create %s: %v", name, err)
		}
		m.queues[name] = q
	}
	return name, m.queues[name]
}

// step does one random operation and reports its error.
func (m *model) step() error {
	name, q := m.queue()
	defer m.compare(name)
	switch m.rand.IntN(13) {
	case 0, 1, 2:
		payload := m.payload()
		m.note("push %s %.20q (%d)", name, payload, len(payload))
		if err := q.Push([]byte(payload)); err != nil {
			return err
		}
		m.held[name] = append(m.held[name], payload)
	case 3, 4:
		var run []string
		for range m.rand.IntN(6) {
			run = append(run, m.payload())
		}
		m.note("push run %s of %d", name, len(run))
		if err := q.PushRun(makeRun(run...), len(run)); err != nil {
			return err
		}
		m.held[name] = append(m.held[name], run...)
	case 5, 6, 7:
		return m.take(name, q)
	case 8, 9:
		m.free(name, q)
	case 12:
		return m.mark(name, q)
	case 10:
		m.note("publish %s", name)
		m.publish(name)
	case 11:
		switch m.rand.IntN(8) {
		case 0:
			m.note("cut")
			_, err := m.file.CutHead()
			return err
		case 1:
			m.note("write index")
			return m.file.WriteIndex(m.owner.entries())
		case 2:
			m.note("remove %s", name)
			q.Remove()
			for _, records := range []map[string][]string{m.held, m.durable} {
				delete(records, name)
			}
			delete(m.owner.states, name)
			delete(m.queues, name)
			delete(m.taken, name)
			delete(m.runs, name)
			q.Published()
		}
	}
	return nil
}

func (m *model) publish(name string) {
	m.durable[name] = slices.Clone(m.held[name])
	m.owner.publish(m.queues[name])
}

func (m *model) publishAll() {
	for name := range m.queues {
		m.publish(name)
	}
}

func (m *model) take(name string, q *Queue) error {
	enough, most := 1+m.rand.IntN(2000), 1+m.rand.IntN(20)
	m.note("take %s %d %d", name, enough, most)
	run, records, err := q.Take(enough, most)
	if err != nil {
		return err
	}
	waiting := m.held[name][m.taken[name]:]
	if len(waiting) > 0 && m.marked[waiting[0]] {
		if records > 0 {
			m.fatal("take from %s: %d records, although the next is marked", name, records)
		}
		m.takeMarked(name, q, waiting)
		return nil
	}
	if len(waiting) > 0 && records == 0 || records > len(waiting) || records > most {
		m.fatal("take from %s: %d records of %d, at most %d", name, records, len(waiting), most)
	}
	if got, want := payloads(run), waiting[:records]; !slices.Equal(got, want) {
		m.fatal("take from %s:\n got %.50q\nwant %.50q", name, got, want)
	}
	if i := slices.IndexFunc(waiting[:records], func(p string) bool { return m.marked[p] }); i >= 0 {
		m.fatal("take from %s: record %d of %d is marked", name, i, records)
	}
	m.taken[name] += records
	if records > 0 {
		m.runs[name] = append(m.runs[name], &modelRun{run, q.Handed(records), records})
	}
	return nil
}

// takeMarked takes records that were marked before a crash.
func (m *model) takeMarked(name string, q *Queue, waiting []string) {
	size, records := q.TakeMarked()
	m.note("take marked %s: %d", name, records)
	if records == 0 || records > len(waiting) || size != len(makeRun(waiting[:records]...)) {
		m.fatal("take marked from %s: %d records of %.9q, %d bytes", name, records, waiting, size)
	}
	if i := slices.IndexFunc(waiting[:records], func(p string) bool { return !m.marked[p] }); i >= 0 {
		m.fatal("take marked from %s: record %d of %d is not", name, i, records)
	}
	m.taken[name] += records
	m.runs[name] = append(m.runs[name], &modelRun{records: records})
	if len(m.runs[name]) == 1 {
		m.free(name, q)
	}
}

// mark marks one of the runs, or the end of it, after the oldest one.
func (m *model) mark(name string, q *Queue) error {
	if len(m.runs[name]) < 2 {
		return nil
	}
	i := 1 + m.rand.IntN(len(m.runs[name])-1)
	r := m.runs[name][i]
	if r.bytes == nil {
		return nil
	}
	all := payloads(r.bytes)
	if slices.Contains(all, "") {
		return nil // the model tells records from each other by what is in them
	}
	if n := m.rand.IntN(len(all)); n > 0 {
		head := &modelRun{r.bytes[:len(makeRun(all[:n]...))], r.place, n}
		m.runs[name] = slices.Insert(m.runs[name], i, head)
		r.place, r.records, all = r.place.After(n), len(all)-n, all[n:]
	}
	m.note("mark %s %d", name, len(all))
	r.bytes = nil
	m.publish(name) // a record is handed out only after it was published
	m.marking = all
	err := q.Mark(r.place, len(all))
	m.marking = nil
	if err != nil {
		return err // they come back
	}
	for _, p := range all {
		m.marked[p] = true
	}
	return nil
}

// free gives back the oldest run, or a part of it, after making sure that it has not changed,
// and those behind it that are marked.
func (m *model) free(name string, q *Queue) {
	if len(m.runs[name]) == 0 {
		return
	}
	run := m.runs[name][0]
	want := m.held[name][:run.records]
	n := 1 + m.rand.IntN(run.records)
	if run.bytes == nil {
		n = run.records
	}
	m.note("free %s %d of %d", name, n, run.records)
	if all := payloads(run.bytes); run.bytes != nil && !slices.Equal(all, want) {
		m.fatal("run of %s:\n got %.50q\nwant %.50q", name, all, want)
	}
	size := len(makeRun(want[:n]...))
	q.Free(size, n)
	if n < run.records {
		run.place, run.records = run.place.After(n), run.records-n
		if run.bytes != nil {
			run.bytes = run.bytes[size:]
		}
	} else {
		m.runs[name] = m.runs[name][1:]
	}
	m.held[name] = m.held[name][n:]
	m.taken[name] -= n
	if runs := m.runs[name]; len(runs) > 0 && runs[0].bytes == nil {
		m.free(name, q)
	}
}

// compare looks at the counters.
func (m *model) compare(name string) {
	q := m.queues[name]
	if q == nil {
		return
	}
	held, bytes := m.held[name], 0
	for _, record := range held {
		bytes += len(record)
	}
	if q.Held() != len(held) || q.Waiting() != len(held)-m.taken[name] || q.PayloadBytes() != uint64(bytes) {
		m.fatal("%s: held %d, waiting %d, bytes %d; want %d, %d, %d", name,
			q.Held(), q.Waiting(), q.PayloadBytes(), len(held), len(held)-m.taken[name], bytes)
	}
}

// crash ends the process; what was mapped is in the file.
func (m *model) crash() {
	m.note("crash")
	m.dir = m.dir.clone()
	m.reopen()
	if err := m.file.Renew(m.owner.entries()); err != nil {
		m.fatal("renew: %v", err)
	}
}

// restart is a clean stop, and a start without States.
func (m *model) restart() {
	m.note("restart")
	m.publishAll()
	if err := m.file.Close(); err != nil {
		m.fatal("close: %v", err)
	}
	m.stopped = true
	m.checkAll()
	entries, err := Recover(m.dir, m.logs)
	if err != nil {
		m.fatal("recover: %v", err)
	}
	m.owner = publishedEntries(entries)
	m.stopped = false
	m.reopen()
	for name, records := range m.durable {
		if len(records) == 0 {
			delete(m.durable, name)
		}
	}
	m.checkAll()
}

// checkAll compares the whole contents with what was published: what a crash now would
// leave.
func (m *model) checkAll() {
	m.t.Helper()
	dir, owner := m.dir.clone(), m.owner.clone()
	if m.stopped {
		logs, seen := observed()
		entries, err := Recover(dir, logs)
		if err != nil {
			m.fatal("recover: %v", err)
		}
		if aside := asideNames(dir); aside != "" {
			m.fatal("%s set aside after a clean stop: %s", aside, messages(seen, zapcore.ErrorLevel))
		}
		owner = publishedEntries(entries)
	}
	_, queues, err := owner.open(dir, m.logs)
	if err != nil {
		m.fatal("open after a crash: %v", err)
	}
	for name, want := range m.durable {
		var got []string
		if q := queues[name]; q != nil {
			got = mustDrain(m.t, q)
		}
		want = slices.DeleteFunc(slices.Clone(want), func(p string) bool { return m.marked[p] })
		isMarking := func(p string) bool { return slices.Contains(m.marking, p) }
		if !slices.Equal(got, want) && !slices.Equal(got, slices.DeleteFunc(slices.Clone(want), isMarking)) {
			m.fatal("%s holds\n%.30q\nwant\n%.30q", name, got, want)
		}
		delete(queues, name)
	}
	for name, q := range queues {
		if len(mustDrain(m.t, q)) > 0 {
			m.fatal("there is also %s with %d records", name, q.Held())
		}
	}
}

// settle ends a test: what is in the queues now must be there after a crash.
func (m *model) settle() {
	m.publishAll()
	m.checkAll()
}

func TestQueuesBehaveLikeTheModelThroughCrashesAndRestarts(t *testing.T) {
	for seed := range rounds(60) {
		m := newModel(t, seed, newMemDir())
		for range 600 {
			if err := m.step(); err != nil {
				m.fatal("seed %d: %v", seed, err)
			}
			switch m.rand.IntN(100) {
			case 0:
				m.crash()
			case 1:
				m.restart()
			case 2, 3, 4, 5:
				m.publishAll()
			}
		}
		m.settle()
	}
}
