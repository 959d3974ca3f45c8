package connpool

import (
	"strings"
	"testing"
	"time"
)

// Large requests that do not fit the memory together are all served, one after the other.
func TestLargeRequestsGetTheirTurnWithLittleMemory(t *testing.T) {
	memory := NewMemory(1<<20, 0, time.Hour)
	n := startWith(t, 1<<20, memory)
	request := line(2 << 20)
	var peers []*peer
	done := make(chan struct{}, 8)
	for range cap(done) {
		p := n.connect(false)
		peers = append(peers, p)
		go func() {
			p.Write([]byte(request)) // a failure shows in the reply
			done <- struct{}{}
		}()
	}
	for _, p := range peers {
		p.expect(long(request))
	}
	for range peers {
		<-done
	}
	n.until("all memory to be free", func() bool { return memory.input.Load() == 0 && !memory.Short() && memory.favoured == nil })
}

// Small requests are served when the memory is used up.
func TestSmallRequestsNeedNoMemory(t *testing.T) {
	memory := NewMemory(64<<10, 0, time.Hour)
	n := startWith(t, 1<<20, memory)
	for range 5 {
		p := n.connect(false)
		go p.Write([]byte(strings.Repeat("unfinished", 30<<10))) // is not read to its end
	}
	n.until("the memory to be used up", memory.Short)
	small := n.connect(false)
	small.send("small\n")
	small.expect("small\n")
	small.send(strings.Repeat("s", 5000))
	small.send("\n")
	small.expect(long(strings.Repeat("s", 5000) + "\n"))
}

// Those who hold memory and add nothing to their requests are disconnected when others wait for it.
func TestUnfinishedRequestsAreReaped(t *testing.T) {
	memory := NewMemory(256<<10, 0, 200*time.Millisecond)
	n := startWith(t, 1<<20, memory)
	for range 5 {
		p := n.connect(false)
		go p.Write([]byte(strings.Repeat("x", 600<<10)))
	}
	n.until("the memory to be used up", memory.Short)
	p := n.connect(false)
	request := line(300 << 10)
	go p.Write([]byte(request))
	p.expect(long(request))
	n.do(func() {
		if n.reaped == 0 {
			t.Error("nobody was told of connections that were ended")
		}
		if got := n.pool.Events().Reaped; got != uint64(n.reaped) {
			t.Errorf("%d connections are counted as reaped, want %d", got, n.reaped)
		}
	})
}

// Without others that wait, nobody is disconnected however long his request takes.
func TestNobodyIsReapedWhileThereIsMemory(t *testing.T) {
	memory := NewMemory(1<<20, 0, time.Millisecond)
	n := startWith(t, 1<<20, memory)
	p := n.connect(false)
	p.send(strings.Repeat("x", 300<<10))
	n.until("the first part", func() bool { return n.received() == 300<<10 })
	n.do(n.pool.reap)
	p.send("\n")
	p.expect(long(strings.Repeat("x", 300<<10) + "\n"))
}

// Output that is not read counts for all connections, beyond a share that each may have.
func TestOutputOfAllConnectionsIsBounded(t *testing.T) {
	memory := NewMemory(0, 128<<10, time.Hour)
	n := startWith(t, 64<<20, memory)
	requests := strings.Repeat("0123456789abcdef0123456789abcde\n", 16<<10)
	for range 10 {
		p := n.connect(true)
		go p.Write([]byte(requests))
	}
	n.until("the output to be full", func() bool {
		full := 0
		for _, s := range n.sessions {
			if s.conn.OutputFull() {
				full++
			}
		}
		return full == 10
	})
	n.do(func() {
		if held := memory.output.Load(); held > 128<<10+10*64<<10 {
			t.Errorf("%d bytes of output are held, want about %d", held, 128<<10)
		}
	})
}

func TestIdleConnectionsAreClosedLongestFirst(t *testing.T) {
	n := start(t, 1<<20)
	first, second, pausing := n.connect(false), n.connect(false), n.connect(false)
	pausing.send("pause\n")
	pausing.expect("pause\n")
	n.do(func() {
		now := n.pool.loop.Now()
		first.conn.active = now.Add(-time.Minute)
		second.conn.active = now.Add(-time.Hour)
		pausing.conn.active = now.Add(-24 * time.Hour)
		if closed := n.pool.CloseIdle(2*time.Hour, 5); closed != 0 {
			t.Errorf("%d connections closed, want none that has not been idle for so long, and none that is consuming", closed)
		}
		if closed := n.pool.CloseIdle(time.Second, 1); closed != 1 {
			t.Errorf("%d connections closed, want 1", closed)
		}
	})
	second.expectEnd()
	first.send("alive\n")
	first.expect("alive\n")
}
