package overflow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// errTest is a failure that a test has ordered.
var errTest = errors.New("ordered failure")

func silent(string) *zap.Logger { return zap.NewNop() }

// observed returns Logs and where to find what they get.
func observed() (Logs, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return func(name string) *zap.Logger { return zap.New(core).Named(name) }, logs
}

// messages returns what was logged at that level, with all fields.
func messages(logs *observer.ObservedLogs, level zapcore.Level) []string {
	var all []string
	for _, e := range logs.FilterLevelExact(level).All() {
		all = append(all, fmt.Sprint(e.Message, " ", e.ContextMap()))
	}
	return all
}

// realDir returns a new directory of the operating system with copies of the files in a
// directory of testdata.
func realDir(t testing.TB, fixture string) (disk.Dir, string) {
	t.Helper()
	path := t.TempDir()
	if fixture != "" {
		if err := os.CopyFS(path, os.DirFS(filepath.Join("testdata", fixture))); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// published is what an owner keeps: the States by name and the Global.
type published struct {
	global Global
	states map[string]State
}

func newPublished() *published { return &published{states: make(map[string]State)} }

func (p *published) clone() *published {
	c := &published{global: p.global, states: make(map[string]State)}
	for name, s := range p.states {
		c.states[name] = s
	}
	return c
}

// entries returns the States of an owner, ordered by name.
func (p *published) entries() []Entry {
	var entries []Entry
	for name, s := range p.states {
		entries = append(entries, Entry{name, s})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

func publishedEntries(entries []Entry) *published {
	p := newPublished()
	for _, e := range entries {
		p.states[e.Name] = e.State
	}
	return p
}

// open opens the file with all queues of an owner. Space is reserved and cut off in small
// steps, and cutting works.
func (p *published) open(dir disk.Dir, logs Logs) (*File, map[string]*Queue, error) {
	f, err := open(dir, fileNames{dataName, indexName}, logs, p.global, func(g Global) { p.global = g })
	if err != nil {
		return nil, nil, err
	}
	f.window.step, f.cutUnit, f.canCut = pageSize, pageSize, true
	queues := make(map[string]*Queue)
	for _, e := range p.entries() {
		q, err := f.Attach(e.Name, e.State)
		if err != nil {
			f.Abandon()
			return nil, nil, err
		}
		queues[e.Name] = q
	}
	return f, queues, nil
}

func (p *published) mustOpen(t testing.TB, dir disk.Dir) (*File, map[string]*Queue) {
	t.Helper()
	f, queues, err := p.open(dir, silent)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return f, queues
}

// publish stores the State of a queue.
func (p *published) publish(q *Queue) {
	p.states[q.name] = q.State()
	q.Published()
}

// payloads splits a run.
func payloads(run []byte) []string {
	var all []string
	for len(run) > 0 {
		record, _ := ring.Cut(run, 1, 1)
		all = append(all, string(record[lengthSize:]))
		run = run[len(record):]
	}
	return all
}

// makeRun lays records out as in a ring.
func makeRun(payloads ...string) []byte {
	var run []byte
	for _, p := range payloads {
		run = binary.LittleEndian.AppendUint64(run, uint64(len(p)))
		run = append(run, p...)
	}
	return run
}

// drain takes and frees all records, and returns those that are not marked as delivered.
func drain(q *Queue) ([]string, error) {
	var all []string
	for q.Waiting() > 0 {
		run, records, err := q.Take(1<<20, 1<<20)
		if err != nil {
			return all, err
		}
		all = append(all, payloads(run)...)
		size := len(run)
		if records == 0 {
			size, records = q.TakeMarked()
		}
		q.Free(size, records)
	}
	if s := q.State(); s != (State{ID: s.ID}) {
		return all, fmt.Errorf("after draining the state is %+v", s)
	}
	return all, nil
}

func mustDrain(t testing.TB, q *Queue) []string {
	t.Helper()
	all, err := drain(q)
	if err != nil {
		t.Fatalf("drain %s: %v", q.name, err)
	}
	return all
}

// drainAll drains every queue and returns what was in them.
func drainAll(t testing.TB, queues map[string]*Queue) map[string][]string {
	t.Helper()
	contents := make(map[string][]string)
	for name, q := range queues {
		if records := mustDrain(t, q); len(records) > 0 {
			contents[name] = records
		}
	}
	return contents
}

// rounds is how often a test with random input goes round: n times, or less with -short.
func rounds(n uint64) uint64 {
	if testing.Short() {
		return n / 4
	}
	return n
}
