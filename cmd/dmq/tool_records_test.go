package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/top"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What a user sees of both protocols alike.
func TestToolWithBothProtocols(t *testing.T) {
	node := nodetest.Start(t)
	for protocol, options := range map[string][]string{"legacy": legacyArgs(node), "neo": neoArgs(t, node)} {
		t.Run(protocol, func(t *testing.T) {
			for _, tc := range []struct {
				args   string
				stdin  string
				status int
				stdout string
				stderr string // a part of it; "" = nothing
			}{
				{"push CH a b", "", 0, "", ""},
				{"push CH --json", "c", 0, `{"stored":1}` + "\n", ""},
				{"pop CH", "", 0, "a\n", ""},
				{"pop CH --json", "", 0, `{"value":"b"}` + "\n", ""},
				{"pop CH --raw", "", 0, "c", ""},
				{"pop CH", "", 3, "", "the channel is empty"},
				{"pop CH -n 0", "", 0, "", ""},
				{"pop CH --json", "", 3, "", `"status":3`},
				{"push CH,CH2 both", "", 0, "", ""},
				{"pop CH2 --length-prefixed", "", 0, "\x04\x00\x00\x00\x00\x00\x00\x00both", ""},
				{"pop CH", "", 0, "both\n", ""},
				{"push CH", "\xff\x00", 0, "", ""},
				{"pop CH --json", "", 0, `{"base64":"/wA="}` + "\n", ""},
				{"push no.name x", "", 2, "", "bad"},
				{"produce CH", "x\n\ny", 0, "", "records stored: "},
				{"produce CH --length-prefixed --json", "\x01\x00\x00\x00\x00\x00\x00\x00z", 0, `{"stored":1}` + "\n", ""},
				{"produce CH --length-prefixed", "\x02\x00\x00\x00\x00\x00\x00\x00z", 1, "", "record 1: the input ends within it"},
				{"consume CH --idle 1m -n COUNT", "", 0, "x\nLINE\ny\nz\n", ""},
				{"consume CH --idle 100ms", "", 3, "", "no more records, printed: 0"},
			} {
				line, count := "\n", "4"
				if protocol == "legacy" { // which has no empty records
					line, count = "", "3"
				}
				args := with(strings.NewReplacer("CH", protocol, "COUNT", count).Replace(tc.args), options)
				t.Log(args)
				check(t, runTool(t, tc.stdin, args...), tc.status, strings.ReplaceAll(tc.stdout, "LINE\n", line), tc.stderr)
			}
		})
	}
}

// An empty channel is an empty channel, also when a node has forgotten it. Over legacy one with
// consumers can't be told apart from that; over neo it is an error.
func TestToolPopOfNothing(t *testing.T) {
	for protocol, subscribed := range map[string]int{"legacy": 3, "neo": 1} {
		t.Run(protocol, func(t *testing.T) {
			node := nodetest.Start(t)
			options := func() []string {
				if protocol == "neo" {
					return neoArgs(t, node)
				}
				return legacyArgs(node)
			}
			pop := func(what string, status int) {
				t.Helper()
				t.Log("pop of a channel", what)
				got := runTool(t, "", with("pop jobs", options())...)
				check(t, got, status, "", `Pop "jobs"`)
			}
			pop("that never was", 3)
			mustTool(t, "", with("push jobs x", options())...)
			mustTool(t, "", with("pop jobs", options())...)
			pop("that is empty", 3)
			node.Stop()
			node.Restart()
			pop("that was empty before a restart", 3)
			runTool(t, "", with("consume jobs --stream --idle 10ms", options())...)
			pop("with consumers", subscribed)
			node.Stop()
			node.Restart()
			pop("that had consumers before a restart", subscribed)
		})
	}
}

