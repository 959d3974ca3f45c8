package neo

import (
	"errors"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// pop hands out the oldest record of a channel (neo protocol spec §10), which is created if it does
// not exist. The record counts as delivered once the reply is handed to the kernel. It reports
// whether it is done. The error is that of a malformed message.
func (s *Session) pop(id uint64, fields []byte) (done bool, err error) {
	name, err := wire.ParsePop(fields)
	if err != nil {
		return true, err
	}
	run, status, done := s.take(name)
	if !done {
		return false, nil
	}
	if run == nil {
		s.conn.Appended(wire.AppendPopStatus(s.buffer(), id, status))
		return true, nil
	}
	value := run.Payload()
	s.conn.Appended(wire.AppendPoppedPrefix(s.buffer(), id, len(value)))
	s.conn.Write(value)
	s.sending.Add(run, s.conn.OutputEnd())
	return true, nil
}

// take takes the record out of the storage, or tells why there is none, unless it has to wait.
func (s *Session) take(name []byte) (run *storage.Run, status wire.PopStatus, done bool) {
	if !names.ValidChannel(name) {
		return nil, wire.PopError, true
	}
	c, err := s.open(name)
	if err == nil {
		run, err = c.Pop(false)
	}
	switch {
	case s.mustWait(err):
		return nil, 0, false
	case errors.Is(err, request.ErrQueues): // so it would be if it was made
		return nil, wire.PopEmpty, true
	case errors.Is(err, storage.ErrSubscribed):
		return nil, wire.PopSubscribed, true
	case err != nil:
		s.failed(wire.CodePop, err)
		return nil, wire.PopError, true
	case run == nil:
		return nil, wire.PopEmpty, true
	}
	return run, wire.Popped, true
}
