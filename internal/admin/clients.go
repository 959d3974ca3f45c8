package admin

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

// Client is a connection.
type Client struct {
	ID       uint64    `json:"id"`
	Address  string    `json:"address"`
	Protocol string    `json:"protocol"`
	Name     string    `json:"name"` // of a neo client
	Since    time.Time `json:"since"`
	Received uint64    `json:"bytes_in"`
	Sent     uint64    `json:"bytes_out"`
	Unsent   int       `json:"bytes_unsent"` // that wait for it to read
	Requests []Request `json:"requests"`     // that last
}

// Request is a request that lasts, such as a Consume.
type Request struct {
	Request            string  `json:"request"`
	Queue              string  `json:"queue"`
	Unconfirmed        int     `json:"unconfirmed_records"`
	UnconfirmedBytes   int     `json:"unconfirmed_bytes"`
	UnconfirmedSeconds float64 `json:"unconfirmed_seconds"`
}

// Clients knows the connections of the node. The zero Clients has none; pools are added before
// anybody asks.
type Clients struct {
	loops *listener.Group
	pools []protocolPool

	mu     sync.RWMutex
	closed bool
}

type protocolPool struct {
	protocol string
	loop     int
	pool     *connpool.Pool
}

// NewClients returns the connections that are served by these loops.
func NewClients(loops *listener.Group) *Clients { return &Clients{loops: loops} }

// Add adds a pool of connections of a protocol, which belongs to that loop.
func (c *Clients) Add(protocol string, loop int, pool *connpool.Pool) {
	c.pools = append(c.pools, protocolPool{protocol, loop, pool})
}

// Close lets all who ask come to an end. From then on there are no connections: loops may stop.
func (c *Clients) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// each calls f on the loop of each pool.
func (c *Clients) each(f func(protocolPool)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed || len(c.pools) == 0 {
		return
	}
	c.loops.Do(func(l *listener.Loop) {
		for _, p := range c.pools {
			if p.loop == l.Index() {
				f(p)
			}
		}
	})
}

// Clients returns the connections in the order in which they were made: all, or those that consume
// a queue.
func (o *Operations) Clients(queue string) []Client {
	all := []Client{}
	now := time.Now()
	o.clients.each(func(p protocolPool) {
		for _, i := range p.pool.Infos() {
			c := Client{
				ID: i.ID, Address: i.Peer, Protocol: p.protocol, Name: i.Client, Since: i.Since,
				Received: i.Received, Sent: i.Sent, Unsent: i.Unsent, Requests: []Request{},
			}
			for _, a := range i.Active {
				if queue == "" || a.Queue == queue {
					c.Requests = append(c.Requests, Request{
						Request: a.Request, Queue: a.Queue,
						Unconfirmed: a.Unconfirmed, UnconfirmedBytes: a.UnconfirmedBytes,
						UnconfirmedSeconds: seconds(a.UnconfirmedSince, now),
					})
				}
			}
			if queue == "" || len(c.Requests) > 0 {
				all = append(all, c)
			}
		}
	})
	slices.SortFunc(all, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Disconnect ends a connection. What it has not confirmed goes back. Error: ErrNoClient.
func (o *Operations) Disconnect(id uint64) error {
	found := false
	o.clients.each(func(p protocolPool) { found = found || p.pool.Disconnect(id) })
	if !found {
		return ErrNoClient
	}
	return nil
}
