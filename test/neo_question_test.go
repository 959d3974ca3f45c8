package test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// ask asks a question and returns the answer.
func (c *neo) ask(code wire.Code, names []string, numbers ...uint64) (wire.AnswerStatus, []byte) {
	c.t.Helper()
	q := wire.Question{Code: code, Numbers: numbers}
	for _, name := range names {
		q.Names = append(q.Names, []byte(name))
	}
	id := c.NextID()
	c.must(c.Start(id, wire.AppendQuestion(nil, id, q)[wire.FramePrefixSize:]))
	payload, err := c.ReadFor(id)
	c.must(err)
	status, body, err := wire.ParseAnswer(payload)
	c.must(err)
	return status, body
}

// wantAnswer requires an answer that is JSON, and decodes it.
func (c *neo) wantAnswer(into any, code wire.Code, names []string, numbers ...uint64) {
	c.t.Helper()
	status, body := c.ask(code, names, numbers...)
	if status != wire.Answered {
		c.t.Fatalf("%s of %q: status %d: %s", wire.QuestionName(code), names, status, body)
	}
	if into != nil {
		c.must(json.Unmarshal(body, into))
	}
}

func (c *neo) wantStatus(want wire.AnswerStatus, code wire.Code, names []string, numbers ...uint64) {
	c.t.Helper()
	if status, body := c.ask(code, names, numbers...); status != want {
		c.t.Errorf("%s of %q: status %d, want %d: %s", wire.QuestionName(code), names, status, want, body)
	}
}

type queueFigures struct {
	Queue   string `json:"queue"`
	Records int    `json:"records"`
	Spilled struct {
		Records int `json:"records"`
	} `json:"spilled"`
	Unconfirmed struct {
		Records int `json:"records"`
	} `json:"unconfirmed"`
	Paused  bool `json:"paused"`
	Clients []struct {
		ID       uint64 `json:"id"`
		Protocol string `json:"protocol"`
		Name     string `json:"name"`
		Requests []struct {
			Unconfirmed int `json:"unconfirmed_records"`
		} `json:"requests"`
	} `json:"clients"`
}

var admins = nodetest.Set("Admin.clients", "other, test")

// Who may look and who may not change anything: statuses of their own, and the connection goes on.
func TestQuestionsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := connect(t, nodetest.Start(t))
	c.push("value", "jobs")
	consumer := c.consume("other", "s")
	for _, code := range []wire.Code{wire.CodeClear, wire.CodeRemoveSubscriber, wire.CodeRemoveChannel, wire.CodePause, wire.CodeResume} {
		var condition []uint64
		if code == wire.CodeRemoveSubscriber {
			condition = []uint64{wire.RemoveAnyway}
		}
		c.wantStatus(wire.QuestionDenied, code, []string{"jobs"}, condition...)
	}
	c.wantStatus(wire.QuestionDenied, wire.CodeDisconnect, nil, 1)
	c.wantStatus(wire.QuestionUnknown, wire.CodeQueueInfo, []string{"nothing"})
	c.wantStatus(wire.QuestionUnknown, wire.CodePeek, []string{"s@jobs"}, 0, 1, 1)
	c.wantStatus(wire.QuestionMalformed, wire.CodeListQueues, []string{"[", ""}, 1)
	for _, fields := range [][]byte{nil, {1}, neoclient.Array("jobs"), append(neoclient.Array("jobs"), neoclient.Number(1)...)} {
		id := c.NextID()
		c.must(c.Start(id, append([]byte{byte(wire.CodePeek), wire.QuestionVersion}, fields...)))
		payload, err := c.ReadFor(id)
		c.must(err)
		if status, text, err := wire.ParseAnswer(payload); status != wire.QuestionMalformed || len(text) == 0 || err != nil {
			t.Errorf("fields % x: status %d, %q, %v", fields, status, text, err)
		}
	}
	id := c.NextID()
	c.must(c.Send(id, []byte{138 + 100, 1}))
	if b, err := c.ReadByteFor(id); b != 0xff || err != nil {
		t.Errorf("an unknown request of ours: %02x, %v, want ff", b, err)
	}
	c.push("still there", "other")
	if records, err := consumer.Records(); err != nil || len(records) != 1 {
		t.Errorf("the Consume beside got %q, %v", records, err)
	}
	c.wantPop("jobs", "value")
}

