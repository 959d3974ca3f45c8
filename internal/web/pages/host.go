package pages

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// MayAnswer tells whether a request for that host, a name or an address with or without port, may
// be answered. There are names that are right besides; "*" is any. Addresses, localhost and the name of the machine are right. Any other name may be
// one that its owner has made point here, so that the browser of somebody who can reach the node
// takes the node for his server and lets his pages read what it answers (DNS rebinding).
func MayAnswer(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if _, err := netip.ParseAddr(host); err == nil || host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	if machine, err := os.Hostname(); err == nil && strings.EqualFold(host, machine) {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool { return name == "*" || strings.EqualFold(host, name) })
}

// FromHere tells whether a request comes from the same machine.
func FromHere(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}
