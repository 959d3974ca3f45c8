package neo

import (
	"errors"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// pop hands out the oldest record of a channel (neo protocol spec §10), which is created if it does
// not exist. The record counts as delivered once the reply is handed to the kernel. The
// error is that of a malformed message.
func (s *Session) pop(id uint64, fields []byte) error {
	name, err := wire.ParsePop(fields)
	if err != nil {
		return err
	}
	run, status := s.take(name)
	if run == nil {
		s.conn.Appended(wire.AppendPopStatus(s.buffer(), id, status))
		return nil
	}
	value := run.Payload()
	s.conn.Appended(wire.AppendPoppedPrefix(s.buffer(), id, len(value)))
	s.conn.Write(value)
	s.sending.Add(run, s.conn.OutputEnd())
	return nil
}

// take takes the record out of the storage, or tells why there is none.
func (s *Session) take(name []byte) (*storage.Run, wire.PopStatus) {
	if !names.ValidChannel(name) {
		return nil, wire.PopError
	}
	c, err := s.open(name)
	if errors.Is(err, request.ErrQueues) {
		return nil, wire.PopEmpty // so it would be if it was made
	}
	if err != nil {
		s.failed(wire.CodePop, err)
		return nil, wire.PopError
	}
	run, err := c.Pop(false)
	switch {
	case errors.Is(err, storage.ErrSubscribed):
		return nil, wire.PopSubscribed
	case err != nil:
		s.failed(wire.CodePop, err)
		return nil, wire.PopError
	case run == nil:
		return nil, wire.PopEmpty
	}
	return run, wire.Popped
}
