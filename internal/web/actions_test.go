package web

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

const token = "0123456789abcdef"

// listenForActions starts a server that lets those who know the token change things.
func listenForActions(t *testing.T, sources *stats.Sources) *Server {
	t.Helper()
	s, err := Listen(Options{
		Address: netip.MustParseAddrPort("127.0.0.1:0"),
		Alive:   func(context.Context) error { return nil },
		Token:   token,
		Log:     zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.serve(sources)
	s.sampler.sample() // what was pushed before
	return s
}

// browser is one that keeps cookies and tells where its requests come from.
type browser struct {
	t      *testing.T
	client http.Client
	site   string
	origin string
}

func browse(t *testing.T, s *Server) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	site := "http://" + s.address.String()
	return &browser{t, http.Client{Jar: jar, Timeout: patience}, site, site}
}

func (b *browser) get(path string) (status int, text string) {
	b.t.Helper()
	reply, err := b.client.Get(b.site + path)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, reply)
}

func read(t *testing.T, reply *http.Response) (int, string) {
	t.Helper()
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// post sends a form; redirects are followed.
func (b *browser) post(path string, form url.Values) (status int, text string) {
	b.t.Helper()
	r, err := http.NewRequest("POST", b.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.origin)
	reply, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, reply)
}

// csrf is the secret in the forms of the page of a queue.
func (b *browser) csrf(queue string) string {
	b.t.Helper()
	_, text := b.get("/queue?name=" + queue)
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(text)
	if found == nil {
		b.t.Fatalf("the page has no form:\n%s", text)
	}
	return found[1]
}

// Who has said the token gets forms, and what they ask for is done; until they log out.
func TestActionsOfAPage(t *testing.T) {
	sources := newSources(t, 1000)
	push(t, sources, "orders", "one", "two")
	b := browse(t, listenForActions(t, sources))
	if _, text := b.get("/queue?name=orders"); strings.Contains(text, `action="act"`) || !strings.Contains(text, `href="login"`) {
		t.Errorf("not logged in: there are forms, or no link to log in:\n%s", text)
	}
	if _, text := b.post("/login", url.Values{"token": {"0123456789abcdeX"}}); !strings.Contains(text, "That is not the token") {
		t.Errorf("a wrong token: got %s", text)
	}
	b.post("/login", url.Values{"token": {token}})
	csrf := b.csrf("orders")
	act := func(action string, want int) {
		t.Helper()
		status, text := b.post("/act", url.Values{"csrf": {csrf}, "action": {action}, "queue": {"orders"}, "back": {"queue?name=orders"}})
		if status != want {
			t.Errorf("%s: got status %d, want %d: %s", action, status, want, text)
		}
	}
	figures := func() (records uint64, paused bool) {
		f := sources.Channels.Figures()[0]
		return f.MemoryRecords, f.Paused
	}
	act("pause", 200)
	if _, paused := figures(); !paused {
		t.Error("pause: the queue is not paused")
	}
	act("resume", 200)
	if _, paused := figures(); paused {
		t.Error("resume: the queue is still paused")
	}
	act("clear", 200)
	if records, _ := figures(); records != 0 {
		t.Errorf("clear: %d records are left", records)
	}
	act("nonsense", 400)
	act("remove-subscriber", 404) // it has none
	b.post("/logout", nil)
	act("pause", 403)
	b.post("/login", url.Values{"token": {token}})
	csrf = b.csrf("orders")
	b.post("/act", url.Values{"csrf": {csrf}, "action": {"remove-channel"}, "queue": {"orders"}})
	if sources.Channels.Find([]byte("orders")) != nil {
		t.Error("remove-channel: it is still there")
	}
}

