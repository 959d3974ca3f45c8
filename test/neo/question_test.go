package neo

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// ask asks a question and returns the answer.
func ask(c *clients.NeoClient, code wire.Code, names []string, numbers ...uint64) (wire.AnswerStatus, []byte) {
	c.T.Helper()
	q := wire.Question{Code: code, Numbers: numbers}
	for _, name := range names {
		q.Names = append(q.Names, []byte(name))
	}
	id := c.NextID()
	c.Must(c.Start(id, wire.AppendQuestion(nil, id, q)[wire.FramePrefixSize:]))
	payload, err := c.ReadFor(id)
	c.Must(err)
	status, body, err := wire.ParseAnswer(payload)
	c.Must(err)
	return status, body
}

// wantAnswer requires an answer that is JSON, and decodes it.
func wantAnswer(c *clients.NeoClient, into any, code wire.Code, names []string, numbers ...uint64) {
	c.T.Helper()
	status, body := ask(c, code, names, numbers...)
	if status != wire.Answered {
		c.T.Fatalf("%s of %q: status %d: %s", wire.QuestionName(code), names, status, body)
	}
	if into != nil {
		c.Must(json.Unmarshal(body, into))
	}
}

func wantStatus(c *clients.NeoClient, want wire.AnswerStatus, code wire.Code, names []string, numbers ...uint64) {
	c.T.Helper()
	if status, body := ask(c, code, names, numbers...); status != want {
		c.T.Errorf("%s of %q: status %d, want %d: %s", wire.QuestionName(code), names, status, want, body)
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
	c := clients.Neo(t, nodetest.Start(t))
	c.MustPush("value", "jobs")
	consumer := c.MustConsume("other", "s")
	for _, code := range []wire.Code{wire.CodeClear, wire.CodeRemoveSubscriber, wire.CodeRemoveChannel, wire.CodePause, wire.CodeResume} {
		var condition []uint64
		if code == wire.CodeRemoveSubscriber {
			condition = []uint64{wire.RemoveAnyway}
		}
		wantStatus(c, wire.QuestionDenied, code, []string{"jobs"}, condition...)
	}
	wantStatus(c, wire.QuestionDenied, wire.CodeDisconnect, nil, 1)
	wantStatus(c, wire.QuestionUnknown, wire.CodeQueueInfo, []string{"nothing"})
	wantStatus(c, wire.QuestionUnknown, wire.CodePeek, []string{"s@jobs"}, 0, 1, 1)
	wantStatus(c, wire.QuestionMalformed, wire.CodeListQueues, []string{"[", ""}, 1)
	for _, fields := range [][]byte{nil, {1}, neoclient.Array("jobs"), append(neoclient.Array("jobs"), neoclient.Number(1)...)} {
		id := c.NextID()
		c.Must(c.Start(id, append([]byte{byte(wire.CodePeek), wire.QuestionVersion}, fields...)))
		payload, err := c.ReadFor(id)
		c.Must(err)
		if status, text, err := wire.ParseAnswer(payload); status != wire.QuestionMalformed || len(text) == 0 || err != nil {
			t.Errorf("fields % x: status %d, %q, %v", fields, status, text, err)
		}
	}
	id := c.NextID()
	c.Must(c.Send(id, []byte{138 + 100, 1}))
	if b, err := c.ReadByteFor(id); b != 0xff || err != nil {
		t.Errorf("an unknown request of ours: %02x, %v, want ff", b, err)
	}
	c.MustPush("still there", "other")
	if records, err := consumer.Records(); err != nil || len(records) != 1 {
		t.Errorf("the Consume beside got %q, %v", records, err)
	}
	c.WantPop("jobs", "value")
}

// All queues, page by page, and what is in them: in the ring, spilled, and with a client.
func TestListQueuesAndPeek(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings)
	c := clients.Neo(t, node)
	for i := range 25 {
		c.MustPush("x", fmt.Sprintf("list-%02d", i))
	}
	clients.SubscribeTo(t, node, "jobs", "a", "b")
	for i := range 40 {
		c.MustPush(clients.Record(i, 100), "jobs")
	}
	holder := c.MustConsume("jobs", "a")
	held, err := holder.Records()
	c.Must(err)

	var names []string
	for after := ""; ; {
		var page []queueFigures
		wantAnswer(c, &page, wire.CodeListQueues, []string{"list-*", after}, 10)
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
	wantAnswer(c, &jobs, wire.CodeListQueues, []string{"jobs", ""}, 10) // the name of a channel is one of its queues, too
	if len(jobs) != 2 || jobs[0].Queue != "a@jobs" || jobs[1].Records != 40 || jobs[1].Spilled.Records == 0 {
		t.Errorf("queues of jobs: %+v", jobs)
	}
	var info queueFigures
	wantAnswer(c, &info, wire.CodeQueueInfo, []string{"a@jobs"})
	if info.Unconfirmed.Records != len(held) || len(info.Clients) != 1 || info.Clients[0].Protocol != "neo" ||
		info.Clients[0].Name != "test" || info.Clients[0].Requests[0].Unconfirmed != len(held) {
		t.Errorf("a@jobs: %+v, want %d unconfirmed records", info, len(held))
	}
	for _, queue := range []string{"a@jobs", "b@jobs"} {
		status, body := ask(c, wire.CodePeek, []string{queue}, 2, 100, 1<<20)
		records, err := wire.ParsePeekRecords(body)
		if status != wire.Answered || err != nil || len(records) != 38 {
			t.Fatalf("Peek(%s): status %d, %d records, %v, want 38", queue, status, len(records), err)
		}
		for i, r := range records {
			if want := clients.Record(i+2, 100); string(r.Bytes) != want {
				t.Errorf("Peek(%s), record %d: %q, want %q", queue, i, r.Bytes, want)
			}
			if unconfirmed := queue == "a@jobs" && i+2 < len(held); unconfirmed != (r.State&wire.PeekUnconfirmed > 0) {
				t.Errorf("Peek(%s), record %d: state %d", queue, i, r.State)
			}
		}
	}
	clients.WantQueue(t, node, "jobs", "b", clients.Numbered(0, 40, 100)...)
}

// What an operator changes, and that it outlasts a kill.
func TestClearPauseAndRemove(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings, admins)
	c := clients.Neo(t, node)
	clients.SubscribeTo(t, node, "jobs", "a", "b")
	for i := range 40 {
		c.MustPush(clients.Record(i, 100), "jobs", "plain")
	}
	var dropped struct {
		Records, Bytes int
	}
	wantAnswer(c, &dropped, wire.CodeClear, []string{"a@jobs"})
	if dropped.Records != 40 || dropped.Bytes != 4000 {
		t.Errorf("cleared %+v, want 40 records", dropped)
	}
	wantAnswer(c, nil, wire.CodePause, []string{"plain"})
	c.WantPopStatus("plain", clients.PopEmpty)
	wantAnswer(c, nil, wire.CodePause, []string{"b@jobs"})
	wantAnswer(c, nil, wire.CodeRemoveSubscriber, []string{"a@jobs"}, wire.RemoveAnyway)
	wantStatus(c, wire.QuestionUnknown, wire.CodeRemoveSubscriber, []string{"a@jobs"}, wire.RemoveAnyway)
	wantStatus(c, wire.QuestionUnknown, wire.CodeRemoveSubscriber, []string{"plain"}, wire.RemoveAnyway)
	node.Kill()
	node.Restart()

	c = clients.Neo(t, node)
	c.WantPopStatus("plain", clients.PopEmpty)
	consumer := c.MustConsume("jobs", "b")
	var list []queueFigures
	wantAnswer(c, &list, wire.CodeListQueues, []string{"", ""}, 10)
	if len(list) != 2 || list[0].Queue != "b@jobs" || !list[0].Paused || list[0].Records != 40 || !list[1].Paused {
		t.Errorf("after a kill: %+v", list)
	}
	wantAnswer(c, nil, wire.CodeResume, []string{"b@jobs"})
	if records, err := consumer.Collect(40); err != nil || string(records[39]) != clients.Record(39, 100) {
		t.Errorf("after the pause: %d records, %v", len(records), err)
	}
	wantAnswer(c, nil, wire.CodeResume, []string{"plain"})
	c.WantPop("plain", clients.Record(0, 100))
	wantAnswer(c, nil, wire.CodeRemoveChannel, []string{"plain"})
	c.WantPopStatus("plain", clients.PopEmpty)
	wantAnswer(c, nil, wire.CodeRemoveSubscriber, []string{"b@jobs"}, wire.RemoveAnyway) // the last one: so the channel is gone
	c.MustPush("kept", "jobs")
	c.WantPop("jobs", "kept")
}

