// Package web tells over HTTP how the node is:
//
//	/         pages for people, and /api/ for programs: package pages
//	/metrics  the same figures, and more, for Prometheus (docs/metrics.md)
//	/healthz  200 if the event loops answer
//	/readyz   200 if, besides, clients are served, and what they store is taken and safe
//
// It is off unless [Http] port is set, and asks for no password, so it belongs on loopback or
// behind a proxy; it changes nothing unless [Http] admin is true, for those who know a token. It
// answers only to names of its own.
//
//	stats.Sources ─▶ sampler, once a second ─▶ history ─▶ source ─▶ package pages
//	             └─▶ collector, queues, at each scrape ─▶ metrics
//
// Everything here runs on goroutines of its own and reads the figures as stats.log does:
// each channel is locked for a moment, counters are atomic, nothing is ever reset. The
// event loops are asked for nothing but whether they answer. Peers are bounded in number,
// time and size.
//
// The package imports admin, pages, stats, storage and logging's logger; only the main program imports it.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

// Options describe a Server.
type Options struct {
	Address netip.AddrPort // port 0 = any free one
	Build   Build
	Hosts   []string // names under which it may be asked for, besides those that pages.MayAnswer takes; "*" = any
	Token   string   // that lets change things; "" = nobody may
	Peek    Audience // who may see records
	// Alive returns an error if the node does not work. It is given up with its context.
	Alive func(context.Context) error
	Log   *zap.Logger
}

// Build says what is running.
type Build struct{ Version, Go string }

// Audience is who may see something.
type Audience int

// Audiences. Who knows the token sees everything.
const (
	Local  Audience = iota // clients on the same machine
	All                    // everybody
	Nobody                 // but who knows the token
)

// ReadToken reads the token from a file that only its owner, or a group, can read.
func ReadToken(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o006 != 0 {
		return "", fmt.Errorf("everybody on this machine can read or change %s, mode %04o: chmod o= %s", file, info.Mode().Perm(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < leastToken {
		return "", fmt.Errorf("%s has %d characters, want a token of at least %d, for example of: openssl rand -hex 16", file, len(token), leastToken)
	}
	return token, nil
}

// leastToken is how many characters a token has at least: nobody guesses that many.
const leastToken = 16

// may tells whether a request comes from somebody who may see it.
func (a Audience) may(r *http.Request) bool {
	return a == All || a == Local && pages.FromHere(r)
}

// Limits of what peers may do.
const (
	maxConnections = 64 // further ones take the places of idle ones, or wait
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = time.Minute
	aliveTimeout   = time.Second // the usual patience of those who ask
	closeTimeout   = time.Second
)

// Server answers HTTP requests. Its methods belong to one goroutine; a nil Server does
// nothing.
type Server struct {
	options Options
	started time.Time
	address net.Addr
	http    *http.Server

	mu     sync.Mutex
	closed bool           // no request is let in any more
	done   sync.WaitGroup // the accepting goroutine, and requests

	pages   atomic.Pointer[handlers] // nil while clients are not served
	sampler *sampler
}

// handlers are those of what has figures.
type handlers struct {
	figures, metrics http.Handler // the former are those of package pages
	unready          func() error // says why clients should not store records here
}

// Listen binds and answers: /healthz as ever, everything else with 503 until Serve is
// called.
func Listen(o Options) (*Server, error) {
	socket, err := net.Listen("tcp4", o.Address.String())
	if err != nil {
		return nil, fmt.Errorf("[Http] address, port: %w", err)
	}
	s := &Server{options: o, started: time.Now(), address: socket.Addr()}
	errorLog, err := zap.NewStdLogAt(o.Log, zap.WarnLevel)
	if err != nil {
		socket.Close()
		return nil, err
	}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withConn,
		ErrorLog:          errorLog,
	}
	s.done.Go(func() {
		if err := s.http.Serve(limit(socket, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("no more HTTP: status page and metrics have ended", zap.Error(err))
		}
	})
	o.Log.Info("listening for HTTP clients", zap.Stringer("address", s.address))
	return s, nil
}

// Serve tells that clients are served, and where the figures are.
func (s *Server) Serve(sources *stats.Sources, operations *admin.Operations) {
	if s == nil {
		return
	}
	s.sampler = startSampler(sources)
	unready := func() error { return cmp.Or(sources.Channels.Lost(), sources.Channels.Full()) }
	o := pages.Options{Peek: s.options.Peek.may}
	if s.options.Token != "" {
		o.Admin = pages.NewAdmin(s.options.Token, operations, s.options.Log)
	}
	s.pages.Store(&handlers{
		figures: pages.New(&source{s.sampler, sources, operations, s.options.Build, s.started, unready}, o),
		metrics: newMetrics(sources, s.options.Build, s.http.ErrorLog),
		unready: unready,
	})
}

// Close ends all of it. Nothing is asked of the node after it has returned.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.pages.Store(nil)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.done.Wait()
	s.sampler.stop()
	s.sampler = nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { s.answerHealth(w, r, "alive") })
	mux.HandleFunc("GET /readyz", s.whenServing(func(p *handlers, w http.ResponseWriter, r *http.Request) {
		if err := p.unready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s.answerHealth(w, r, "serving")
	}))
	mux.HandleFunc("GET /metrics", s.whenServing(func(p *handlers, w http.ResponseWriter, r *http.Request) {
		p.metrics.ServeHTTP(w, r)
	}))
	for _, pattern := range pages.Patterns {
		mux.HandleFunc(pattern, s.whenServing(func(p *handlers, w http.ResponseWriter, r *http.Request) {
			p.figures.ServeHTTP(w, r)
		}))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			return
		}
		defer s.done.Done()
		if !pages.MayAnswer(r.Host, s.options.Hosts) {
			pages.Refuse(w, r, http.StatusMisdirectedRequest, "this node does not answer to that name: [Http] hosts")
			return
		}
		conn := connOf(r.Context())
		conn.serve()
		defer conn.idle()
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// enter lets a request in, unless the server is closed; s.done is told when it ends.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.done.Add(1)
	}
	return !s.closed
}

func (s *Server) whenServing(handle func(*handlers, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.pages.Load()
		if p == nil {
			pages.Refuse(w, r, http.StatusServiceUnavailable, "clients are not served: the node is starting or stopping")
			return
		}
		handle(p, w, r)
	}
}

// answerHealth answers with a word if the node is alive.
func (s *Server) answerHealth(w http.ResponseWriter, r *http.Request, word string) {
	ctx, cancel := context.WithTimeout(r.Context(), aliveTimeout)
	defer cancel()
	if err := s.options.Alive(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, word)
}