// A page of another site can make the browser of somebody who is logged in send what it likes, but
// can't read what this node answers. That changes nothing.
func TestActionsForgedByOthers(t *testing.T) {
	sources := newSources(t, 1000)
	push(t, sources, "orders", "one")
	s := listenForActions(t, sources)
	b := browse(t, s)
	b.post("/login", url.Values{"token": {token}})
	csrf := b.csrf("orders")
	clear := func(csrf string) url.Values {
		return url.Values{"csrf": {csrf}, "action": {"clear"}, "queue": {"orders"}}
	}
	refuse := func(what string, status int) {
		t.Helper()
		if status != http.StatusForbidden {
			t.Errorf("%s: got status %d, want 403", what, status)
		}
		if n := sources.Channels.Figures()[0].MemoryRecords; n != 1 {
			t.Fatalf("%s: there are %d records", what, n)
		}
	}
	status, _ := b.post("/act", clear("guessed"))
	refuse("a form without the secret", status)
	status, _ = b.post("/act", clear(""))
	refuse("a form with an empty secret", status)
	b.origin = "http://evil.example"
	status, _ = b.post("/act", clear(csrf))
	refuse("a form of another site", status)
	b.origin = "null"
	status, _ = b.post("/act", clear(csrf))
	refuse("a form of nobody", status)
	b.origin = b.site
	status, _ = b.post("/api/act", clear(csrf))
	refuse("the interface of programs, with a cookie", status)
	status, _ = browse(t, s).post("/act", clear(csrf))
	refuse("without a session", status)

	r, err := http.NewRequest("POST", b.site+"/act", strings.NewReader(clear(csrf).Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = "evil.example" // which its owner has made point here
	reply, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := read(t, reply); status != http.StatusMisdirectedRequest {
		t.Errorf("another name: got status %d, want 421", status)
	}
	if status, _ := b.get("/act?action=clear&queue=orders&csrf=" + csrf); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: got status %d, want 405", status)
	}
	if n := sources.Channels.Figures()[0].MemoryRecords; n != 1 {
		t.Errorf("there are %d records in the end", n)
	}
}

// The cookie of a session is of no use to scripts and to pages of other sites.
func TestSessionCookie(t *testing.T) {
	b := browse(t, listenForActions(t, newSources(t, 1000)))
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	reply, err := b.client.PostForm(b.site+"/login", url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if c := reply.Cookies(); len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode || len(c[0].Value) < 20 {
		t.Errorf("got cookies %v", c)
	}
}

// Programs send the token with each request.
func TestActionsOfPrograms(t *testing.T) {
	sources := newSources(t, 1000)
	push(t, sources, "orders", "one", "two")
	s := listenForActions(t, sources)
	act := func(authorization string, form url.Values) (int, string) {
		r, err := http.NewRequest("POST", "http://"+s.address.String()+"/api/act", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", authorization)
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return read(t, reply)
	}
	form := url.Values{"action": {"clear"}, "queue": {"orders"}}
	for _, wrong := range []string{"", "Bearer ", "Bearer 0123456789abcdeX", token} {
		if status, text := act(wrong, form); status != http.StatusForbidden || !strings.Contains(text, `"error"`) {
			t.Errorf("%q: got status %d, %s", wrong, status, text)
		}
	}
	if status, text := act("Bearer "+token, form); status != 200 || text != `{"action":"clear","dropped":{"records":2,"bytes":6}}`+"\n" {
		t.Errorf("got status %d, %s", status, text)
	}
	for _, senseless := range []url.Values{{}, {`{"action":"clear"}`: {""}}, {"action": {"claer"}}, {"action": {"disconnect"}, "client": {"seven"}}} {
		status, text := act("Bearer "+token, senseless)
		if status != http.StatusBadRequest || !strings.Contains(text, `"error"`) || strings.Contains(text, "strconv") {
			t.Errorf("%v: got status %d, %s", senseless, status, text)
		}
	}
	form.Set("queue", "other")
	if status, _ := act("Bearer "+token, form); status != http.StatusNotFound {
		t.Errorf("another queue: got status %d, want 404", status)
	}
}

// Without a token there is nothing to log in to.
func TestNoActionsUnlessAllowed(t *testing.T) {
	sources := newSources(t, 1000)
	push(t, sources, "orders", "one")
	s := listen(t, well)
	s.serve(sources)
	b := browse(t, s)
	for _, path := range []string{"/login", "/act", "/logout", "/api/act"} {
		if status, _ := b.post(path, url.Values{"token": {""}, "action": {"clear"}, "queue": {"orders"}}); status != http.StatusNotFound {
			t.Errorf("POST %s: got status %d, want 404", path, status)
		}
	}
	for _, path := range []string{"/api/act", "/api/nothing", "/api/"} {
		if status, text := b.get(path); status != http.StatusNotFound || !strings.Contains(text, `{"error":`) {
			t.Errorf("GET %s: got status %d, %s", path, status, text)
		}
	}
	if _, text := b.get("/"); strings.Contains(text, "log in") {
		t.Error("the page offers to log in")
	}
}

func TestReadToken(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string // of the error
	}{
		{"good", token + "\n", 0o640, ""},
		{"short", "secret\n", 0o600, "has 6 characters"},
		{"for all to read", token, 0o644, "chmod o="},
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := ReadToken(file)
		if c.want == "" && (err != nil || got != token) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %q, error %v", c.name, got, err)
		}
	}
	if _, err := ReadToken(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is missing is taken")
	}
}

// Records are shown to those for whom they are.
func TestAudiences(t *testing.T) {
	for _, c := range []struct {
		of   Audience
		peer string
		want bool
	}{
		{Local, "127.0.0.1:1", true}, {Local, "10.0.0.1:1", false}, {Local, "nonsense", false},
		{All, "10.0.0.1:1", true}, {Nobody, "127.0.0.1:1", false},
	} {
		if got := c.of.may(&http.Request{RemoteAddr: c.peer}); got != c.want {
			t.Errorf("audience %d, %s: got %v", c.of, c.peer, got)
		}
	}
}