// All queues, page by page, and what is in them: in the ring, spilled, and with a client.
func TestListQueuesAndPeek(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings)
	c := connect(t, node)
	for i := range 25 {
		c.push("x", fmt.Sprintf("list-%02d", i))
	}
	subscribeTo(t, node, "jobs", "a", "b")
	for i := range 40 {
		c.push(record(i, 100), "jobs")
	}
	holder := c.consume("jobs", "a")
	held, err := holder.Records()
	c.must(err)

	var names []string
	for after := ""; ; {
		var page []queueFigures
		c.wantAnswer(&page, wire.CodeListQueues, []string{"list-*", after}, 10)
		if len(page) == 0 {
			break
		}
		for _, q := range page {
			names = append(names, q.Queue)
		}
		after = names[len(names)-1]
	}
	if len(names) != 25 || names[0] != "list-00" || names[24] != "list-24" {
		t.Errorf("queues %q", names)
	}
	var jobs []queueFigures
	c.wantAnswer(&jobs, wire.CodeListQueues, []string{"jobs", ""}, 10) // the name of a channel is one of its queues, too
	if len(jobs) != 2 || jobs[0].Queue != "a@jobs" || jobs[1].Records != 40 || jobs[1].Spilled.Records == 0 {
		t.Errorf("queues of jobs: %+v", jobs)
	}
	var info queueFigures
	c.wantAnswer(&info, wire.CodeQueueInfo, []string{"a@jobs"})
	if info.Unconfirmed.Records != len(held) || len(info.Clients) != 1 || info.Clients[0].Protocol != "neo" ||
		info.Clients[0].Name != "test" || info.Clients[0].Requests[0].Unconfirmed != len(held) {
		t.Errorf("a@jobs: %+v, want %d unconfirmed records", info, len(held))
	}
	for _, queue := range []string{"a@jobs", "b@jobs"} {
		status, body := c.ask(wire.CodePeek, []string{queue}, 2, 100, 1<<20)
		records, err := wire.ParsePeekRecords(body)
		if status != wire.Answered || err != nil || len(records) != 38 {
			t.Fatalf("Peek(%s): status %d, %d records, %v, want 38", queue, status, len(records), err)
		}
		for i, r := range records {
			if want := record(i+2, 100); string(r.Bytes) != want {
				t.Errorf("Peek(%s), record %d: %q, want %q", queue, i, r.Bytes, want)
			}
			if unconfirmed := queue == "a@jobs" && i+2 < len(held); unconfirmed != (r.State&wire.PeekUnconfirmed > 0) {
				t.Errorf("Peek(%s), record %d: state %d", queue, i, r.State)
			}
		}
	}
	wantQueue(t, node, "jobs", "b", numbered(0, 40, 100)...)
}

// What an operator changes, and that it outlasts a kill.
func TestClearPauseAndRemove(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings, admins)
	c := connect(t, node)
	subscribeTo(t, node, "jobs", "a", "b")
	for i := range 40 {
		c.push(record(i, 100), "jobs", "plain")
	}
	var dropped struct {
		Records, Bytes int
	}
	c.wantAnswer(&dropped, wire.CodeClear, []string{"a@jobs"})
	if dropped.Records != 40 || dropped.Bytes != 4000 {
		t.Errorf("cleared %+v, want 40 records", dropped)
	}
	c.wantAnswer(nil, wire.CodePause, []string{"plain"})
	c.wantPopStatus("plain", popEmpty)
	c.wantAnswer(nil, wire.CodePause, []string{"b@jobs"})
	c.wantAnswer(nil, wire.CodeRemoveSubscriber, []string{"a@jobs"}, wire.RemoveAnyway)
	c.wantStatus(wire.QuestionUnknown, wire.CodeRemoveSubscriber, []string{"a@jobs"}, wire.RemoveAnyway)
	c.wantStatus(wire.QuestionUnknown, wire.CodeRemoveSubscriber, []string{"plain"}, wire.RemoveAnyway)
	node.Kill()
	node.Restart()

	c = connect(t, node)
	c.wantPopStatus("plain", popEmpty)
	consumer := c.consume("jobs", "b")
	var list []queueFigures
	c.wantAnswer(&list, wire.CodeListQueues, []string{"", ""}, 10)
	if len(list) != 2 || list[0].Queue != "b@jobs" || !list[0].Paused || list[0].Records != 40 || !list[1].Paused {
		t.Errorf("after a kill: %+v", list)
	}
	c.wantAnswer(nil, wire.CodeResume, []string{"b@jobs"})
	if records, err := consumer.Collect(40); err != nil || string(records[39]) != record(39, 100) {
		t.Errorf("after the pause: %d records, %v", len(records), err)
	}
	c.wantAnswer(nil, wire.CodeResume, []string{"plain"})
	c.wantPop("plain", record(0, 100))
	c.wantAnswer(nil, wire.CodeRemoveChannel, []string{"plain"})
	c.wantPopStatus("plain", popEmpty)
	c.wantAnswer(nil, wire.CodeRemoveSubscriber, []string{"b@jobs"}, wire.RemoveAnyway) // the last one: so the channel is gone
	c.push("kept", "jobs")
	c.wantPop("jobs", "kept")
}