// What nobody misses can be removed without a record being lost, whoever pushes or consumes meanwhile.
func TestRemoveUnusedSubscriber(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, admins)
	c, other := clients.Neo(t, node), clients.Neo(t, node)
	other.MustConsume("jobs", "a")
	remove := func(want wire.AnswerStatus, queue string) {
		t.Helper()
		wantStatus(c, want, wire.CodeRemoveSubscriber, []string{queue}, wire.RemoveIfUnused)
	}
	remove(wire.QuestionInUse, "a@jobs")
	other.Close()
	nobodyConsumes := func(queue string) {
		t.Helper()
		nodetest.Eventually(t, "nobody consumes "+queue, func() bool {
			var info struct{ Consumers int }
			wantAnswer(c, &info, wire.CodeQueueInfo, []string{queue})
			return info.Consumers == 0
		})
	}
	nobodyConsumes("a@jobs")
	c.MustPush("value", "jobs")
	remove(wire.QuestionInUse, "a@jobs")
	clients.SubscribeTo(t, node, "jobs", "b")
	c.MustPush("more", "jobs")
	nobodyConsumes("b@jobs")
	remove(wire.Answered, "b@jobs") // what it has are copies
	remove(wire.QuestionUnknown, "b@jobs")
	wantStatus(c, wire.QuestionMalformed, wire.CodeRemoveSubscriber, []string{"a@jobs"}, 2)
	wantAnswer(c, nil, wire.CodeClear, []string{"a@jobs"})
	remove(wire.Answered, "a@jobs")
	c.MustPush("kept", "jobs")
	c.WantPop("jobs", "kept")
}

