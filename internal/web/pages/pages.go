// Package pages shows people, and programs, how a node is, or a whole DMQ:
//
//	/             the node at a glance, and all queues: searched, sorted, a page at a time
//	/queue        one queue: what it was like in the last minutes, hours and the last day, who
//	              consumes it, its next records
//	/clients      who is connected
//	/api/…        the same as JSON (docs/api.md)
//	POST /login, /logout, /act    actions, if they are on: see Admin
//
// Where that comes from is a Source: the node itself (package web), or many nodes asked over their
// /api/ (Fleet). So one node and a whole DMQ look the same.
//
//	Source ─▶ JSON types (model.go) ─┬▶ /api/
//	                                 └▶ views ─▶ templates ─▶ pages, useful without JavaScript
//
// A page is all in one: style and script are in it, nothing is loaded from elsewhere. The script
// gets the page again every now and then, and puts what it shows in the place of the old.
//
// The package imports admin, for what there is to tell of queues and clients, names and figures.
package pages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// Source is where the pages have from what they show. It is safe for concurrent use.
type Source interface {
	Node(context.Context) (*Node, error)
	// Queues returns all queues, in any order; the caller may sort them.
	Queues(context.Context) ([]Queue, error)
	// Queue returns one. Error: ErrUnknown.
	Queue(ctx context.Context, name string) (*Detail, error)
	// Peek returns the next records of a queue, after some that are skipped. Error: ErrUnknown.
	Peek(ctx context.Context, name string, skip, records int) ([]admin.Record, error)
	Clients(context.Context) ([]Client, error)
}

// ErrUnknown says that there is no such queue, or client.
var ErrUnknown = errors.New("there is no such thing")

// Options say what the pages are allowed to.
type Options struct {
	Admin *Admin // lets those who know a token change things; nil = nothing can be changed
	// Peek tells whether whoever sends a request may see records. Who has logged in may.
	Peek func(*http.Request) bool
}

// Patterns are the paths that the handler serves, for a http.ServeMux.
var Patterns = []string{"/{$}", "/queue", "/clients", "/api/", "/login", "/logout", "/act"}

// New returns the handler of the pages of a source.
func New(source Source, o Options) http.Handler {
	p := &pages{source: source, admin: o.Admin, peek: o.Peek}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.page(p.overview))
	mux.HandleFunc("GET /queue", p.page(p.queue))
	mux.HandleFunc("GET /clients", p.page(p.clients))
	mux.HandleFunc("GET /api/node", api(p.apiNode))
	mux.HandleFunc("GET /api/queues", api(p.apiQueues))
	mux.HandleFunc("GET /api/queue", api(p.apiQueue))
	mux.HandleFunc("GET /api/peek", api(p.apiPeek))
	mux.HandleFunc("GET /api/clients", api(p.apiClients))
	mux.HandleFunc("/api/", api(apiElse))
	if p.admin != nil {
		mux.HandleFunc("GET /login", p.page(p.login))
		mux.Handle("POST /login", sameOrigin(p.logIn))
		mux.Handle("POST /logout", sameOrigin(p.logOut))
		mux.Handle("POST /act", sameOrigin(p.act))
		mux.HandleFunc("POST /api/act", p.apiAct)
	}
	return mux
}

type pages struct {
	source Source
	admin  *Admin
	peek   func(*http.Request) bool
}

// mayPeek tells whether whoever sends a request may see records.
func (p *pages) mayPeek(r *http.Request) bool {
	return p.peek(r) || p.admin.session(r) != nil || p.admin.authorized(r)
}

var (
	//go:embed page
	files embed.FS

	style  = text("page.css")
	script = text("page.js")

	templates = template.Must(template.ParseFS(files, "page/*.html"))

	// policy lets the browser use what is in the page, and nothing else.
	policy = "default-src 'none'; connect-src 'self'; style-src " + hash(style) + "; script-src " + hash(script) +
		"; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

func text(name string) string {
	b, err := files.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(b)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// frame is what all pages have in common.
type frame struct {
	Style  template.CSS
	Script template.JS

	Title    string // what the page is about; "" = the node
	Host     string
	Facts    []string // on the right of the head
	At       string
	Problem  string // that everybody should see
	Whole    bool   // it is about a whole DMQ
	Section  string // which of the pages it is, in the navigation
	Admin    bool   // actions are on
	LoggedIn bool
	CSRF     string // of the session
}

// page makes a handler of a function that fills in what a template shows.
func (p *pages) page(fill func(*http.Request, *frame) (name string, view any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := &frame{Style: template.CSS(style), Script: template.JS(script), Admin: p.admin != nil}
		if s := p.admin.session(r); s != nil {
			f.LoggedIn, f.CSRF = true, s.csrf
		}
		name, view, err := fill(r, f)
		var page bytes.Buffer
		if err == nil {
			err = templates.ExecuteTemplate(&page, name, view)
		}
		if err != nil {
			fail(w, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		w.Write(page.Bytes())
	}
}

func fail(w http.ResponseWriter, err error) { http.Error(w, err.Error(), statusOf(err)) }

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, errBad):
		return http.StatusBadRequest
	case errors.Is(err, errDenied):
		return http.StatusForbidden
	}
	return http.StatusBadGateway
}

// errBad says that a request makes no sense.
var errBad = errors.New("bad request")
