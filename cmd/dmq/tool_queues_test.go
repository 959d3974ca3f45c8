package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/terminal"
)

var admins = nodetest.Set("Admin.clients", "test")

// cells returns the rows of a table without its titles, with one blank between cells.
func cells(table string) (rows []string) {
	for line := range strings.Lines(table) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	if len(rows) == 0 {
		return nil
	}
	return rows[1:]
}

func wantRows(t *testing.T, table string, want ...string) {
	t.Helper()
	if got := cells(table); !slices.Equal(got, want) {
		t.Errorf("got\n%swant rows %q", table, want)
	}
}

// subscribed consumes a channel, and returns when its subscriber exists at all of the nodes.
func subscribed(t *testing.T, nodes []string, channel, subscriber string) *process {
	t.Helper()
	consumer := startTool(t, nil, with("consume --follow "+channel+" -s "+subscriber, nodes)...)
	waitFor(t, "subscriber of "+channel, func() bool {
		got := runTool(t, "", with("info --json "+subscriber+"@"+channel, nodes)...)
		return strings.Count(got.stdout, "\n") == (len(nodes)-2)/2
	})
	return consumer
}

func TestToolListsQueues(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
	both := neoArgs(t, a, b)
	mustTool(t, "", with("push jobs 1234567", neoArgs(t, a))...)
	mustTool(t, "", with("push jobs 1234567", neoArgs(t, b))...)
	mustTool(t, "", with("push other x", neoArgs(t, b))...)
	subscribed(t, both, "hits", "audit").end(syscall.SIGINT)

	table := mustTool(t, "", with("list", both)...)
	var names []string
	for _, row := range cells(table) {
		names = append(names, strings.Fields(row)[0])
	}
	if !slices.Equal(names, []string{"audit@hits", "jobs", "other"}) {
		t.Errorf("got\n%s", table)
	}
	collecting := []string{a.Neo() + " audit@hits 0 0 B 0 0 % 0 - 0 collecting", b.Neo() + " audit@hits 0 0 B 0 0 % 0 - 0 collecting"}
	waitFor(t, "end of the consumer", func() bool {
		return slices.Equal(cells(mustTool(t, "", with("list hits --by-node", both)...)), collecting)
	})

	var jobs listed
	if err := json.Unmarshal([]byte(mustTool(t, "", with("list j* --json", both)...)), &jobs); err != nil {
		t.Fatal(err)
	}
	if jobs.Name != "jobs" || jobs.Nodes != 2 || jobs.Records != 2 || jobs.Bytes != 14 || jobs.Pushed != (client.Amount{Records: 2, Bytes: 14}) {
		t.Errorf("got %+v, want both nodes' records", jobs)
	}

	got := runTool(t, "", with("list other -a 127.0.0.1:1", both)...)
	if got.status != exitError || len(cells(got.stdout)) != 1 || !strings.Contains(got.stderr, "not all nodes could be reached") {
		t.Errorf("with a node that is away: got %+v", got)
	}
	check(t, runTool(t, "", with("list [", both)...), exitUsage, "", "pattern")
	check(t, runTool(t, "", with("list", legacyArgs(a))...), exitUsage, "", "--protocol neo can")
}

func TestToolInfoAndClients(t *testing.T) {
	a, b := nodetest.Start(t), nodetest.Start(t)
	both := neoArgs(t, a, b)
	mustTool(t, "", with("push jobs x", neoArgs(t, a))...)
	subscribed(t, neoArgs(t, b), "hits", "audit")

	got := runTool(t, "", with("info jobs", both)...) // which b does not have
	if rows := cells(got.stdout); got.status != 0 || len(rows) != 1 || !strings.HasPrefix(rows[0], a.Neo()+" 1 1 B 0 ") {
		t.Errorf("got %+v, want a row of one node", got)
	}
	check(t, runTool(t, "", with("info nothing", both)...), exitError, "", `QueueInfo "nothing": not found`)
	info := mustTool(t, "", with("info audit@hits", both)...)
	if !strings.Contains(info, "work audit@hits\n") || !strings.Contains(info, b.Neo()) || strings.Contains(info, a.Neo()) {
		t.Errorf("got\n%s", info)
	}
	clients := cells(mustTool(t, "", with("clients audit@hits", both)...))
	if len(clients) != 1 || !strings.Contains(clients[0], " neo test ") {
		t.Errorf("got %q, want the consumer", clients)
	}
	check(t, runTool(t, "", with("clients audti@hits", both)...), 1, "", `"audti@hits": not found`)
	if all := cells(mustTool(t, "", with("clients", both)...)); len(all) < 3 {
		t.Errorf("got %q, want the connections of consumer and tool", all)
	}
}

