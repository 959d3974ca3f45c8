package request

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Failures of one kind, however many, leave those of another one in the log.
func TestFailuresHideNoOthers(t *testing.T) {
	core, logged := observer.New(zapcore.ErrorLevel)
	f := NewFailures(zap.New(core))
	for range 100 {
		f.Log(ErrQueues, zap.String("client", "many"))
	}
	for _, err := range []error{&storage.BoundError{}, errors.New("something else")} {
		f.Log(err, zap.String("client", "one"))
		found := false
		for _, e := range logged.FilterField(zap.String("client", "one")).All() {
			found = found || strings.Contains(e.ContextMap()["error"].(string), err.Error())
		}
		if !found {
			t.Errorf("the log lacks %q: %v", err, logged.All())
		}
	}
	if n := logged.FilterField(zap.String("client", "many")).Len(); n >= 100 {
		t.Errorf("got %d lines of the same kind", n)
	}
}