// An operator sees who is connected, and ends a connection; what it had goes back.
func TestClientsAndDisconnect(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, admins)
	c, other := clients.Neo(t, node), clients.Neo(t, node)
	c.MustPush("value", "jobs")
	consumer := other.MustConsume("jobs", "s")
	if records, err := consumer.Records(); err != nil || len(records) != 1 {
		t.Fatalf("%q, %v", records, err)
	}
	clients.Legacy(t, node).MustPush("jobs", "more")
	var clients []struct {
		ID       uint64
		Protocol string
		Received uint64 `json:"bytes_in"`
		Sent     uint64 `json:"bytes_out"`
	}
	wantAnswer(c, &clients, wire.CodeClients, []string{""})
	if len(clients) != 3 || clients[0].Protocol != "neo" || clients[2].Protocol != "legacy" || clients[2].Received == 0 || clients[1].Sent == 0 {
		t.Fatalf("clients %+v", clients)
	}
	wantAnswer(c, &clients, wire.CodeClients, []string{"s@jobs"})
	if len(clients) != 1 {
		t.Fatalf("clients of s@jobs: %+v", clients)
	}
	wantAnswer(c, nil, wire.CodeDisconnect, nil, clients[0].ID)
	wantStatus(c, wire.QuestionUnknown, wire.CodeDisconnect, nil, clients[0].ID)
	c.Must(other.ExpectClose())
	if records, err := c.MustConsume("jobs", "s").Collect(2); err != nil || string(records[0]) != "value" {
		t.Errorf("%q, %v", records, err)
	}
}

// The control socket has the same operations.
func TestControlSocketLooksAndSteers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	c.MustPush("one", "jobs")
	c.MustPush("two", "jobs")
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
