package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// clientColumns are those of the table of clients.
var clientColumns = []column[Client]{
	{"client", "Client", "", func(a, b *Client) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	}, false},
	{"since", "Connected", "", func(a, b *Client) int { return b.Since.Compare(a.Since) }, true},
	{"in", "Received", "", func(a, b *Client) int { return cmp.Compare(a.Received, b.Received) }, true},
	{"out", "Sent", "", func(a, b *Client) int { return cmp.Compare(a.Sent, b.Sent) }, true},
	{"unsent", "Unread", "", func(a, b *Client) int { return cmp.Compare(a.Unsent, b.Unsent) }, true},
	{"unconfirmed", "Unconfirmed", "", func(a, b *Client) int { return cmp.Compare(unconfirmed(a), unconfirmed(b)) }, true},
	{"requests", "Requests that last", "requests", func(a, b *Client) int { return cmp.Compare(len(a.Requests), len(b.Requests)) }, true},
}

func unconfirmed(c *Client) (records int) {
	for _, r := range c.Requests {
		records += r.Unconfirmed
	}
	return records
}

// clientsPage is the view of the clients.
type clientsPage struct {
	*frame
	List    *list
	Heads   []head
	Clients []clientView
}

// clientView is a client as it is shown.
type clientView struct {
	ID             uint64
	Node           string
	Name, Address  string
	Protocol       string
	Connected      string
	Received, Sent string
	Unsent         string // "" for none
	Unconfirmed    string // "" for none
	Requests       []lastingView
}

// lastingView is a request that lasts.
type lastingView struct{ Request, Queue, Link, Unconfirmed string }

func (p *pages) clients(r *http.Request, f *frame) (string, any, error) {
	n, err := p.source.Node(r.Context())
	if err != nil {
		return "", nil, err
	}
	all, err := p.source.Clients(r.Context())
	if err != nil {
		return "", nil, err
	}
	l, shown, err := listClients(r, all)
	if err != nil {
		return "", nil, err
	}
	f.of(n)
	f.Title, f.Section = "Clients", "clients"
	v := &clientsPage{frame: f, List: &l, Heads: heads(&l, clientColumns)}
	for i := range shown {
		v.Clients = append(v.Clients, viewClient(&shown[i]))
	}
	return "clients.html", v, nil
}

func listClients(r *http.Request, all []Client) (l list, shown []Client, err error) {
	l, err = newList(r, clientColumns, "client", false)
	if err == nil {
		shown = of(&l, all, clientColumns, func(c *Client) string {
			text := c.Name + " " + c.Address + " " + c.Protocol + " " + c.Node
			for _, request := range c.Requests {
				text += " " + request.Queue
			}
			return text
		})
	}
	return l, shown, err
}

func viewClient(c *Client) clientView {
	v := clientView{
		ID: c.ID, Node: c.Node, Name: c.Name, Address: c.Address, Protocol: c.Protocol,
		Connected: figures.Age(time.Since(c.Since)),
		Received:  figures.Size(c.Received), Sent: figures.Size(c.Sent),
	}
	if c.Unsent > 0 {
		v.Unsent = figures.Size(uint64(c.Unsent))
	}
	if n := unconfirmed(c); n > 0 {
		v.Unconfirmed = figures.Count(uint64(n))
	}
	for _, r := range c.Requests {
		last := lastingView{Request: r.Request, Queue: r.Queue, Link: "queue?" + url.Values{"name": {r.Queue}}.Encode()}
		if r.Unconfirmed > 0 {
			last.Unconfirmed = figures.Count(uint64(r.Unconfirmed)) + " unconfirmed"
			if r.UnconfirmedSeconds > 0 {
				last.Unconfirmed += " for " + since(r.UnconfirmedSeconds)
			}
		}
		v.Requests = append(v.Requests, last)
	}
	return v
}
