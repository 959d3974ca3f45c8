// Package web tells over HTTP how the node is:
//
//	/         a page for people: the node at a glance
//	/metrics  the same figures, and more, for Prometheus (docs/metrics.md)
//	/healthz  200 if the event loops answer
//	/readyz   200 if, besides, clients are served, and what they store is taken and safe
//
// It is off unless [Http] port is set, asks for no password and changes nothing, so it
// belongs on loopback or behind a proxy. It answers only to names of its own (host.go).
//
//	stats.Sources ─▶ sampler, once a second ─▶ history ─▶ page
//	             └─▶ collector, queues, at each scrape ─▶ metrics
//
// Everything here runs on goroutines of its own and reads the figures as stats.log does:
// each channel is locked for a moment, counters are atomic, nothing is ever reset. The
// event loops are asked for nothing but whether they answer. Peers are bounded in number,
// time and size.
//
// The package imports stats, storage and logging's logger; only the main program imports it.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// Options describe a Server.
type Options struct {
	Address netip.AddrPort // port 0 = any free one
	Build   Build
	Hosts   []string // names under which it may be asked for, besides those in host.go; "*" = any
	// Alive returns an error if the node does not work. It is given up with its context.
	Alive func(context.Context) error
	Log   *zap.Logger
}

// Build says what is running.
type Build struct{ Version, Go string }

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

	pages   atomic.Pointer[pages] // nil while clients are not served
	sampler *sampler
}

// pages are those that have figures.
type pages struct {
	status, metrics http.Handler
	unready         func() error // says why clients should not store records here
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
func (s *Server) Serve(sources *stats.Sources) {
	if s == nil {
		return
	}
	s.sampler = startSampler(sources)
	s.pages.Store(&pages{
		status:  &statusPage{sampler: s.sampler, sources: sources, build: s.options.Build, started: s.started},
		metrics: newMetrics(sources, s.options.Build, s.http.ErrorLog),
		unready: func() error { return cmp.Or(sources.Channels.Lost(), sources.Channels.Full()) },
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
	mux.HandleFunc("GET /readyz", s.whenServing(func(p *pages, w http.ResponseWriter, r *http.Request) {
		if err := p.unready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		s.answerHealth(w, r, "serving")
	}))
	mux.HandleFunc("GET /metrics", s.whenServing(func(p *pages, w http.ResponseWriter, r *http.Request) {
		p.metrics.ServeHTTP(w, r)
	}))
	mux.HandleFunc("GET /{$}", s.whenServing(func(p *pages, w http.ResponseWriter, r *http.Request) {
		p.status.ServeHTTP(w, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			return
		}
		defer s.done.Done()
		if !s.options.allowsHost(r.Host) {
			http.Error(w, "this node does not answer to that name: [Http] hosts", http.StatusMisdirectedRequest)
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

func (s *Server) whenServing(handle func(*pages, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.pages.Load()
		if p == nil {
			http.Error(w, "clients are not served: the node is starting or stopping", http.StatusServiceUnavailable)
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