// What nobody misses can be removed without a record being lost, whoever pushes or consumes meanwhile.
func TestRemoveUnusedSubscriber(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, admins)
	c, other := connect(t, node), connect(t, node)
	other.consume("jobs", "a")
	remove := func(want wire.AnswerStatus, queue string) {
		t.Helper()
		c.wantStatus(want, wire.CodeRemoveSubscriber, []string{queue}, wire.RemoveIfUnused)
	}
	remove(wire.QuestionInUse, "a@jobs")
	other.Close()
	nobodyConsumes := func(queue string) {
		t.Helper()
		eventually(t, "nobody consumes "+queue, func() bool {
			var info struct{ Consumers int }
			c.wantAnswer(&info, wire.CodeQueueInfo, []string{queue})
			return info.Consumers == 0
		})
	}
	nobodyConsumes("a@jobs")
	c.push("value", "jobs")
	remove(wire.QuestionInUse, "a@jobs")
	subscribeTo(t, node, "jobs", "b")
	c.push("more", "jobs")
	nobodyConsumes("b@jobs")
	remove(wire.Answered, "b@jobs") // what it has are copies
	remove(wire.QuestionUnknown, "b@jobs")
	c.wantStatus(wire.QuestionMalformed, wire.CodeRemoveSubscriber, []string{"a@jobs"}, 2)
	c.wantAnswer(nil, wire.CodeClear, []string{"a@jobs"})
	remove(wire.Answered, "a@jobs")
	c.push("kept", "jobs")
	c.wantPop("jobs", "kept")
}

// An operator sees who is connected, and ends a connection; what it had goes back.
func TestClientsAndDisconnect(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, admins)
	c, other := connect(t, node), connect(t, node)
	c.push("value", "jobs")
	consumer := other.consume("jobs", "s")
	if records, err := consumer.Records(); err != nil || len(records) != 1 {
		t.Fatalf("%q, %v", records, err)
	}
	dial(t, node).push("jobs", "more")
	var clients []struct {
		ID       uint64
		Protocol string
		Received uint64 `json:"bytes_in"`
		Sent     uint64 `json:"bytes_out"`
	}
	c.wantAnswer(&clients, wire.CodeClients, []string{""})
	if len(clients) != 3 || clients[0].Protocol != "neo" || clients[2].Protocol != "legacy" || clients[2].Received == 0 || clients[1].Sent == 0 {
		t.Fatalf("clients %+v", clients)
	}
	c.wantAnswer(&clients, wire.CodeClients, []string{"s@jobs"})
	if len(clients) != 1 {
		t.Fatalf("clients of s@jobs: %+v", clients)
	}
	c.wantAnswer(nil, wire.CodeDisconnect, nil, clients[0].ID)
	c.wantStatus(wire.QuestionUnknown, wire.CodeDisconnect, nil, clients[0].ID)
	c.must(other.ExpectClose())
	if records, err := c.consume("jobs", "s").Collect(2); err != nil || string(records[0]) != "value" {
		t.Errorf("%q, %v", records, err)
	}
}

// The control socket has the same operations.
func TestControlSocketLooksAndSteers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := connect(t, node)
	c.push("one", "jobs")
	c.push("two", "jobs")
	socket, err := net.Dial("unix", node.Path("dmqnode.socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := fmt.Fprint(socket, "peek jobs 1\npause jobs\nqueue-info jobs\nlist-queues j*\nlist-clients\nclear jobs\nclear nothing\n"+
		"peek\npeek jobs x\nremove-channel jobs\nlist-queues\n"); err != nil {
		t.Fatal(err)
	}
	socket.(*net.UnixConn).CloseWrite()
	var replies strings.Builder
	b := make([]byte, 64<<10)
	for err == nil {
		var n int
		n, err = socket.Read(b)
		replies.Write(b[:n])
	}
	lines := strings.Split(replies.String(), "\n")
	want := []string{`{"size":3,"text":"two"}`, "OK", "OK", `"paused":true`, "OK", `"queue":"jobs"`, "OK", `"protocol":"neo","name":"test"`, "OK",
		`{"records":2,"bytes":6}`, "OK", "ERROR: there is no such queue", "ERROR: 0 arguments, must be 1 to 3", `ERROR: "x" is no number`, "OK", "OK", ""}
	for i := range want {
		if i >= len(lines) || !strings.Contains(lines[i], want[i]) {
			t.Fatalf("replies:\n%s\nline %d must have %s", replies.String(), i+1, want[i])
		}
	}
}