func TestToolAsksAllNodes(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
	mustTool(t, "", with("push jobs there", legacyArgs(b))...)
	if got := mustTool(t, "", with("pop jobs", neoArgs(t, a, b))...); got != "there\n" {
		t.Errorf("pop from two nodes, the second of which has a record: got %q", got)
	}
	check(t, runTool(t, "", with("pop jobs", neoArgs(t, a, b))...), 3, "", "empty")

	list := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(list, []byte("# both\n"+a.Legacy()+"\n"+b.Legacy()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustTool(t, strings.Repeat("x\n", 20), "produce", "hits", "--nodes", list)
	for _, node := range []*nodetest.Node{a, b} {
		if got := mustTool(t, "", with("pop hits -n 10", legacyArgs(node))...); got != strings.Repeat("x\n", 10) {
			t.Errorf("one of two nodes has %q of 20 records, want 10", got)
		}
	}
}

func TestToolExitStatusWithoutNodes(t *testing.T) {
	node := nodetest.Start(t, nodetest.Credentials("other:"+strings.Repeat("1", 256)+"\n"))
	neo := neoArgs(t, node)
	check(t, runTool(t, "", with("push jobs x", neo)...), 4, "", "rejects the credentials")
	for _, command := range []string{"push jobs x", "pop jobs", "consume jobs", "remove jobs", "ping"} {
		got := runTool(t, "", with(command+" -a 127.0.0.1:1 --json")...)
		var said struct {
			Error  string
			Status int
		}
		if err := json.Unmarshal([]byte(got.stderr[strings.LastIndex(strings.TrimSpace(got.stderr), "\n")+1:]), &said); err != nil {
			t.Errorf("dmq %s: standard error is not JSON: %v in %q", command, err, got.stderr)
		}
		if got.status != 4 || said.Status != 4 || !strings.Contains(said.Error, "127.0.0.1:1") {
			t.Errorf("dmq %s without a node: got %+v, want status 4 and an error that names it", command, got)
		}
	}
	// What can't be meant is no node that can't be reached.
	for _, options := range []string{"-a queue-1", "-N " + os.DevNull + "/none", "-N " + os.DevNull} {
		for _, command := range []string{"push a b ", "remove a ", "ping ", "bench "} {
			check(t, runTool(t, "", with(command+options)...), 2, "", "for help")
		}
	}
	// One of two is enough, and the other is named.
	check(t, runTool(t, "", with("push jobs x -a 127.0.0.1:1", legacyArgs(node))...), 0, "", "not connected to 127.0.0.1:1")
}

func TestToolConsumeCount(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	mustTool(t, "1\n2\n3\n4\n5\n", with("produce jobs", neo)...)
	check(t, runTool(t, "", with("consume jobs --idle 1m -n 2", neo)...), 0, "1\n2\n", "")
	check(t, runTool(t, "", with("consume jobs --idle 1m -n 3 --batch 2", neo)...), 0, "3\n4\n5\n", "")
	check(t, runTool(t, "", with("consume jobs -n 1 --idle 100ms", neo)...), 3, "", "no more records, printed: 0")
}

// Exactly what is printed is taken, whether it is a number or all that a pipe's reader wants.
func TestToolTakesWhatItPrints(t *testing.T) {
	node := nodetest.Start(t)
	neo, legacy := neoArgs(t, node), legacyArgs(node)
	var all strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&all, i)
	}
	mustTool(t, all.String(), with("produce popped", legacy)...)
	mustTool(t, all.String(), with("produce jobs", neo)...)
	check(t, runTool(t, "", with("consume popped -n 2", legacy)...), 0, "0\n1\n", "")
	check(t, runTool(t, "", with("pop popped", legacy)...), 0, "2\n", "")
	check(t, runTool(t, "", with("consume jobs -n 2", neo)...), 0, "0\n1\n", "")
	check(t, runTool(t, "", with("consume jobs -n 1", neo)...), 0, "2\n", "")

	head := exec.Command("sh", append([]string{"-c", `"$0" "$@" | head -n 3`, toolBinary(t)}, with("consume jobs -f", neo)...)...)
	if got, err := head.Output(); string(got) != "3\n4\n5\n" || err != nil {
		t.Errorf("head: got %q, %v, want three records", got, err)
	}
	check(t, runTool(t, "", with("consume jobs -n 1", neo)...), 0, "6\n", "")
}

