package client

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// record is a record of a producer until it is stored or given up. It belongs to whoever
// works on it: the pushing goroutine, a connection, the list of parked records.
type record struct {
	call
	producer *producer
	frame    []byte // the message, but for the request id
	size     int    // as the producer counts it
	group    *core.Group

	node      string        // where it was sent
	tried     core.Failures // nodes that were asked in vain
	exhausted bool          // which were all: asking begins anew
	last      core.Failures // of the round before
	uncertain error         // the first outcome that may have been a success
	began     time.Time     // when it failed everywhere for the first time, or was pushed while all did
	notBefore time.Time     // when to ask anew
}

var records = sync.Pool{New: func() any {
	r := new(record)
	r.owner, r.code = r, wire.CodePush
	return r
}}

func newRecord(p *producer) *record {
	r := records.Get().(*record)
	r.producer = p
	return r
}

// release returns r for reuse.
func (r *record) release() {
	frame := r.frame
	if cap(frame) > readSize {
		frame = nil
	}
	*r = record{call: call{owner: r, code: wire.CodePush}, frame: frame}
	records.Put(r)
}

// finished implements owner.
func (r *record) finished() {
	p := r.producer
	if r.err == nil {
		p.settle(r, nil)
		return
	}
	r.tried = append(r.tried, core.Failure{Node: r.node, Err: r.err})
	uncertain := errors.Is(r.err, ErrUncertain)
	if uncertain && r.uncertain == nil {
		r.uncertain = r.err
	}
	if p.Over() || uncertain && p.client.cluster.Options.AtMostOnce {
		p.settle(r, r.outcome())
		return
	}
	p.advance(r)
}

// outcome returns the error of a record that is given up.
func (r *record) outcome() error {
	channels, _ := r.content()
	tried := r.tried
	if len(tried) == 0 {
		tried = r.last
	}
	e := core.FailAt("Push", channels, tried)
	if len(tried) == 0 {
		e.Err = r.producer.Why()
	}
	if r.uncertain != nil && !errors.Is(e, ErrUncertain) {
		e.Err = fmt.Errorf("%w; before: %w", e.Err, r.uncertain)
	}
	return e
}

// abandoned returns the error of a record that is given up because the producer ends.
func (r *record) abandoned() error {
	channels, _ := r.content()
	e := core.Fail("Push", channels, ErrClosed)
	if r.uncertain != nil {
		e.Err = fmt.Errorf("%w; before: %w", ErrClosed, r.uncertain)
	}
	return e
}

// content decodes the message.
func (r *record) content() (channels []string, value []byte) {
	_, _, fields, _ := wire.ParseStart(r.frame[wire.FramePrefixSize:]) // was encoded here
	push, _ := wire.ParsePush(fields)
	for name := range push.Channels.All {
		channels = append(channels, string(name))
	}
	return channels, push.Value
}
