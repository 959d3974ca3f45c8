package listener

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// peers counts the connections of each address. The zero value has none. It is safe for
// concurrent use: connections are accepted on one loop and closed on any.
type peers struct {
	mu    sync.Mutex
	of    []netip.Addr // by descriptor
	count map[netip.Addr]int
}

// enter counts a connection, unless its address has as many as it may have; 0 = any number.
func (p *peers) enter(fd int, peer netip.Addr, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit > 0 && p.count[peer] >= limit {
		return false
	}
	if p.count == nil {
		p.count = make(map[netip.Addr]int)
	}
	for fd >= len(p.of) {
		p.of = append(p.of, netip.Addr{})
	}
	p.of[fd] = peer
	p.count[peer]++
	return true
}

// leave is to be called before the descriptor is closed, as it can be another's then.
func (p *peers) leave(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.of[fd]
	if p.count[peer]--; p.count[peer] == 0 {
		delete(p.count, peer)
	}
}

func addressOf(peer unix.Sockaddr) netip.Addr {
	if in4, ok := peer.(*unix.SockaddrInet4); ok {
		return netip.AddrFrom4(in4.Addr)
	}
	return netip.Addr{}
}