func TestToolPeeks(t *testing.T) {
	node := nodetest.Start(t)
	args := neoArgs(t, node)
	mustTool(t, "", with("push jobs one two", args)...)
	mustTool(t, strings.Repeat("x", 3<<19), with("push jobs -", args)...)
	mustTool(t, "last", with("push jobs -", args)...)
	check(t, runTool(t, "", with("peek jobs -n 2", args)...), 0, "one\ntwo\n", "")
	check(t, runTool(t, "", with("peek jobs -n 1 --skip 1 --raw", args)...), 0, "two", "")
	check(t, runTool(t, "", with("peek jobs -n 1 --hex", args)...), 0,
		node.Neo()+" record 0: 3 bytes\n00000000  6f 6e 65                                          |one|\n", "")
	check(t, runTool(t, "", with("peek jobs -n 1 --json --skip 3", args)...), 0,
		fmt.Sprintf(`{"value":"last","node":%q,"place":3,"size":4}`, node.Neo())+"\n", "")

	got := runTool(t, "", with("peek jobs", args)...) // more than a node sends at once
	lines := strings.Split(got.stdout, "\n")
	if got.status != 0 || len(lines) != 5 || len(lines[2]) < 1<<19 || len(lines[2]) >= 3<<19 || lines[3] != "last" || !strings.Contains(got.stderr, "1 record is not printed completely") {
		t.Errorf("got status %d, %d lines, %q, want 4 records, one of them cut", got.status, len(lines), got.stderr)
	}
	check(t, runTool(t, "", with("peek jobs --skip 4", args)...), exitNoRecord, "", "no records to look at")
	if count := strings.Count(mustTool(t, "", with("pop jobs -n 0", args)...), "\n"); count != 4 {
		t.Errorf("after that there are %d records, want 4", count)
	}
}

func TestToolSteers(t *testing.T) {
	a, b := nodetest.Start(t, admins), nodetest.Start(t, admins)
	both := neoArgs(t, a, b)
	mustTool(t, "", with("push jobs 1234567", neoArgs(t, a))...)
	mustTool(t, "", with("push jobs 1234567", neoArgs(t, b))...)
	wantRows(t, mustTool(t, "", with("pause jobs", both)...), a.Neo()+" jobs paused", b.Neo()+" jobs paused")
	check(t, runTool(t, "", with("pop jobs", both)...), exitNoRecord, "", "empty")
	wantRows(t, mustTool(t, "", with("resume jobs", neoArgs(t, a))...), a.Neo()+" jobs resumed")
	if list := mustTool(t, "", with("list jobs", both)...); !strings.Contains(list, "paused at 1 of 2\n") {
		t.Errorf("got\n%s", list)
	}
	want := `{"node":"` + a.Neo() + `","queue":"jobs","done":"cleared","dropped":{"records":1,"bytes":7}}` + "\n"
	if got := mustTool(t, "", with("clear jobs --json", neoArgs(t, a))...); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantRows(t, mustTool(t, "", with("clear jobs", both)...), a.Neo()+" jobs cleared: 0 records, 0 B", b.Neo()+" jobs cleared: 1 records, 7 B")
	check(t, runTool(t, "", with("clear nothing", both)...), exitError, "", `Clear "nothing": not found`)

	check(t, runTool(t, "", with("remove jobs nothing", both)...), 0, "", "")
	check(t, runTool(t, "", with("info jobs", both)...), exitError, "", "not found")

	consumer := subscribed(t, neoArgs(t, b), "hits", "audit")
	wantRows(t, mustTool(t, "", with("unsubscribe audit@hits", both)...), b.Neo()+" audit@hits unsubscribed")
	check(t, consumer.wait(), exitNoRecord, "", "the channel was removed")

	consumer = subscribed(t, neoArgs(t, b), "hits", "audit")
	id := strings.Fields(cells(mustTool(t, "", with("clients audit@hits", both)...))[0])[1]
	check(t, runTool(t, "", with("disconnect "+b.Neo()+" "+id, both)...), 0, "", "disconnected: "+id)
	check(t, runTool(t, "", with("disconnect "+b.Neo()+" "+id, both)...), exitError, "", "not found")
	check(t, runTool(t, "", with("disconnect 127.0.0.1:1 "+id, both)...), exitUsage, "", "not one of those")
	consumer.end(syscall.SIGINT)
}

func TestToolMayNotSteer(t *testing.T) {
	node := nodetest.Start(t)
	args := neoArgs(t, node)
	mustTool(t, "", with("push jobs kept", args)...)
	for _, command := range []string{"clear jobs", "pause jobs", "resume jobs", "unsubscribe s@jobs", "disconnect " + node.Neo() + " 1"} {
		check(t, runTool(t, "", with(command, args)...), exitError, "", "denied")
	}
	check(t, runTool(t, "", with("pop jobs", args)...), 0, "kept\n", "")
}

