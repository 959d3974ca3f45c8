package connpool

import (
	"strings"
	"testing"
)

// held makes the loop stand still, so that what is sent meanwhile is there all at once when release
// is called.
func (n *node) held() (release func()) {
	standing, goOn := make(chan struct{}), make(chan struct{})
	go n.do(func() {
		close(standing)
		<-goOn
	})
	<-standing
	return func() { close(goOn) }
}

// Many requests of one connection do not keep another one from its turn.
func TestOthersHaveTheirTurn(t *testing.T) {
	n := start(t, 1<<20)
	const many = 20_000
	greedy, modest := n.connect(false), n.connect(false)
	release := n.held()
	greedy.send(strings.Repeat("x\n", many))
	modest.send("y\n")
	before := 0
	modest.session.sent = func() { before = len(greedy.session.received) } // the loop stands still
	release()
	modest.expect("y\n")
	greedy.expect(strings.Repeat("x\n", many))
	n.do(func() {
		if before > 2*maxTurn {
			t.Errorf("%d of %d requests of another connection were served first, want about a turn of %d", before, many, maxTurn)
		}
		if n.pool.Events().PutOff == 0 {
			t.Error("no turn is counted as used up")
		}
	})
}

// Turns are short while there is somebody who wants little.
func TestTurnsAreShortBesideThoseWhoWantLittle(t *testing.T) {
	n := start(t, 1<<20)
	greedy, modest := n.connect(false), n.connect(false)
	n.do(func() {
		turn := func(p *peer) int {
			p.conn.StartTurn()
			return p.conn.Turn()
		}
		if turn(greedy) <= shortTurn {
			t.Errorf("a turn of %d, want a long one: nobody wants little", turn(greedy))
		}
		n.pool.loop.WantsLittle(modest.conn)
		if turn(greedy) != shortTurn || turn(modest) <= shortTurn {
			t.Errorf("turns of %d and %d for who wanted little, want %d and a long one", turn(greedy), turn(modest), shortTurn)
		}
	})
}

// However many connections have much to do, one with little is served soon.
func TestModestConnectionIsServedBetweenGreedyOnes(t *testing.T) {
	n := start(t, 1<<20)
	const connections, many = 40, 4_000
	var greedy []*peer
	for range connections {
		greedy = append(greedy, n.connect(false))
	}
	modest := n.connect(false)
	release := n.held()
	for _, p := range greedy {
		p.send(strings.Repeat("x\n", many))
	}
	release()
	n.until("the first requests", func() bool { return len(greedy[0].session.received) > 0 })
	served := func() (requests int) {
		for _, p := range greedy {
			requests += len(p.session.received)
		}
		return requests
	}
	before := 0
	n.do(func() { modest.session.sent = func() { before = served() } })
	modest.send("y\n")
	modest.expect("y\n")
	for _, p := range greedy {
		p.expect(strings.Repeat("x\n", many))
	}
	n.do(func() {
		if before == connections*many {
			t.Error("all requests of others were served first")
		}
	})
}

// A turn that ends with input left goes on even if the peer sends nothing more, and has closed.
func TestTurnGoesOnAfterTheEnd(t *testing.T) {
	n := start(t, 1<<20)
	const many = 10 * maxTurn
	p := n.connect(false)
	p.send(strings.Repeat("x\n", many))
	p.CloseWrite()
	p.expect(strings.Repeat("x\n", many))
	p.expectEnd()
}

// What is swallowed is not copied, however much it is, and ends where it should.
func TestMuchIsSwallowed(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	const much = 20 << 20
	p.send("swallow 20971520\n")
	block := strings.Repeat("z", 1<<20)
	for range much >> 20 {
		p.send(block)
	}
	p.expectEnd()
	if received := n.received(); received != uint64(much+len("swallow 20971520\n")) {
		t.Errorf("%d bytes received, want all %d", received, much)
	}
}
