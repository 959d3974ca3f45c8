package storage

// Batch works on one channel after another and keeps the current one locked, so that
// many operations on the same channel take its lock once. End must be called before the
// owner waits for anything, and before others are told of what was done.
//
// Operations on a channel that is locked by a Batch may return a *Wait. Then the owner goes on
// with something else, and tries again when it is woken:
//
//	c, err := b.Open(name)
//	if err == nil {
//		err = c.Push(payload)
//	}
//	if b.Waits(err, waker) {
//		return // until the waker is woken: then, unless Failed tells why not, all this again
//	}
//
// A Batch belongs to one goroutine.
type Batch struct {
	channels *Channels
	channel  *Channel // the last one used, or nil
	locked   bool     // it is locked
	wait     *Wait    // what the owner waits for, or has not asked yet whether it failed
}

// NewBatch returns a batch on a set of channels.
func NewBatch(channels *Channels) Batch { return Batch{channels: channels} }

// Find returns the channel of that name, locked, or nil if there is none.
func (b *Batch) Find(name []byte) *Channel {
	if b.again(name) {
		return b.channel
	}
	c := b.channels.Find(name)
	if c == nil || !c.lock(true) {
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
	c, err := b.channels.open(name, true)
	if err != nil {
		return nil, err
	}
	b.channel, b.locked = c, true
	return c, nil
}

// Remove drops the channel of that name: see Channels.Remove.
func (b *Batch) Remove(name []byte) error {
	b.End()
	return b.channels.remove(name, true)
}

// Waits reports whether an error says that the operation is to be done again later. Then the
// owner is woken when it is time, once or more often: see Waiting.
func (b *Batch) Waits(err error, k Waker) bool {
	w, ok := err.(*Wait)
	if ok {
		b.wait = w
		w.Notify(k)
	}
	return ok
}

// Leave gives up waiting, if the owner does: after that it is not woken any more.
func (b *Batch) Leave(k Waker) {
	if b.wait != nil {
		b.wait.Forget(k)
		b.wait = nil
	}
}

// Waiting reports whether it is not yet time.
func (b *Batch) Waiting() bool { return b.wait != nil && !b.wait.Over() }

// Failed is why it was in vain to wait, or nil. It is to be called once, before the operation is
// done again.
func (b *Batch) Failed() error {
	w := b.wait
	if w == nil {
		return nil
	}
	b.wait = nil
	return w.Err()
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
		b.locked = b.channel.lock(true)
	}
	return b.locked
}