// On a terminal what drops something asks first.
func TestToolAsks(t *testing.T) {
	node := nodetest.Start(t, admins)
	args := neoArgs(t, node)
	mustTool(t, "", with("push jobs a b", args)...)
	for _, tc := range []struct {
		answer string
		status int
		left   string
	}{{"no\n", exitError, "a\n"}, {"\n", exitError, "a\n"}, {"yes\n", 0, ""}} {
		term := terminal.Open(t, 100, 24)
		cmd := onTerminal(t, "xterm", with("clear jobs", args)...)
		cmd.Stdin, cmd.Stderr = term.File(), term.File()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		term.Wait("question", nodetest.Patience, func(lines []string) bool {
			return strings.Contains(strings.Join(lines, "\n"), "Drop all records of jobs (2 records) at 1 node? Type yes to do it:")
		})
		term.Type(tc.answer)
		cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != tc.status {
			t.Errorf("answer %q: got status %d, want %d", tc.answer, got, tc.status)
		}
		if got := runTool(t, "", with("peek jobs -n 1", args)...); got.stdout != tc.left {
			t.Errorf("answer %q: got %q at the head of the queue, want %q", tc.answer, got.stdout, tc.left)
		}
	}
	mustTool(t, "", with("push jobs a", args)...)
	slave, _ := terminal.Pair(t)
	cmd := onTerminal(t, "xterm", with("clear jobs --yes", args)...)
	cmd.Stdin = slave
	if err := cmd.Run(); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}

func TestToolCompletesNames(t *testing.T) {
	node := nodetest.Start(t)
	args := neoArgs(t, node)
	mustTool(t, "", with("push jobs x", args)...)
	mustTool(t, "", with("push jars x", args)...)
	subscribed(t, args, "hits", "audit").end(syscall.SIGINT)
	for begun, want := range map[string]string{
		"info ":             "audit@hits jars jobs",
		"clear jobs j":      "jars jobs",
		"pop jo":            "jobs",
		"consume ":          "hits jars jobs",
		"consume hits -s ":  "audit",
		"consume jobs -s ":  "",
		"drain hits -s a":   "audit",
		"info jobs ":        "",
		"produce j":         "jars jobs",
		"load a-file j":     "jars jobs",
		"mirror hits -s au": "audit",
	} {
		words := strings.Split(begun, " ")
		line := append([]string{"__complete", words[0]}, args...)
		offered := strings.Fields(strings.Split(mustTool(t, "", append(line, words[1:]...)...), ":")[0])
		if got := strings.Join(offered, " "); got != want {
			t.Errorf("dmq %s: offered %q, want %q", begun, got, want)
		}
	}
	if got := runTool(t, "", "__complete", "pop", "-c", credentialsFile(t), "-a", "127.0.0.1:1", ""); strings.Contains(got.stderr, "refused") {
		t.Errorf("where no node is: got %+v, want nothing in the line that is typed", got)
	}
}

// Consumers of the tool's own leave nothing behind, unless somebody needs it or they must not
// remove it.
func TestToolVisitsLeaveNoTrace(t *testing.T) {
	node, to := nodetest.Start(t, admins), nodetest.Start(t)
	args := neoArgs(t, node)
	file := filepath.Join(t.TempDir(), "records")
	mirror := "mirror jobs --idle 50ms --to-address " + to.Neo()
	drain := "drain jobs --idle 50ms -s archive " + file
	queues := func() string {
		var names []string
		for _, row := range cells(mustTool(t, "", with("list", args)...)) {
			names = append(names, strings.Fields(row)[0])
		}
		return strings.Join(names, " ")
	}

	for command, subscriber := range map[string]string{mirror: "mirror", drain: "archive"} {
		mustTool(t, "", with("push jobs a b", args)...)
		check(t, runTool(t, "", with(command, args)...), 0, "", ": 2; subscriber "+subscriber+"@jobs is removed again")
		if got := queues(); got != "" {
			t.Errorf("%s: leaves %s", command, got)
		}
		check(t, runTool(t, "", with(command+" --keep", args)...), 0, "", "stays and collects what comes (as --keep says)")
		check(t, runTool(t, "", with(command, args)...), 0, "", "(it was there before)")
		if got := queues(); got != subscriber+"@jobs" {
			t.Errorf("%s --keep: left %s", command, got)
		}
		mustTool(t, "", with("unsubscribe "+subscriber+"@jobs", args)...)
	}

	p := startTool(t, nil, with("mirror jobs --to-address "+to.Neo(), args)...)
	waitFor(t, "mirror", func() bool { return queues() == "mirror@jobs" })
	check(t, p.end(syscall.SIGINT), 0, "", "records mirrored: 0; subscriber mirror@jobs is removed again")
	check(t, runTool(t, "", with("mirror jobs --idle 50ms --to-address "+node.Neo(), neoArgs(t, to))...), 0, "", "(denied: ")
}
