package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/test/nodetest"
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

func TestToolDrainAndLoad(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
	neo := neoArgs(t, a, b)
	file := filepath.Join(t.TempDir(), "records")

	mustTool(t, numbers(1, 3000), with("produce jobs", neo)...)
	check(t, runTool(t, "", with("drain jobs "+file+" --idle 200ms", neo)...), 0, "", "records drained: 3000")
	check(t, runTool(t, "", with("consume jobs --idle 50ms", neo)...), 3, "", "no more records")

	// It goes on behind what is there, and cuts off what a killed one has left.
	mustTool(t, numbers(3001, 4000), with("produce jobs", neo)...)
	torn, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn.WriteString("\x09\x00\x00\x00\x00")
	torn.Close()
	got := runTool(t, "", with("drain jobs --json "+file+" --idle 200ms", neo)...)
	check(t, got, 0, fmt.Sprintf(`{"drained":1000,"file":%q,"file_bytes":%d}`+"\n", file, fileSize(file)), "incomplete record of 5 bytes")

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
	if missing := missingOf(t, lines, count); len(lines) != count || len(missing) > 0 {
		t.Errorf("got %d records, want %d; missing are %v", len(lines), count, missing[:min(len(missing), 10)])
	}
}

func missingOf(t *testing.T, lines []string, count int) (missing []string) {
	t.Helper()
	slices.Sort(lines)
	for _, number := range strings.Fields(numbers(1, count)) {
		if _, ok := slices.BinarySearch(lines, number); !ok {
			missing = append(missing, number)
		}
	}
	return missing
}

// However often drain is killed, each record is in the file or in the channel.
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
	if got := runTool(t, "", with("drain jobs "+file+" --idle 500ms", neo)...); got.status != 0 {
		t.Fatalf("the last drain: got %+v", got)
	}
	mustTool(t, "", with("load "+file+" copy", legacyArgs(node))...)
	lines := strings.Fields(mustTool(t, "", with("consume copy --idle 500ms", legacyArgs(node))...))
	if missing := missingOf(t, lines, count); len(missing) > 0 {
		t.Errorf("%d records are lost, among them %v", len(missing), missing[:min(len(missing), 10)])
	}
}

// mayBeDone tells that the file is large enough to have all records, so need not grow.
func mayBeDone(file string, count int) bool { return fileSize(file) >= int64(count*(12+4)) }

func TestToolInterruptedDrainEndsInOrder(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	file := filepath.Join(t.TempDir(), "records")
	mustTool(t, numbers(1, 100), with("produce jobs", neo)...)
	p := startTool(t, nil, with("drain jobs --follow --json "+file, neo)...)
	waitFor(t, "all records are in the file", func() bool { return fileSize(file) >= 16+100*12+192 })
	check(t, p.end(syscall.SIGINT), 0, fmt.Sprintf(`{"drained":100,"file":%q,"file_bytes":%d}`+"\n", file, fileSize(file)), "")
	check(t, runTool(t, "", with("consume jobs --idle 50ms", neo)...), 3, "", "no more records")
}

func TestToolMirror(t *testing.T) {
	from, to := nodetest.Start(t), nodetest.Start(t)
	neo := neoArgs(t, from)
	mustTool(t, numbers(1, 2000), with("produce jobs", neo)...)
	got := runTool(t, "", with("mirror jobs --idle 200ms --to-address "+to.Neo(), neo)...)
	check(t, got, 0, "", "records mirrored: 2000")
	wantEachOnce(t, strings.Fields(mustTool(t, "", with("pop jobs -n 0", neoArgs(t, to))...)), 2000)

	// What comes while no mirror runs is mirrored later, also into legacy.
	mustTool(t, "1\n2\n", with("produce jobs", neo)...)
	got = runTool(t, "", with("mirror jobs copy --idle 200ms --json --to-protocol legacy --to-address "+to.Legacy(), neo)...)
	check(t, got, 0, `{"stored":2}`+"\n", "")
	if got := mustTool(t, "", with("pop copy -n 2", legacyArgs(to))...); got != "1\n2\n" {
		t.Errorf("mirrored over legacy: got %q, want 1 and 2", got)
	}

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
	check(t, runTool(t, "", with("mirror jobs --idle 500ms --to-protocol legacy --to-address "+to.Legacy(), neo)...), 0, "", "records mirrored")
	lines := strings.Fields(mustTool(t, "", with("pop jobs -n 0", legacyArgs(to))...))
	if missing := missingOf(t, append(lines, "1"), count); len(missing) > 0 {
		t.Errorf("%d records are lost, among them %v", len(missing), missing[:min(len(missing), 10)])
	}
}

func TestToolBench(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
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
	check(t, runTool(t, "", with("bench", neoArgs(t, a))...), 2, "", "--legacy-address")
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
