package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is not over after a second is told.
func TestWaitingTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		tool := &tool{stderr: &said}
		over := tool.waiting("for %s", "one")
		time.Sleep(unusual - 1)
		over()
		defer tool.waiting("for %s", "two")()
		time.Sleep(unusual + 1)
		synctest.Wait()
		if want := "dmq: waiting for two\n"; said.String() != want {
			t.Errorf("got %q, want %q", said.String(), want)
		}
	})
}

// However produce ends, it says what is stored.
func TestProduceTellsWhatIsStored(t *testing.T) {
	playNode(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231 0200000000000000 7232
		1> 0000000000000000 08000000
		1<EOF`)
	got := dmq(t.Context(), strings.NewReader("r1\nr2\n"), "produce", "p1", "--json")
	check(t, got, 5, `{"stored":0,"unconfirmed":2}`+"\n", "outcome uncertain")
}
