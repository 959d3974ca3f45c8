package pages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// api makes a handler of a function that returns what is told as JSON. Errors are JSON, too.
func api(answer func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := answer(r)
		if err != nil {
			writeJSON(w, statusOf(err), map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, value)
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) // a failure is one of the connection
}

// Refuse answers a request that is not served, in JSON to programs.
func Refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, status, map[string]string{"error": why})
		return
	}
	http.Error(w, why, status)
}

// apiElse answers what none of the other patterns matches.
func apiElse(r *http.Request) (any, error) {
	hint := ""
	if r.URL.Path == "/api/act" {
		hint = ": it takes POST, and is there with [Http] admin = true"
	}
	return nil, fmt.Errorf("%w: %s %s%s", ErrUnknown, r.Method, r.URL.Path, hint)
}

func (p *pages) apiNode(r *http.Request) (any, error) { return p.source.Node(r.Context()) }

// QueueList is the answer to /api/queues.
type QueueList struct {
	Total  int     `json:"total"` // queues that there are
	Found  int     `json:"found"` // that have the text
	Page   int     `json:"page"`
	Pages  int     `json:"pages"`
	Queues []Queue `json:"queues"`
}

func (p *pages) apiQueues(r *http.Request) (any, error) {
	all, err := p.source.Queues(r.Context())
	if err != nil {
		return nil, err
	}
	l, shown, _, err := listQueues(r, all)
	if err != nil {
		return nil, err
	}
	return &QueueList{l.Total, l.Found, l.Page(), l.Pages(), append([]Queue{}, shown...)}, nil
}

func (p *pages) apiQueue(r *http.Request) (any, error) {
	name := r.FormValue("name")
	d, err := p.source.Queue(r.Context(), name)
	if err != nil {
		return nil, fmt.Errorf("queue %q: %w", name, err)
	}
	return d, nil
}

// RecordList is the answer to /api/peek.
type RecordList struct {
	Records []admin.Record `json:"records"`
}

func (p *pages) apiPeek(r *http.Request) (any, error) {
	if !p.mayPeek(r) {
		return nil, fmt.Errorf("%w: [Http] peek says who may see records", errDenied)
	}
	skip, records, err := peekRange(r)
	if err != nil {
		return nil, err
	}
	name := r.FormValue("name")
	found, err := p.source.Peek(r.Context(), name, skip, records)
	if err != nil {
		return nil, fmt.Errorf("queue %q: %w", name, err)
	}
	return &RecordList{append([]admin.Record{}, found...)}, nil
}

// ClientList is the answer to /api/clients.
type ClientList struct {
	Total   int      `json:"total"`
	Found   int      `json:"found"`
	Page    int      `json:"page"`
	Pages   int      `json:"pages"`
	Clients []Client `json:"clients"`
}

func (p *pages) apiClients(r *http.Request) (any, error) {
	all, err := p.source.Clients(r.Context())
	if err != nil {
		return nil, err
	}
	l, shown, err := listClients(r, all)
	if err != nil {
		return nil, err
	}
	return &ClientList{l.Total, l.Found, l.Page(), l.Pages(), append([]Client{}, shown...)}, nil
}
