package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// unusual is after what time a person is told what is waited for.
const unusual = time.Second

// waiting tells what is waited for if that takes long. over is to be called at its end. Of
// records that no node takes the clients tell, which also know why.
func (t *tool) waiting(format string, args ...any) (over func()) {
	told := make(chan struct{})
	timer := time.AfterFunc(unusual, func() {
		defer close(told)
		t.say("waiting "+format, args...)
	})
	return sync.OnceFunc(func() {
		if !timer.Stop() {
			<-told // not in the middle of what is told next
		}
	})
}

// outlasting returns a context that ends some time after ctx, for what then has to be
// brought to an end. release is to be called at the end of that.
func (t *tool) outlasting(ctx context.Context) (longer context.Context, release context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		defer t.waiting("up to %v for the answers to what was sent; another Ctrl-C ends without them", t.timeout)()
		select {
		case <-longer.Done():
		case <-time.After(t.timeout):
			cancel(errNoEnd)
		}
	})
	return longer, func() { stop(); cancel(nil) }
}

var errNoEnd = errors.New("no answer in time after the interrupt")
