package client

import (
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// input gathers what is read from a node until messages are complete. Its buffer grows with
// what has arrived, not with what was announced.
type input struct {
	maxBody uint64 // the largest message accepted
	buffer  []byte
	used    int // bytes of buffer that are handled
	end     int // bytes of buffer that are there
}

// space returns where to read to; it is never empty.
func (in *input) space() []byte {
	rest := in.end - in.used
	switch {
	case rest == 0 && (in.buffer == nil || len(in.buffer) > keep):
		in.buffer = make([]byte, readSize)
	case rest == len(in.buffer):
		larger := make([]byte, 2*len(in.buffer))
		copy(larger, in.buffer)
		in.buffer = larger
	case in.used > 0:
		copy(in.buffer, in.buffer[in.used:in.end])
	}
	in.used, in.end = 0, rest
	return in.buffer[rest:]
}

// filled tells that n bytes are read to the beginning of space.
func (in *input) filled(n int) { in.end += n }

// next returns the next message; ok is false if it is not complete. The payload is valid
// until space is called.
func (in *input) next() (id uint64, payload []byte, ok bool, err error) {
	id, payload, size, err := wire.Next(in.buffer[in.used:in.end], in.maxBody)
	if err != nil || size > in.end-in.used {
		return 0, nil, false, err
	}
	in.used += size
	return id, payload, true, nil
}
