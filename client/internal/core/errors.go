package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// ErrNodeClosed says in words that the node has closed a connection.
var ErrNodeClosed = fmt.Errorf("the node has closed the connection: %w", io.ErrUnexpectedEOF)

// InWords returns ErrNodeClosed for an end of file, else err.
func InWords(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrNodeClosed
	}
	return err
}

// Failure is the outcome of a request at one node.
type Failure struct {
	Node string // address
	Err  error
}

// Failures are the outcomes of a request that has failed at one node after the other.
type Failures []Failure

func (f Failures) Error() string {
	texts := make([]string, len(f))
	for i := range f {
		texts[i] = fmt.Sprintf("%s: %v", f[i].Node, f[i].Err)
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.Is find every reason.
func (f Failures) Unwrap() []error {
	reasons := make([]error, len(f))
	for i := range f {
		reasons[i] = f[i].Err
	}
	return reasons
}

// Contain tells whether a request has failed at that node already.
func (f Failures) Contain(address string) bool {
	return slices.ContainsFunc(f, func(x Failure) bool { return x.Node == address })
}

// Without returns the failures that are not reason.
func (f Failures) Without(reason error) (kept Failures) {
	for _, failure := range f {
		if !errors.Is(failure.Err, reason) {
			kept = append(kept, failure)
		}
	}
	return kept
}

// Because returns cause, and why nodes have failed if any have.
func (f Failures) Because(cause error) error {
	if len(f) == 0 {
		return cause
	}
	return fmt.Errorf("%w; %w", cause, f)
}

// Join returns the names of channels as an Error has them.
func Join(channels []string) string {
	if len(channels) == 1 {
		return channels[0]
	}
	return strings.Join(channels, ",")
}

// Fail makes the error of a request that has to do with no node.
func Fail(request string, channels []string, err error) *dmq.Error {
	return &dmq.Error{Request: request, Channel: Join(channels), Err: err}
}

// FailAt makes the error of a request that has failed as f says. Without failures no node was
// connected.
func FailAt(request string, channels []string, f Failures) *dmq.Error {
	e := Fail(request, channels, f)
	switch len(f) {
	case 0:
		e.Err = dmq.ErrNotConnected
	case 1:
		e.Node, e.Err = f[0].Node, f[0].Err
	}
	return e
}

// Alike makes the error of a request whose outcome is the same at all nodes that were asked.
func Alike(request string, channels []string, asked Failures, err error) *dmq.Error {
	e := Fail(request, channels, err)
	if len(asked) == 1 {
		e.Node = asked[0].Node
	}
	return e
}

// CheckChannels finds a list of channels that no node accepts.
func CheckChannels(channels []string, limit int) error {
	switch {
	case len(channels) == 0:
		return dmq.ErrNoChannels
	case len(channels) > limit:
		return fmt.Errorf("%w: %d, allowed are %d", dmq.ErrTooManyChannels, len(channels), limit)
	}
	for _, channel := range channels {
		if !names.ValidChannel([]byte(channel)) {
			return fmt.Errorf("%w of a channel: %.300q, want 1 to %d of A-Z a-z 0-9 _ -", dmq.ErrBadName, channel, names.MaxChannel)
		}
	}
	return nil
}

// EndOf returns why ctx has ended, nil if it has not. A connection may see its deadline pass a
// moment earlier.
func EndOf(ctx context.Context) error {
	if ctx.Err() == nil {
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
	}
	return context.Cause(ctx)
}
