//go:build linux

package vectors

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"syscall"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
)

const (
	// endTime is how long the runner waits at the end of a vector for bytes that
	// should not be there.
	endTime = 50 * time.Millisecond
	// splitPause lies between two sends on one connection without an answer between
	// them, so that the node can see them one by one. Nothing depends on it.
	splitPause = 50 * time.Microsecond
	// answerHead is how many bytes are a status and the length of an array.
	answerHead = 12
)

// Run plays the vector against the node at the address. The error names the step that
// went wrong, what the node sent and what it should have sent. For a NONE nothing must arrive for
// that time; it is also what the node has for records of a Produce, which it does not answer.
func Run(v Vector, address string, none time.Duration) error {
	r := runner{vector: v, address: address, none: none, conns: map[int]*legacyclient.Conn{}}
	defer r.close()
	for i := range v.Steps {
		if err := r.step(i); err != nil {
			return fmt.Errorf("%s %s, %v: %w", v.ID, v.Name, v.Steps[i], err)
		}
	}
	if err := r.checkEnd(); err != nil {
		return fmt.Errorf("%s %s, at the end: %w", v.ID, v.Name, err)
	}
	return nil
}

type runner struct {
	vector  Vector
	address string
	none    time.Duration
	conns   map[int]*legacyclient.Conn // not those that are closed
}

func (r *runner) step(i int) error {
	step := r.vector.Steps[i]
	conn, err := r.conn(step.Conn)
	if err != nil {
		return err
	}
	switch step.Action {
	case Send:
		if i > 0 && r.vector.Steps[i-1].Action == Send {
			time.Sleep(splitPause)
		}
		return r.send(conn, i)
	case Expect:
		return expect(conn, step.Data)
	case ExpectNone:
		return conn.Silence(r.none)
	case ExpectEOF:
		if _, err := conn.End(); err != nil {
			return err
		}
		return r.drop(step.Conn)
	case Finish:
		return conn.CloseWrite()
	default:
		return r.closeConn(step.Conn)
	}
}

// conn returns a connection, opened at its first use.
func (r *runner) conn(number int) (*legacyclient.Conn, error) {
	if r.conns[number] == nil {
		conn, err := legacyclient.Dial(r.address)
		if err != nil {
			return nil, err
		}
		r.conns[number] = conn
	}
	return r.conns[number], nil
}

// closeConn closes the client's side and waits until the node has done the same: it has
// then handled everything it got on this connection, and the vector can go on on others.
func (r *runner) closeConn(number int) error {
	if err := r.conns[number].CloseWrite(); err != nil {
		return err
	}
	if _, err := r.conns[number].End(); err != nil {
		return err
	}
	return r.drop(number)
}

func (r *runner) drop(number int) error {
	conn := r.conns[number]
	delete(r.conns, number)
	return conn.Close()
}

// send sends the bytes of step i. A node that is to close the connection may do so
// before it has got all of them.
func (r *runner) send(conn *legacyclient.Conn, i int) error {
	err := conn.Send(r.vector.Steps[i].Data)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		for _, later := range r.vector.Steps[i:] {
			if later.Conn == r.vector.Steps[i].Conn && later.Action == ExpectEOF {
				return nil
			}
		}
	}
	return err
}

// expect reads what must come. Of another answer there may be less: so its first bytes are compared
// one by one.
func expect(conn *legacyclient.Conn, want []byte) error {
	got := make([]byte, len(want))
	n, err := 0, error(nil)
	for n < len(want) && err == nil && bytes.Equal(got[:n], want[:n]) {
		next := n + 1
		if next > answerHead {
			next = len(want)
		}
		var more int
		more, err = conn.ReceiveSome(got[n:next])
		n += more
	}
	got = got[:n]
	if err == nil && bytes.Equal(got, want) {
		return nil
	}
	at := 0
	for at < n && got[at] == want[at] {
		at++
	}
	if at < n {
		return fmt.Errorf("got %s, want %s, different from byte %d on", abbreviated(got), abbreviated(want), at)
	}
	return fmt.Errorf("got %s, want %s: %w", abbreviated(got), abbreviated(want), err)
}

// checkEnd verifies that the connections are open and have no unread bytes.
func (r *runner) checkEnd() error {
	numbers := make([]int, 0, len(r.conns))
	for number := range r.conns {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	for _, number := range numbers {
		if err := r.conns[number].Silence(endTime); err != nil {
			return fmt.Errorf("connection %d: %w", number, err)
		}
	}
	return nil
}

func (r *runner) close() {
	for _, conn := range r.conns {
		conn.Close()
	}
}
