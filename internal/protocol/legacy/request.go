package legacy

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Request is one request without the records of a stream. The slices point into the
// decoded bytes.
type Request struct {
	Command  Command
	Channel  []byte // Push, Pop, Consume, Produce, RemoveChannel
	Channels Names  // PushMulti, ProduceMulti
	Value    []byte // Push, PushMulti
}

// ErrCommand is an invalid request code. How much data belongs to it is unknown, so the
// connection cannot be used any further.
var ErrCommand = errors.New("invalid command")

// ErrNames is a list of channels beyond MaxNames or MaxNamesSize.
var ErrNames = fmt.Errorf("the list of channels has more than %d names or %d bytes", MaxNames, MaxNamesSize)

// TooLongError is an array that is longer than MaxArray.
type TooLongError struct {
	Command Command
	Length  uint64 // of the array; its bytes follow those that were decoded
}

func (e *TooLongError) Error() string {
	return fmt.Sprintf("%s: the input array is too long: %d bytes, at most %d are allowed", e.Command, e.Length, MaxArray)
}

// Decoder decodes requests from input that arrives piece by piece. It remembers how far
// it has looked into a long list, so that the pieces of one are not searched again.
// The zero value is ready to use.
type Decoder struct {
	listEnd int // bytes of the current request's list that are known to be complete
	names   int // in these
}

// Decode decodes the request at the start of b, which must start with the same bytes as
// in the previous call if that found the request incomplete.
//
// It returns the size of the request, or 0 if b does not hold all of it. An error means
// that the connection cannot be used any further: ErrCommand, ErrNames, or a
// *TooLongError, in which case n is where the bytes of that array start.
func (d *Decoder) Decode(b []byte, r *Request) (n int, err error) {
	if len(b) < CodeSize {
		return 0, nil
	}
	*r = Request{Command: Command(int32(binary.LittleEndian.Uint32(b)))}
	p := parser{b: b, at: CodeSize}
	switch r.Command {
	case Push:
		r.Channel = p.array()
		r.Value = p.array()
	case Pop, Consume, Produce, RemoveChannel:
		r.Channel = p.array()
	case GetNumConnections:
	case PushMulti:
		r.Channels = d.list(&p)
		r.Value = p.array()
	case ProduceMulti:
		r.Channels = d.list(&p)
	default:
		return 0, ErrCommand
	}
	switch {
	case p.err != nil:
		if long, ok := p.err.(*TooLongError); ok {
			long.Command = r.Command
		}
		return p.at, p.err
	case p.incomplete:
		return 0, nil
	}
	*d = Decoder{}
	return p.at, nil
}

// list decodes a list of names, going on where it stopped last time.
func (d *Decoder) list(p *parser) Names {
	start := p.at
	p.at += d.listEnd
	for p.ok() {
		before := p.at
		name := p.array()
		if !p.ok() {
			break
		}
		if len(name) == 0 {
			return Names{p.b[start:before]}
		}
		d.names++
		d.listEnd = p.at - start
		if d.names > MaxNames || d.listEnd > MaxNamesSize {
			p.err = ErrNames
		}
	}
	return Names{}
}

// parser reads arrays until one is missing or too long.
type parser struct {
	b          []byte
	at         int
	incomplete bool
	err        error
}

func (p *parser) ok() bool { return !p.incomplete && p.err == nil }

func (p *parser) array() []byte {
	if !p.ok() {
		return nil
	}
	if len(p.b)-p.at < LengthSize {
		p.incomplete = true
		return nil
	}
	length := binary.LittleEndian.Uint64(p.b[p.at:])
	if length > MaxArray {
		p.at += LengthSize
		p.err = &TooLongError{Length: length}
		return nil
	}
	start, end := p.at+LengthSize, p.at+LengthSize+int(length)
	if end > len(p.b) {
		p.incomplete = true
		return nil
	}
	p.at = end
	return p.b[start:end:end]
}

// Names is a list of channel names, without the empty array that closes it.
type Names struct{ encoded []byte }

// All yields the names in order.
func (n Names) All(yield func([]byte) bool) {
	for rest := n.encoded; len(rest) > 0; {
		end := LengthSize + int(binary.LittleEndian.Uint64(rest))
		if !yield(rest[LengthSize:end:end]) {
			return
		}
		rest = rest[end:]
	}
}

// At returns the name at a position and the position of the next one. The first is at 0; behind
// the last, name is nil.
func (n Names) At(position int) (name []byte, next int) {
	rest := n.encoded[position:]
	if len(rest) == 0 {
		return nil, position
	}
	end := LengthSize + int(binary.LittleEndian.Uint64(rest))
	return rest[LengthSize:end:end], position + end
}

// NamesIn returns a list that has been decoded before, and whose bytes are b now.
func NamesIn(b []byte) Names { return Names{b} }

// Len is the number of names.
func (n Names) Len() (count int) {
	for range n.All {
		count++
	}
	return count
}

// Size is how many bytes the list takes.
func (n Names) Size() int { return len(n.encoded) }

// Clone returns a list that does not point into the decoded bytes.
func (n Names) Clone() Names { return Names{append([]byte(nil), n.encoded...)} }
