package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// The client that nodes started here know.
const clientName = "test"

var clientKey neo.Key // all zeros

// Offsets in a request frame, and the size of one whose payload is a byte (neo protocol spec
// §6).
const (
	bodyAt    = 1
	idAt      = neo.HeaderSize
	byteFrame = neo.FramePrefixSize + 1
)

// answers follows what a target answers to requests of one kind that are in flight
// together, with the ids from 1 up: to each the support status and one message that ends
// the request. The frames of different requests may come in any order (neo protocol spec §7.5).
type answers struct {
	support []byte   // frame, whatever its id
	ends    [][]byte // the frames that may end a request, whatever the id
	ended   []int64  // requests so far, by how they ended

	stages   []stage // by id
	inFlight int     // requests
}

// stage is what has to come next on an id.
type stage uint8

const (
	nothing stage = iota
	supportStatus
	ending
)

func newAnswersTo(depth int, ends ...[]byte) *answers {
	return &answers{
		support: neo.AppendSupport(nil, 0, neo.Supported),
		ends:    ends,
		ended:   make([]int64, len(ends)),
		stages:  make([]stage, depth+1),
	}
}

// sent tells that a request on each id is in flight.
func (a *answers) sent() {
	a.inFlight = len(a.stages) - 1
	for id := range a.inFlight {
		a.stages[id+1] = supportStatus
	}
}

// take checks the complete frames at the start of piece and returns how many bytes they
// have. Any frame that differs from the expected ones is an error.
func (a *answers) take(piece []byte) (taken int, err error) {
	for len(piece)-taken >= byteFrame {
		frame := piece[taken:]
		id := binary.LittleEndian.Uint64(frame[idAt:])
		if id >= uint64(len(a.stages)) || a.stages[id] == nothing {
			return 0, fmt.Errorf("% x on id %d, which is not in flight", frame[:byteFrame], id)
		}
		want := a.support
		if a.stages[id] == ending {
			how := a.how(frame)
			if want = a.ends[how]; len(want) > len(frame) && sameHeader(want, frame) {
				break
			}
			a.ended[how]++
			a.inFlight--
		}
		if !sameHeader(frame, want) || !bytes.Equal(frame[neo.FramePrefixSize:len(want)], want[neo.FramePrefixSize:]) {
			return 0, fmt.Errorf("% x on id %d, want % x", frame[:byteFrame], id, want[:byteFrame])
		}
		a.stages[id] = (a.stages[id] + 1) % (ending + 1)
		taken += len(want)
	}
	return taken, nil
}

// how tells from its header how a frame ends its request: the first way if it doesn't.
func (a *answers) how(frame []byte) int {
	return max(0, slices.IndexFunc(a.ends, func(end []byte) bool { return sameHeader(frame, end) }))
}

func sameHeader(a, b []byte) bool { return bytes.Equal(a[:neo.HeaderSize], b[:neo.HeaderSize]) }

// batchSize checks what precedes the records of a batch, [neo.RecordsPrefixSize] bytes,
// and returns how many bytes the records have.
func batchSize(prefix []byte, id uint64) (int, error) {
	size := binary.LittleEndian.Uint64(prefix[len(prefix)-lengthLen:])
	if size > 1<<30 || !bytes.Equal(prefix, neo.AppendRecordsPrefix(nil, id, int(size))) {
		return 0, fmt.Errorf("% x, want the beginning of Records on id %d", prefix, id)
	}
	return int(size), nil
}
