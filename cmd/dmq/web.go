//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

// showing is the options of web.
type showing struct {
	listen   string
	hosts    []string
	httpPort uint16
}

func newWeb(t *tool) *cobra.Command {
	var s showing
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Show a whole DMQ in a browser",
		Long: `Web serves the pages of a node for all nodes of a DMQ together: every queue
summed up and node by node, with its history, its consumers and its records,
and all clients; and the same as JSON under /api/ (docs/api.md). It goes on
until it is interrupted.

It asks the HTTP ports of the nodes ([Http] port in their configuration), which
--http names, or --nodes: a file with their addresses, one a line. If those are
the addresses of another protocol, --http-port says which port of these hosts to
ask. A node that does not answer is shown as such. Nothing can be changed.

It listens on loopback unless --listen says otherwise, and asks for no password.
It shows records only to browsers on the same machine, and as far as the nodes
show them to this one.`,
		Example: `  dmq web --http queue-1:10080,queue-2:10080
  dmq web --nodes etc/dmq.nodes --http-port 10080`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := t.resolve()
			var addresses []string
			if err == nil {
				addresses, err = t.httpAddresses(s.httpPort)
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return t.serveWeb(cmd.Context(), s, addresses)
		},
	}
	cmd.Flags().StringVar(&s.listen, "listen", "127.0.0.1:10090", "`host:port` to serve at; port 0 = any free one")
	cmd.Flags().StringSliceVar(&s.hosts, "hosts", nil, "`names` under which browsers may ask for it, besides its addresses, localhost and the name of the machine; * = any")
	cmd.Flags().Uint16Var(&s.httpPort, "http-port", 0, "`port` to ask in the place of those in --nodes")
	for _, name := range []string{"listen", "hosts", "http-port"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return uses(cmd, "http", "nodes", "timeout", "config", "profile", "json", "quiet")
}

var errNoPages = errors.New("web needs the HTTP ports of the nodes: want --http host:port,..., or --nodes FILE")

// httpAddresses are those of the HTTP ports of all nodes.
func (t *tool) httpAddresses(port uint16) ([]string, error) {
	if len(t.http) > 0 {
		return nodes.Load(t.http, "")
	}
	if t.nodes == "" {
		return nil, errNoPages
	}
	all, err := nodes.Load(nil, t.nodes)
	if err != nil || port == 0 {
		return all, err
	}
	for i, address := range all {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		all[i] = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return all, nil
}

// Limits of what a browser may do.
const (
	webHeaderTimeout = 5 * time.Second
	webHeaderBytes   = 16 << 10
)

func (t *tool) serveWeb(ctx context.Context, s showing, addresses []string) error {
	socket, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	handler := pages.New(pages.NewFleet(addresses, min(t.timeout, livePatience)), pages.Options{Peek: pages.FromHere})
	server := &http.Server{
		Handler:           onlyFor(s.hosts, handler),
		ReadHeaderTimeout: webHeaderTimeout,
		MaxHeaderBytes:    webHeaderBytes,
	}
	address := socket.Addr().String()
	if err := t.report(struct {
		Address string `json:"address"`
	}{address}, fmt.Sprintf("the pages are at http://%s/", address)); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
		server.Close()
		<-ended
		return nil
	}
}

// onlyFor refuses names that are not those of this machine: see pages.MayAnswer.
func onlyFor(names []string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !pages.MayAnswer(r.Host, names) {
			pages.Refuse(w, r, http.StatusMisdirectedRequest, "these pages do not answer to that name: --hosts")
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		handler.ServeHTTP(w, r)
	})
}
