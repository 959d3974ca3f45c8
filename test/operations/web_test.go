package operations

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

const token = "a token of the test"

// withToken lets who knows the token change things.
func withToken(t *testing.T) nodetest.Option {
	file := t.TempDir() + "/token"
	nodetest.Must(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return nodetest.All(nodetest.Set("Http.admin", "true"), nodetest.Set("Http.token_file", file))
}

// answer reads an answer of the API.
func answer(t *testing.T, node *nodetest.Node, path string, into any) {
	t.Helper()
	status, text := nodetest.Page(t, node, path)
	if status != http.StatusOK {
		t.Fatalf("%s: got status %d, %s", path, status, text)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v in %s", path, err, text)
	}
}

// The page of a queue and the API show what is in it, who consumes it, what a client has not
// confirmed, and how long delivery takes; a subscriber without consumers stands out.
func TestPagesOfQueuesAndClients(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t)
	n := clients.Neo(t, node)
	audit := clients.Neo(t, node)
	audit.MustConsume("orders", "audit").Stop()
	k := n.MustConsume("orders", "reports")
	n.MustPush("first record", "orders")
	k.WantBatch("first record") // is not confirmed

	var queue struct {
		Records     int
		Consumers   int
		Unconfirmed struct{ Records int }
		History     []struct{ Points []struct{ Records float64 } }
		Clients     []struct {
			Protocol, Name string
			Requests       []struct{ Queue string }
		}
	}
	nodetest.Eventually(t, "the queue is told of", func() bool {
		status, _ := nodetest.Page(t, node, "/api/queue?name=reports@orders")
		if status != http.StatusOK {
			return false
		}
		answer(t, node, "/api/queue?name=reports@orders", &queue)
		return queue.Unconfirmed.Records == 1 && len(queue.History) == 3 && len(queue.History[0].Points) > 0
	})
	if queue.Records != 1 || queue.Consumers != 1 || len(queue.Clients) != 1 || queue.Clients[0].Name != "test" ||
		queue.Clients[0].Requests[0].Queue != "reports@orders" {
		t.Errorf("got %+v", queue)
	}
	var peeked struct {
		Records []struct {
			Text        string
			Unconfirmed bool
		}
	}
	answer(t, node, "/api/peek?name=reports@orders", &peeked)
	if len(peeked.Records) != 1 || peeked.Records[0].Text != "first record" || !peeked.Records[0].Unconfirmed {
		t.Errorf("got %+v", peeked)
	}
	var list struct {
		Total, Found int
		Queues       []struct{ Queue string }
	}
	answer(t, node, "/api/queues?only=alone", &list)
	if list.Total != 2 || list.Found != 1 || list.Queues[0].Queue != "audit@orders" {
		t.Errorf("queues that nobody consumes: got %+v", list)
	}
	for path, wants := range map[string][]string{
		"/":                            {"1 collecting, nobody consumes", `<span class="badge alone">nobody consumes</span>`},
		"/queue?name=reports%40orders": {"<pre>first record</pre>", ", unconfirmed", "test <span class=\"subscriber\">neo</span>"},
		"/clients?search=orders":       {"consume <a href=\"queue?name=reports%40orders\">reports@orders</a>"},
	} {
		_, text := nodetest.Page(t, node, path)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", path, want, text)
			}
		}
	}

	k.Send(neoclient.Continue) // confirms, and wants more
	nodetest.Eventually(t, "the latency of delivery is told", func() bool {
		n.MustPush("another record", "orders")
		k.WantBatch("another record")
		k.Send(neoclient.Continue)
		got, _ := nodetest.Scrape(t, node)
		return got["dmqnode_queue_delivery_latency_seconds{channel=orders,subscriber=reports}"] > 0
	})
}

// Who logs in with the token gets buttons that do what they say; nobody else does.
func TestActionsOnThePage(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, withToken(t))
	c := clients.Legacy(t, node)
	c.MustPush("jobs", "one")
	site := "http://" + node.HTTP()
	jar, err := cookiejar.New(nil)
	nodetest.Must(t, err)
	browser := http.Client{Jar: jar, Timeout: nodetest.Patience}
	post := func(path string, form url.Values) int {
		t.Helper()
		reply, err := browser.PostForm(site+path, form)
		nodetest.Must(t, err)
		reply.Body.Close()
		return reply.StatusCode
	}
	if status := post("/act", url.Values{"action": {"clear"}, "queue": {"jobs"}}); status != http.StatusForbidden {
		t.Errorf("without a session: got status %d, want 403", status)
	}
	post("/login", url.Values{"token": {"another token of the test"}})
	if status := post("/act", url.Values{"action": {"clear"}, "queue": {"jobs"}}); status != http.StatusForbidden {
		t.Errorf("with a wrong token: got status %d, want 403", status)
	}
	post("/login", url.Values{"token": {token}})
	var secret []string
	nodetest.Eventually(t, "the page of the queue is there", func() bool {
		reply, err := browser.Get(site + "/queue?name=jobs")
		nodetest.Must(t, err)
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		nodetest.Must(t, err)
		secret = regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(string(text))
		return reply.StatusCode == http.StatusOK && secret != nil
	})
	if status := post("/act", url.Values{"action": {"pause"}, "queue": {"jobs"}, "csrf": {secret[1]}, "back": {"queue?name=jobs"}}); status != http.StatusOK {
		t.Errorf("pause: got status %d", status)
	}
	node.WaitLog(`asked for a change action=pause queue=jobs`)
	nodetest.WantMetrics(t, node, "paused", nodetest.Metrics{"dmqnode_queue_paused{channel=jobs,subscriber=}": 1})
	r, err := http.NewRequest("POST", site+"/api/act", bytes.NewBufferString("action=resume&queue=jobs"))
	nodetest.Must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+token)
	reply, err := http.DefaultClient.Do(r)
	nodetest.Must(t, err)
	reply.Body.Close()
	c.WantPop("jobs", "one")
}

// A token that everybody can read is none: the node says what to do, and does not start.
func TestTokenForAllToRead(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/token"
	nodetest.Must(t, os.WriteFile(file, []byte(token), 0o600))
	nodetest.Must(t, os.Chmod(file, 0o644))
	node := nodetest.Prepare(t, nodetest.WithHTTP, nodetest.Set("Http.admin", "true"), nodetest.Set("Http.token_file", file))
	node.Launch()
	if status := node.Wait(); status != 1 || !strings.Contains(node.Console(), "[Http] token_file: ") || !strings.Contains(node.Console(), "chmod o=") {
		t.Errorf("got exit status %d, %s", status, node.Console())
	}
}
