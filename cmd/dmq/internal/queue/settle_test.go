package queue

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// settled runs settle on nodes whose states are letters, one round after the other: c
// connected, f failed, . not yet.
func settled(ctx context.Context, timeout time.Duration, rounds ...string) (asked int, logged string, err error) {
	var log bytes.Buffer
	options := Options{Timeout: timeout, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	err = settle(ctx, options, func() (states []dmq.NodeState) {
		round := rounds[min(asked, len(rounds)-1)]
		asked++
		for i, letter := range round {
			state := dmq.NodeState{Address: "node" + string('A'+rune(i))}
			if letter == 'c' {
				state.State = dmq.Connected
			}
			if letter == 'f' {
				state.Err = errors.New("away")
			}
			states = append(states, state)
		}
		return states
	})
	return asked, log.String(), err
}

func TestSettleWaitsForAllNodes(t *testing.T) {
	for _, tc := range []struct {
		rounds string
		asked  int
		logged string // a part of it; "" = nothing
		err    string // a part of it; "" = none
	}{
		{"ccc", 1, "", ""},
		{"... c.. cc. ccc", 4, "", ""},
		{".c fc", 2, "nodeA: away", ""},
		{".. .f ff", 3, "", "nodeA: away\nnodeB: away"},
		{"f", 1, "", "no node is connected: nodeA: away"},
	} {
		asked, logged, err := settled(t.Context(), time.Minute, strings.Fields(tc.rounds)...)
		if asked != tc.asked || !strings.Contains(logged, tc.logged) || (tc.logged == "") != (logged == "") {
			t.Errorf("%s: asked %d times, logged %q, want %d and %q", tc.rounds, asked, logged, tc.asked, tc.logged)
		}
		if (tc.err == "") != (err == nil) || err != nil && !(strings.Contains(err.Error(), tc.err) && errors.Is(err, ErrUnreached)) {
			t.Errorf("%s: got error %v, want %q", tc.rounds, err, tc.err)
		}
	}
}

func TestSettleGivesUp(t *testing.T) {
	if _, logged, err := settled(t.Context(), 10*time.Millisecond, "c."); err != nil || !strings.Contains(logged, "nodeB: no answer") {
		t.Errorf("one of two does not answer: got %v, logged %q", err, logged)
	}
	if _, _, err := settled(t.Context(), 10*time.Millisecond, ".."); !errors.Is(err, ErrUnreached) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("none answers: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := settled(ctx, time.Minute, "."); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
}