func TestToolPutsAside(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	mustTool(t, "1\n2\n", with("produce jobs", neo)...)
	c, err := client.New(client.Options{Nodes: []string{node.Neo()}, Credentials: client.Credentials{Name: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	consumer, err := c.Consume(t.Context(), "jobs", client.ConsumeOptions{MaxBatch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for record, err := range consumer.Records() {
		if err == nil {
			consumer.Stop()
			err = record.Return(0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check(t, runTool(t, "", with("consume jobs -n 1 --max-deliveries 1", neo)...), 0, "2\n", "1 record was put aside")
	check(t, runTool(t, "", with("pop jobs-failed", neo)...), 0, "1\n", "")
	check(t, runTool(t, "", with("consume jobs --idle 10ms", neo)...), 3, "", "no more records")
}

func TestToolPopWaits(t *testing.T) {
	node := nodetest.Start(t)
	for protocol, options := range map[string][]string{"legacy": legacyArgs(node), "neo": neoArgs(t, node)} {
		waiting := startTool(t, strings.NewReader(""), with("pop --wait 10m -n 2 "+protocol, options)...)
		mustTool(t, "", with("push a "+protocol, options)...)
		mustTool(t, "", with("push "+protocol+" x y", options)...)
		check(t, waiting.wait(), 0, "x\ny\n", "")
		check(t, runTool(t, "", with("pop --wait 1ms "+protocol, options)...), 3, "", "empty")
	}
	check(t, runTool(t, "", with("pop --subscriber s jobs", legacyArgs(node))...), 2, "", "--protocol neo can")
}

func TestToolSubscribers(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	for _, subscriber := range []string{"a", "b"} {
		check(t, runTool(t, "", with("consume jobs --idle 10ms -s "+subscriber, neo)...), 3, "", "no more records")
	}
	mustTool(t, "", with("push jobs x", neo)...)
	for _, subscriber := range []string{"a", "b"} {
		check(t, runTool(t, "", with("consume jobs --idle 1m -n 1 -s "+subscriber, neo)...), 0, "x\n", "")
	}
	check(t, runTool(t, "", with("consume jobs -s a", legacyArgs(node))...), 2, "", "--protocol neo can")
}

func TestToolRemove(t *testing.T) {
	node := nodetest.Start(t)
	neo := neoArgs(t, node)
	mustTool(t, "", with("push jobs x", neo)...)
	check(t, runTool(t, "", with("remove jobs", neo)...), 1, "", "--legacy-address")
	mustTool(t, "", with("remove jobs --legacy-address "+node.Legacy(), neo)...)
	check(t, runTool(t, "", with("pop jobs", neo)...), 3, "", "empty")
}

func TestToolPing(t *testing.T) {
	node := nodetest.Start(t)
	for protocol, options := range map[string][]string{"legacy": legacyArgs(node), "neo": neoArgs(t, node)} {
		var got pinged
		if err := json.Unmarshal([]byte(mustTool(t, "", with("ping --json", options)...)), &got); err != nil {
			t.Fatal(err)
		}
		if got.Protocol != protocol || got.Connect == nil || got.RoundTrip == nil || (got.Handshake != nil) != (protocol == "neo") || got.Error != "" {
			t.Errorf("ping over %s: got %+v", protocol, got)
		}
	}
	got := runTool(t, "", with("ping -a 127.0.0.1:1", legacyArgs(node))...)
	if got.status != 1 || !strings.Contains(got.stdout, " ok\n") || !strings.Contains(got.stdout, "refused") {
		t.Errorf("ping of a node and none: got %+v, want status 1, one ok and one refused", got)
	}
	check(t, runTool(t, "", "pop", "jobs", "-c", credentialsFile(t), "-a", node.Legacy(), "--timeout", "1m"), 4, "", "this is the legacy port")
	got = runTool(t, "", "ping", "-c", credentialsFile(t), "-a", node.Legacy(), "--timeout", "1m")
	if got.status != 4 || !strings.Contains(got.stdout, "this is the legacy port") {
		t.Errorf("ping over neo of the legacy port: got %+v, want that it says so", got)
	}
	check(t, runTool(t, "", with("remove jobs -a 127.0.0.1:1", legacyArgs(node))...), 1, "", "not all nodes could be reached")
}

func TestToolGenCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new")
	line := mustTool(t, "", "gen-credentials", "billing", "--file", file)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: got %v, %v, want mode 600", info, err)
	}
	check(t, runTool(t, "", "gen-credentials", "billing", "--file", file), 1, "", "file exists")
	check(t, runTool(t, "", "gen-credentials", "no name"), 2, "", "gen-credentials --help")
	if other := mustTool(t, "", "gen-credentials", "billing"); other == line || len(other) != len("billing:")+256+1 {
		t.Errorf("a second key: got %q", other)
	}
	node := nodetest.Start(t, nodetest.Credentials(line))
	mustTool(t, "", "push", "jobs", "x", "-c", file, "-a", node.Neo())
}

func TestToolTop(t *testing.T) {
	node := nodetest.Start(t, nodetest.Set("Http.port", "0"))
	mustTool(t, "", with("push jobs a b c", legacyArgs(node))...)
	var got top.State
	line := mustTool(t, "", "top", "--once", "--interval", "10ms", "--json", "--http", node.HTTP())
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Nodes) != 1 || len(got.Queues) != 1 || got.Queues[0].Channel != "jobs" || got.Queues[0].Records != 3 ||
		got.Queues[0].Bytes != 3*9 || got.Queues[0].In == nil {
		t.Errorf("got %+v, want jobs with 3 records of 9 bytes, and rates", got)
	}
	table := mustTool(t, "", "top", "--interval", "10ms", "--http", node.HTTP()) // no terminal: once
	if !strings.Contains(table, "\nQUEUE ") || !strings.Contains(table, "\njobs ") {
		t.Errorf("got %q, want a table with jobs", table)
	}
	check(t, runTool(t, "", "top", "--once"), 2, "", "want --http")
	check(t, runTool(t, "", "top", "--once", "--interval", "10ms", "--json", "--http", "127.0.0.1:1"), 4,
		`{"nodes":[{"node":"127.0.0.1:1","error":"dial tcp 127.0.0.1:1: connect: connection refused","connections":0,"records":0,"bytes":0}],"queues":[]}`+"\n",
		"127.0.0.1:1")
}
