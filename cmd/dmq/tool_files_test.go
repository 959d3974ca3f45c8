package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/recordfile"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// numbers returns the lines from first to last.
func numbers(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// drainTo drains into a file until that has a size, and interrupts.
func drainTo(t *testing.T, file string, size int64, options []string) outcome {
	t.Helper()
	p := startTool(t, nil, with("drain jobs --follow --json "+file, options)...)
	waitFor(t, "all records are in the file", func() bool { return fileSize(file) >= size })
	return p.end(syscall.SIGINT)
}

// recordsIn returns the records of a file that may be written to at the moment.
func recordsIn(t *testing.T, name string) (records []string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := recordfile.NewReader(bytes.NewReader(content))
	for err == nil {
		var record []byte
		if record, err = reader.Next(); err == nil {
			records = append(records, string(record))
		}
	}
	if err != io.EOF && err != recordfile.ErrTorn {
		t.Fatal(err)
	}
	return records
}

// sizeOfRecords is the size of a file with the numbers from 1 to count.
func sizeOfRecords(count int) int64 { return int64(16 + count*12 + len(numbers(1, count)) - count) }

func TestToolDrainAndLoad(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
	neo := neoArgs(t, a, b)
	file := filepath.Join(t.TempDir(), "records")

	mustTool(t, numbers(1, 3000), with("produce jobs", neo)...)
	size := sizeOfRecords(3000)
	check(t, drainTo(t, file, size, neo), 0, fmt.Sprintf(`{"drained":3000,"file":%q,"file_bytes":%d}`+"\n", file, size), "")
	check(t, runTool(t, "", with("consume jobs --idle 50ms", neo)...), 3, "", "no more records")

	// It goes on behind what is there, and cuts off what a killed one has left.
	mustTool(t, numbers(3001, 4000), with("produce jobs", neo)...)
	torn, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn.WriteString("\x09\x00\x00\x00\x00")
	torn.Close()
	size = sizeOfRecords(4000)
	check(t, drainTo(t, file, size, neo), 0,
		fmt.Sprintf(`{"drained":1000,"file":%q,"file_bytes":%d}`+"\n", file, size), "incomplete record of 5 bytes")
	check(t, runTool(t, "", with("drain jobs --idle 50ms "+file, neo)...), 0, "", "records drained: 0")

	check(t, runTool(t, "", with("load "+file+" copy --json", legacyArgs(a))...), 0, `{"stored":4000}`+"\n", "")
	lines := strings.Fields(mustTool(t, "", with("pop copy -n 0", legacyArgs(a))...))
	wantEachOnce(t, lines, 4000)
	check(t, runTool(t, "", with("load "+file+" copy --skip 3999", neo)...), 0, "", "records stored: 1\n")

	check(t, runTool(t, "", with("drain jobs "+file, legacyArgs(a))...), 2, "", "--protocol neo")
	check(t, runTool(t, "", with("load /dev/null jobs", neo)...), 1, "", "ends within a record")
}

// wantEachOnce requires the numbers from 1 to count, in any order.
func wantEachOnce(t *testing.T, lines []string, count int) {
	t.Helper()
	if missing := missingOf(lines, count); len(lines) != count || len(missing) > 0 {
		t.Errorf("got %d records, want %d; missing are %v", len(lines), count, missing[:min(len(missing), 10)])
	}
}

// missingOf returns the numbers from 1 to count that are not there.
func missingOf(lines []string, count int) (missing []string) {
	there := map[string]bool{}
	for _, line := range lines {
		there[line] = true
	}
	for _, number := range strings.Fields(numbers(1, count)) {
		if !there[number] {
			missing = append(missing, number)
		}
	}
	return missing
}

// What drain takes out and load brings back can be popped, as before: no subscriber is left.
func TestToolDrainLeavesNoTrace(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	file := filepath.Join(t.TempDir(), "records")
	mustTool(t, numbers(1, 3000), with("produce jobs", neo)...)
	for range 2 {
		check(t, runTool(t, "", with("drain jobs --idle 20ms "+file, neo)...), 0, "", "records drained: 3000\n")
		mustTool(t, "", with("load "+file+" jobs", neo)...)
		os.Remove(file)
	}
	if got := mustTool(t, "", with("pop jobs -n 0", neo)...); got != numbers(1, 3000) {
		t.Errorf("got %d bytes, want all records in their order", len(got))
	}
	check(t, runTool(t, "", with("drain none --idle 20ms "+file, neo)...), 0, "", "records drained: 0\n")

	// A channel that has consumers is drained as one of them, and so is one that shall be.
	for name, args := range map[string]string{"with": "", "named": " -s audit"} {
		runTool(t, "", with("consume with --idle 10ms", neo)...)
		mustTool(t, "1\n2\n", with("produce "+name, neo)...)
		check(t, runTool(t, "", with("drain "+name+" --idle 100ms "+file+args, neo)...), 0, "", "records drained: 2; ")
	}
}

// However often drain is killed, all records get into the file.
func TestToolKilledDrainLosesNothing(t *testing.T) {
	const count = 20_000
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	file := filepath.Join(t.TempDir(), "records")
	mustTool(t, numbers(1, count), with("produce jobs", neo)...)
	for range 3 {
		before := fileSize(file)
		p := startTool(t, nil, with("drain jobs --follow "+file, neo)...)
		waitFor(t, "the file grows", func() bool { return fileSize(file) > before+16 || mayBeDone(file, count) })
		p.end(syscall.SIGKILL)
	}
	startTool(t, nil, with("drain jobs --follow "+file, neo)...)
	waitFor(t, "all records are in the file", func() bool { return len(missingOf(recordsIn(t, file), count)) == 0 })
}

// mayBeDone tells that the file is large enough to have all records, so need not grow.
func mayBeDone(file string, count int) bool { return fileSize(file) >= int64(count*(12+4)) }

// popAll pops from a channel until nothing up to count is missing any more, and returns
// everything, also what was popped before.
func popAll(t *testing.T, channel string, count int, options []string, before ...string) (lines []string) {
	t.Helper()
	lines = before
	waitFor(t, "all records are mirrored", func() bool {
		lines = append(lines, strings.Fields(runTool(t, "", with("pop -n 0 "+channel, options)...).stdout)...)
		return len(missingOf(lines, count)) == 0
	})
	return lines
}

func TestToolMirror(t *testing.T) {
	from, to := nodetest.Start(t), nodetest.Start(t)
	neo := neoArgs(t, from)
	mustTool(t, numbers(1, 2000), with("produce jobs", neo)...)
	p := startTool(t, nil, with("mirror jobs --to-address "+to.Neo(), neo)...)
	wantEachOnce(t, popAll(t, "jobs", 2000, neoArgs(t, to)), 2000)
	check(t, p.end(syscall.SIGINT), 0, "", "records mirrored: 2000")

	// What comes while no mirror runs is mirrored later, also into legacy.
	mustTool(t, "1\n2\n", with("produce jobs", neo)...)
	p = startTool(t, nil, with("mirror jobs copy --json --to-protocol legacy --to-address "+to.Legacy(), neo)...)
	wantEachOnce(t, popAll(t, "copy", 2, legacyArgs(to)), 2)
	check(t, p.end(syscall.SIGTERM), 0, `{"stored":2}`+"\n", "")

	// An empty record, which legacy does not have, does not stop it.
	mustTool(t, "3\n\n4\n", with("produce jobs", neo)...)
	p = startTool(t, nil, with("mirror jobs copy --json --to-protocol legacy --to-address "+to.Legacy(), neo)...)
	wantEachOnce(t, popAll(t, "copy", 4, legacyArgs(to), "1", "2"), 4)
	check(t, p.end(syscall.SIGTERM), 0, `{"stored":2,"skipped_empty":1}`+"\n", "")

	check(t, runTool(t, "", with("mirror jobs --idle 50ms --to-address "+to.Neo(), neo)...), 0, "", "records mirrored: 0")
	check(t, runTool(t, "", with("mirror jobs", neo)...), 2, "", "no target")
	check(t, runTool(t, "", with("mirror jobs --to-address "+from.Neo(), neo)...), 1, "", "are the same")
	check(t, runTool(t, "", with("mirror jobs --to-address "+to.Neo(), legacyArgs(from))...), 2, "", "protocol")
	check(t, runTool(t, "", with("mirror jobs --to-address 127.0.0.1:1", neo)...), 4, "", "target: no node is connected")
}

// The target stops while records come: what it has not stored stays at the source.
func TestToolMirrorAcknowledgesWhatIsStored(t *testing.T) {
	const count = 3000
	from, to := nodetest.Start(t), nodetest.Start(t)
	neo := neoArgs(t, from)
	p := startTool(t, nil, with("mirror jobs --to-protocol legacy --to-address "+to.Legacy(), neo)...)
	mustTool(t, numbers(1, count/2), with("produce jobs", neo)...)
	waitFor(t, "something is mirrored", func() bool {
		return runTool(t, "", with("pop jobs", legacyArgs(to))...).stdout == "1\n"
	})
	to.Stop()
	mustTool(t, numbers(count/2+1, count), with("produce jobs", neo)...)
	if got := p.wait(); got.status == 0 {
		t.Errorf("the mirror whose target has stopped: got %+v, want an error", got)
	}
	to.Restart()
	startTool(t, nil, with("mirror jobs --to-protocol legacy --to-address "+to.Legacy(), neo)...)
	popAll(t, "jobs", count, legacyArgs(to), "1")
}

func TestToolBench(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t, admins)
	const options = "bench --json --duration 50ms --records 500 --connections 2 --in-flight 4 --size 10"
	for protocol, args := range map[string][]string{
		"legacy": legacyArgs(a, b),
		"neo":    append(neoArgs(t, a, b), "--legacy-address", a.Legacy()+","+b.Legacy()),
	} {
		decoder := json.NewDecoder(strings.NewReader(mustTool(t, "", with(options, args)...)))
		for _, mode := range []string{"push", "pop", "produce", "consume", "stream", "latency"} {
			var got benched
			if err := decoder.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if got.Mode != mode || got.Protocol != protocol || got.Records < 1 || got.Rate <= 0 {
				t.Errorf("bench %s over %s: got %+v", mode, protocol, got)
			}
			if measured := mode == "push" || mode == "pop" || mode == "latency"; measured != (got.Latency != nil) {
				t.Errorf("bench %s over %s: got latency %+v", mode, protocol, got.Latency)
			}
		}
	}
	check(t, runTool(t, "", with("bench", neoArgs(t, a, b))...), 2, "", "--legacy-address")
	mustTool(t, "", with(options+" push", neoArgs(t, b))...)
	check(t, runTool(t, "", with("bench fast", legacyArgs(a))...), 2, "", `mode "fast"`)
	for _, node := range []*nodetest.Node{a, b} { // all channels are removed
		if stopped := node.Stop(); stopped != 0 {
			t.Fatalf("the node ends with status %d", stopped)
		}
		if files, _ := filepath.Glob(node.Path("data/*.rq")); len(files) > 0 {
			t.Errorf("bench has left channels: %v", files)
		}
	}
}
