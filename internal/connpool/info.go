package connpool

import "time"

// Info is what there is to tell of a connection.
type Info struct {
	ID             uint64 // no other connection of the process has had it
	Peer           string
	Since          time.Time
	Received, Sent uint64 // bytes
	Unsent         int    // bytes of output that wait
	Client         string // its name, if it has said one
	Active         []Activity
}

// Activity is a request that takes long.
type Activity struct {
	Request string
	Queue   string
	// What the client has got, or is getting, and has not confirmed.
	Unconfirmed      int // records
	UnconfirmedBytes int
	UnconfirmedSince time.Time // the oldest of them; zero if that is not known
}

// Described is a session that can tell what it does.
type Described interface {
	// Describe returns the name of the client, if it has said one, and what lasts.
	Describe() (client string, active []Activity)
}

// Infos tells of all open connections.
func (p *Pool) Infos() []Info {
	all := make([]Info, 0, len(p.open))
	for _, c := range p.open {
		i := Info{
			ID: c.id, Peer: c.Peer(), Since: c.opened,
			Received: c.received, Sent: c.out.sent, Unsent: c.out.unsent,
		}
		if s, ok := c.session.(Described); ok {
			i.Client, i.Active = s.Describe()
		}
		all = append(all, i)
	}
	return all
}

// Disconnect ends the connection with that id at once, and reports whether there is one.
func (p *Pool) Disconnect(id uint64) bool {
	for _, c := range p.open {
		if c.id == id {
			c.drop()
			return true
		}
	}
	return false
}
