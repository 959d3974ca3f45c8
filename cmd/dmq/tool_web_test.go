package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// webAddress is where the pages of dmq web are, once it says so.
func webAddress(t *testing.T, args ...string) (address string, p *process) {
	t.Helper()
	out, in := io.Pipe()
	p = prepareTool(t, nil, args...)
	p.cmd.Stdout = in
	p.start()
	var said struct{ Address string }
	if err := json.NewDecoder(out).Decode(&said); err != nil {
		t.Fatal(err)
	}
	return said.Address, p
}

// Two nodes are shown together, and each by itself; one that ends is shown as such.
func TestWeb(t *testing.T) {
	t.Parallel()
	withHTTP := nodetest.Set("Http.port", "0")
	first, second := nodetest.Start(t, withHTTP), nodetest.Start(t, withHTTP)
	mustTool(t, "", with("push jobs one two", legacyArgs(first))...)
	mustTool(t, "", with("push jobs three", legacyArgs(second))...)
	file := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(file, []byte(first.HTTP()+"\n"+second.HTTP()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	address, p := webAddress(t, "web", "--json", "--listen", "127.0.0.1:0", "--nodes", file)
	get := func(path string) string {
		t.Helper()
		reply, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", reply.StatusCode, text)
	}
	var answer string
	waitFor(t, "both nodes have looked at their queues", func() bool {
		answer = get("/api/queue?name=jobs")
		return strings.Contains(answer, `"queue":"jobs"`) && strings.Contains(answer, `"records":3,`)
	})
	for _, want := range []string{`"node`, first.HTTP(), second.HTTP()} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in %s", want, answer)
		}
	}
	page := get("/queue?name=jobs")
	for _, want := range []string{"200 <!doctype html>", "<pre>one</pre>", "<pre>three</pre>", "At each node"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	second.Stop()
	waitFor(t, "the node that has ended is shown as such", func() bool {
		return strings.Contains(get("/"), second.HTTP()+" does not answer")
	})
	if got := p.end(syscall.SIGTERM); got.status != 0 {
		t.Errorf("interrupted: got %+v", got)
	}
	if got := runTool(t, "", "web"); got.status != 2 || !strings.Contains(got.stderr, "--http host:port") {
		t.Errorf("without nodes: got %+v", got)
	}
}
