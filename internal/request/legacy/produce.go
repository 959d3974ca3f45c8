package legacy

import (
	"errors"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
)

// stream is a Produce or ProduceMulti in progress (legacy protocol spec §6.6, §6.7).
type stream struct {
	command  wire.Command
	channel  []byte     // Produce
	channels wire.Names // ProduceMulti
	names    int        // how many those are
	singly   bool       // a channel may be listed twice: each record goes to all before the next
	chunk    chunk      // goes on with the next turn
	fresh    freshCount
}

// freshCount is how far a ProduceMulti has come with the channels that it is going to make: with its
// first record it makes either all or none.
type freshCount struct {
	done  bool
	at    int // position of the next channel
	names request.Fresh
}

// chunk is records of a ProduceMulti, at the start of the input, that are being stored in one
// channel after the other.
type chunk struct {
	size, records int // 0 = there is none
	at            int // position of the next channel
}

var errNoMemory = errors.New("there is no memory for the names of its channels: [Limits] input_memory is used up")

// startProduce opens the channel and expects records for it.
func (s *Session) startProduce(r *wire.Request) (done bool) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return true
	}
	_, err := s.open(r.Channel)
	switch {
	case s.mustWait(err):
		return false
	case err != nil:
		s.fail(r.Command, err)
		return true
	}
	s.stream = stream{command: r.Command, channel: append([]byte(nil), r.Channel...)}
	s.state = records
	s.reply(wire.OK)
	return true
}

// startProduceMulti expects records for a list of channels, which are created with the
// first record.
func (s *Session) startProduceMulti(r *wire.Request) {
	if !allValid(r.Channels) {
		s.reply(wire.BadChannelName)
		return
	}
	if !s.conn.Hold(r.Channels.Size()) {
		s.fail(r.Command, errNoMemory)
		return
	}
	count := r.Channels.Len()
	s.conn.Work(count / namesPerUnit)
	s.stream = stream{command: r.Command, channels: r.Channels.Clone(), names: count, singly: mayRepeat(r.Channels, count)}
	s.state = records
	s.reply(wire.OK)
}

// mayRepeat tells whether a channel may be listed twice. With very many it is not looked for: to
// store record by record is right in any case.
func mayRepeat(channels wire.Names, count int) bool {
	const many = 256
	if count > many {
		return true
	}
	seen := make(map[string]bool, count)
	for name := range channels.All {
		seen[string(name)] = true
	}
	return len(seen) < count
}

// receiveRecords stores the records at the start of in. Channels are looked up by name
// each time: one that was removed meanwhile is created again.
func (s *Session) receiveRecords(in []byte) (used int, more bool) {
	r := wire.DecodeRecords(in)
	if r.Count > 0 {
		s.conn.Work(r.Count / recordsPerUnit)
		stored, err := s.store(r)
		if s.mustWait(err) {
			return stored, false
		}
		if err != nil {
			s.fail(s.stream.command, err)
			return len(r.Run), false
		}
		if stored < len(r.Run) {
			return stored, false
		}
	}
	switch {
	case r.End:
		s.state, s.stream = requests, stream{}
		s.conn.Hold(0)
		s.count.endStream()
		return len(r.Run) + wire.LengthSize, true
	case r.TooLong > 0:
		err := &wire.TooLongError{Command: s.stream.command, Length: r.TooLong}
		return s.reject(len(r.Run)+wire.LengthSize, err), false
	}
	return len(r.Run), false
}

// recordsPerUnit is how many small records of a stream are as much work as a small request.
const recordsPerUnit = 8

// store stores the records, those of a ProduceMulti until the turn is over, and returns how many
// bytes of them are done with.
func (s *Session) store(r wire.Records) (stored int, err error) {
	if s.stream.command == wire.Produce {
		if err := s.storeRun(s.stream.channel, r.Run, r.Count); err != nil {
			return 0, err
		}
		return len(r.Run), nil
	}
	if s.stream.names == 0 {
		return len(r.Run), nil
	}
	if err := s.countNew(); err != nil || !s.stream.fresh.done {
		return 0, err
	}
	c := &s.stream.chunk
	for stored < len(r.Run) && s.conn.Turn() > 0 {
		if c.size == 0 {
			if *c, err = s.cutChunk(r.Run[stored:]); err != nil {
				return stored, err
			}
		}
		done, err := s.storeChunk(r.Run[stored : stored+c.size])
		if err != nil || !done {
			return stored, err
		}
		stored += c.size
		*c = chunk{}
	}
	return stored, nil
}

// countNew goes on counting until the turn is over.
func (s *Session) countNew() error {
	c, limits := &s.stream.fresh, s.node.options.Limits
	if !c.done && c.at == 0 {
		c.names = limits.Fresh(s.node.channels, s.stream.names)
	}
	for c.names != nil && s.conn.Turn() > 0 {
		name, next := s.stream.channels.At(c.at)
		if name == nil {
			c.names = nil
			break
		}
		s.conn.Work(1)
		if s.batch.Find(name) == nil {
			if err := limits.Add(c.names, s.node.channels, name); err != nil {
				return err
			}
		}
		c.at = next
	}
	c.done = c.names == nil
	return nil
}

// cutChunk takes the records that are to be stored next in all channels: as many as a turn
// allows, at least one.
func (s *Session) cutChunk(run []byte) (c chunk, err error) {
	enough := max(1, s.conn.Turn()*connpool.Unit/s.stream.names)
	if s.stream.singly {
		enough = 1
	}
	for record := range (wire.Records{Run: run}).All {
		if c.size >= enough {
			break
		}
		if err := s.node.options.Limits.CheckCopies(s.stream.names, len(record.Run)); err != nil {
			return c, err
		}
		c.size += len(record.Run)
		c.records++
	}
	return c, nil
}

// storeChunk goes on with the chunk until the turn is over, and reports whether it is done.
func (s *Session) storeChunk(run []byte) (done bool, err error) {
	c := &s.stream.chunk
	for s.conn.Turn() > 0 {
		name, next := s.stream.channels.At(c.at)
		if name == nil {
			return true, nil
		}
		if err := s.storeRun(name, run, c.records); err != nil {
			return false, err
		}
		s.conn.Work(request.CopyWork(len(run)))
		c.at = next
	}
	return false, nil
}

func (s *Session) storeRun(channel, run []byte, records int) error {
	c, err := s.open(channel)
	if err != nil {
		return err
	}
	return c.PushRun(run, records)
}
