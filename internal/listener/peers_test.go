package listener

import (
	"net/netip"
	"testing"
)

func TestPeers(t *testing.T) {
	var p peers
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for fd := range 3 {
		if !p.enter(10+fd, a, 3) {
			t.Fatalf("connection %d of 3 is refused", fd+1)
		}
	}
	if p.enter(13, a, 3) {
		t.Error("a fourth connection is let in")
	}
	if !p.enter(13, b, 3) {
		t.Error("a connection of another address is refused")
	}
	p.leave(11)
	if !p.enter(11, a, 3) {
		t.Error("a connection is refused although another one has ended")
	}
	if !p.enter(14, a, 0) {
		t.Error("a connection is refused without a limit")
	}
	for fd := range 5 {
		p.leave(10 + fd)
	}
	if len(p.count) != 0 {
		t.Errorf("counts of %d addresses are left without connections", len(p.count))
	}
}
