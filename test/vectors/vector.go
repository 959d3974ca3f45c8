// Package vectors reads and runs the test vectors of the legacy protocol.
//
// A vector is a dialogue between clients and a fresh node: bytes that the clients send
// and the bytes that the node has to answer with. The text format is described at the
// top of testdata/legacy.vectors. Parse reads it, Run plays a vector against a node;
// Joined and Split vary how the clients' bytes are cut into segments, which must not
// change what the node answers (legacy protocol spec §3.3).
package vectors

import (
	"fmt"
	"slices"
)

// Vector is one dialogue.
type Vector struct {
	ID       string // V01, O18
	Name     string
	GO, D    bool              // the marks [GO] and [D] of the specification
	Skip     string            // why the vector is not to be run, "" = it is
	Settings map[string]string // configuration the node needs, by SECTION.KEY
	Steps    []Step
}

// Step is one line of a vector.
type Step struct {
	Line   int // in the file, for messages
	Conn   int
	Action Action
	Data   []byte // of Send and Expect; read-only, vectors may share it
}

// Action is what happens in a step.
type Action int

// The actions, in the file's notation: n> bytes, n< bytes, n<NONE, n<EOF, n>FIN, n>CLOSE.
const (
	Send Action = iota
	Expect
	ExpectNone
	ExpectEOF
	Finish
	Close
)

func (s Step) String() string {
	notation := map[Action]string{Send: "> ", Expect: "< ", ExpectNone: "<NONE", ExpectEOF: "<EOF", Finish: ">FIN", Close: ">CLOSE"}
	return fmt.Sprintf("line %d: %d%s%s", s.Line, s.Conn, notation[s.Action], abbreviated(s.Data))
}

// abbreviated returns the bytes in hexadecimal, without the middle of a long slice.
func abbreviated(b []byte) string {
	const head, tail = 24, 8
	if len(b) <= head+tail {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%x…%x (%d bytes)", b[:head], b[len(b)-tail:], len(b))
}

// Waits reports whether there is a NONE in the vector.
func (v Vector) Waits() bool {
	return slices.ContainsFunc(v.Steps, func(s Step) bool { return s.Action == ExpectNone })
}

// Joined returns the vector with as few segments as possible: between two steps of
// another connection, everything a client sends goes out at once, before any answer is
// read. Since the node handles the requests of a connection strictly in order, the
// answers stay the same; only their timing changes, so a NONE that stood between two of
// these sends is left out.
func (v Vector) Joined() Vector {
	var joined []Step
	for start := 0; start < len(v.Steps); {
		end := start + 1
		for end < len(v.Steps) && v.Steps[end].Conn == v.Steps[start].Conn && !endsRun(v.Steps[end-1]) {
			end++
		}
		joined = append(joined, joinRun(v.Steps[start:end])...)
		start = end
	}
	v.Steps = joined
	return v
}

// endsRun tells whether nothing may be moved across the step: a client that has closed
// its side must have got the answers it waited for before.
func endsRun(s Step) bool { return s.Action == Finish || s.Action == Close }

// joinRun merges the steps of one connection: one Send, one Expect, then what is stated
// about the time after both.
func joinRun(run []Step) []Step {
	merged := map[Action]Step{}
	var rest []Step
	for _, step := range run {
		switch step.Action {
		case Send, Expect:
			all, found := merged[step.Action]
			if !found {
				all = Step{Line: step.Line, Conn: step.Conn, Action: step.Action}
			}
			all.Data = append(all.Data[:len(all.Data):len(all.Data)], step.Data...)
			merged[step.Action] = all
			rest = nil
		default:
			rest = append(rest, step)
		}
	}
	var steps []Step
	for _, action := range []Action{Send, Expect} {
		if step, found := merged[action]; found {
			steps = append(steps, step)
		}
	}
	return append(steps, rest...)
}

// Split returns the vector with its input cut into many segments: single bytes, or
// pieces of odd sizes where there are more than 4 KiB.
func (v Vector) Split() Vector {
	var split []Step
	for _, step := range v.Steps {
		if step.Action != Send {
			split = append(split, step)
			continue
		}
		for _, piece := range pieces(step.Data) {
			step.Data = piece
			split = append(split, step)
		}
	}
	v.Steps = split
	return v
}

// pieces cuts data. The sizes for long data cut across fields, and across buffers of
// any usual size.
func pieces(data []byte) [][]byte {
	sizes := []int{1}
	if len(data) > 4<<10 {
		sizes = []int{1, 3, 17, 4099, 65537, 7, 16383}
	}
	var cut [][]byte
	for i := 0; len(data) > 0; i++ {
		size := min(sizes[i%len(sizes)], len(data))
		cut = append(cut, data[:size])
		data = data[size:]
	}
	return cut
}
