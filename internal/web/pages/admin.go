package pages

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Admin lets those who know a token change things. A browser gets a session for it: a cookie that
// no page of another site can use (SameSite, and the origin of each request is checked), and a
// second secret that is in every form. A program sends the token with each request, in a header
// that a page of another site cannot set.
type Admin struct {
	token      string
	operations *admin.Operations
	log        *zap.Logger // gets a line for each change

	mu       sync.Mutex
	sessions map[string]*session // by the value of the cookie
}

// session is somebody who has said the token.
type session struct {
	csrf string
	ends time.Time
}

const (
	cookie         = "dmqnode_session"
	sessionTime    = 12 * time.Hour
	mostSessions   = 100
	authentication = "Bearer "
)

// NewAdmin returns what lets change things by these operations.
func NewAdmin(token string, operations *admin.Operations, log *zap.Logger) *Admin {
	return &Admin{token: token, operations: operations, log: log, sessions: make(map[string]*session)}
}

// sameOrigin refuses requests that pages of other sites make a browser send.
func sameOrigin(handle http.HandlerFunc) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(handle, mostForm))
}

// authorized tells that a request has the token in its header.
func (a *Admin) authorized(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), authentication)
	return a != nil && ok && a.knows(token)
}

func (a *Admin) knows(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(a.token)) == 1
}

// session returns that of a request, or nil.
func (a *Admin) session(r *http.Request) *session {
	if a == nil {
		return nil
	}
	c, err := r.Cookie(cookie)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[c.Value]
	if s == nil || time.Now().After(s.ends) {
		delete(a.sessions, c.Value)
		return nil
	}
	return s
}

// open makes a session, in the place of the oldest if there are many.
func (a *Admin) open() (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sessions) >= mostSessions {
		oldest := ""
		for id, s := range a.sessions {
			if oldest == "" || s.ends.Before(a.sessions[oldest].ends) {
				oldest = id
			}
		}
		delete(a.sessions, oldest)
	}
	id = rand.Text()
	a.sessions[id] = &session{csrf: rand.Text(), ends: time.Now().Add(sessionTime)}
	return id
}

func (a *Admin) close(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, id)
}

// loginPage is the view of the page that asks for the token.
type loginPage struct {
	*frame
	Wrong bool
	Back  string
}

func (p *pages) login(r *http.Request, f *frame) (string, any, error) {
	n, err := p.source.Node(r.Context())
	if err != nil {
		return "", nil, err
	}
	f.of(n)
	f.Title, f.Section = "Log in", "login"
	return "login.html", &loginPage{frame: f, Wrong: r.FormValue("wrong") != "", Back: r.FormValue("back")}, nil
}

func (p *pages) logIn(w http.ResponseWriter, r *http.Request) {
	if !p.admin.knows(r.PostFormValue("token")) {
		p.admin.log.Warn("somebody has tried a wrong token at the status page", zap.String("client", r.RemoteAddr))
		http.Redirect(w, r, "login?"+url.Values{"wrong": {"1"}, "back": {r.PostFormValue("back")}}.Encode(), http.StatusSeeOther)
		return
	}
	setCookie(w, p.admin.open(), int(sessionTime.Seconds()))
	http.Redirect(w, r, back(r), http.StatusSeeOther)
}

func (p *pages) logOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		p.admin.close(c.Value)
	}
	setCookie(w, "", -1)
	http.Redirect(w, r, back(r), http.StatusSeeOther)
}

func setCookie(w http.ResponseWriter, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: value, MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// back is the page of this node that a form comes from.
func back(r *http.Request) string {
	u, err := url.Parse(r.PostFormValue("back"))
	if err != nil {
		return "."
	}
	switch page := strings.TrimPrefix(u.Path, "/"); page {
	case "queue", "clients":
		return page + "?" + u.RawQuery
	}
	return "./"
}

// act does what the form of a page asks for.
func (p *pages) act(w http.ResponseWriter, r *http.Request) {
	s := p.admin.session(r)
	if s == nil || subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(s.csrf)) != 1 {
		fail(w, fmt.Errorf("%w: log in again", errDenied))
		return
	}
	if _, err := p.admin.do(r); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, back(r), http.StatusSeeOther)
}

// apiAct does what a program asks for. Cookies do not count here.
func (p *pages) apiAct(w http.ResponseWriter, r *http.Request) {
	api(func(r *http.Request) (any, error) {
		if !p.admin.authorized(r) {
			return nil, fmt.Errorf("%w: want the header Authorization: Bearer TOKEN", errDenied)
		}
		return p.admin.do(r)
	})(w, r)
}

var errDenied = errors.New("denied")

// done is the answer to an action.
type done struct {
	Action  string        `json:"action"`
	Dropped *admin.Amount `json:"dropped,omitempty"`
}

// do does what a form asks for.
func (a *Admin) do(r *http.Request) (*done, error) {
	action, queue := r.PostFormValue("action"), r.PostFormValue("queue")
	result, err := &done{Action: action}, error(nil)
	switch action {
	case "pause":
		err = a.operations.Pause(queue, true)
	case "resume":
		err = a.operations.Pause(queue, false)
	case "clear":
		var dropped admin.Amount
		dropped, err = a.operations.Clear(queue)
		result.Dropped = &dropped
	case "remove-subscriber":
		err = a.operations.RemoveSubscriber(queue)
	case "remove-channel":
		err = a.operations.RemoveChannel(queue)
	case "disconnect":
		text := r.PostFormValue("client")
		id, e := strconv.ParseUint(text, 10, 64)
		if e != nil {
			return nil, fmt.Errorf("%w: client = %q, want an id as clients have it", errBad, text)
		}
		err = a.operations.Disconnect(id)
	case "":
		return nil, fmt.Errorf("%w: want a form, such as action=pause&queue=NAME", errBad)
	default:
		return nil, fmt.Errorf("%w: there is no action %q", errBad, action)
	}
	a.log.Info("the status page was asked for a change", zap.String("action", action), zap.String("queue", queue),
		zap.String("client", r.PostFormValue("client")), zap.String("by", r.RemoteAddr), zap.Error(err))
	if errors.Is(err, storage.ErrNoQueue) || errors.Is(err, admin.ErrNoClient) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return result, err
}

// mostForm is more bytes than any form has.
const mostForm = 64 << 10
