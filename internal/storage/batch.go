package storage

// Batch works on one channel after another and keeps the current one locked, so that
// many operations on the same channel take its lock once. End must be called before the
// owner waits for anything, and before others are told of what was done.
//
// A Batch belongs to one goroutine.
type Batch struct {
	channels *Channels
	channel  *Channel // the last one used, or nil
	locked   bool     // it is locked
}

// NewBatch returns a batch on a set of channels.
func NewBatch(channels *Channels) Batch { return Batch{channels: channels} }

// Find returns the channel of that name, locked, or nil if there is none.
func (b *Batch) Find(name []byte) *Channel {
	if b.again(name) {
		return b.channel
	}
	c := b.channels.Find(name)
	if c == nil || !c.Lock() {
		return nil
	}
	b.channel, b.locked = c, true
	return c
}

// Open returns the channel of that name, locked, and creates it if necessary. See
// Channels.Open.
func (b *Batch) Open(name []byte) (*Channel, error) {
	if b.again(name) {
		return b.channel, nil
	}
	c, err := b.channels.Open(name)
	if err != nil {
		return nil, err
	}
	b.channel, b.locked = c, true
	return c, nil
}

// Remove drops the channel of that name: see Channels.Remove.
func (b *Batch) Remove(name []byte) error {
	b.End()
	return b.channels.Remove(name)
}

// End commits what was done to the current channel and unlocks it.
func (b *Batch) End() {
	if b.locked {
		b.channel.Commit()
		b.locked = false
	}
}

// again locks the channel used last if it is the one of that name. Otherwise no channel
// is locked any more.
func (b *Batch) again(name []byte) bool {
	if b.channel == nil || b.channel.name != string(name) {
		b.End()
		return false
	}
	if !b.locked {
		b.locked = b.channel.Lock()
	}
	return b.locked
}
