package web

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// allowsHost tells whether a request for that host, a name or an address with or without port, may
// be answered. Addresses, localhost and the name of the machine are right. Any other name may be
// one that its owner has made point here, so that the browser of somebody who can reach the node
// takes the node for his server and lets his pages read what it answers (DNS rebinding).
func (o Options) allowsHost(host string) bool {
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
	return slices.ContainsFunc(o.Hosts, func(name string) bool { return name == "*" || strings.EqualFold(host, name) })
}
