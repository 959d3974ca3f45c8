package request

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Synced makes the replies of a connection wait until what they tell of is durable, if the node is
// to ([Storage] acknowledge). It belongs to the loop of the connection.
type Synced struct {
	conn     *connpool.Conn
	channels *storage.Channels
	stored   bool // something, since the replies were last withheld
	withheld bool
	awaited  int // syncs, also for connections that are gone
}

// NewSynced returns a Synced for a connection handler.
func NewSynced(c *connpool.Conn, channels *storage.Channels) *Synced {
	return &Synced{conn: c, channels: channels}
}

// Stored tells that there is a reply about something that was stored.
func (s *Synced) Stored() { s.stored = true }

// Subscribed tells that there is a reply about a queue, which may be a new one.
func (s *Synced) Subscribed() { s.stored = s.stored || !s.channels.QueuesDurable() }

// Received withholds the replies if they have to wait. It is called when all input there is has been
// executed, with no channel locked.
func (s *Synced) Received() {
	if !s.stored {
		return
	}
	s.stored = false
	if !s.channels.AwaitSync(s) {
		return
	}
	s.withheld = true
	s.awaited++
	s.conn.Withhold()
}

// Wake implements storage.Waker.
func (s *Synced) Wake() { s.conn.Loop().Post(s) }

// Run implements listener.Task.
func (s *Synced) Run() {
	if s.awaited--; s.awaited == 0 && s.withheld {
		s.withheld = false
		s.conn.Release()
	}
}

// Closed tells that the connection is gone.
func (s *Synced) Closed() { s.stored, s.withheld = false, false }
