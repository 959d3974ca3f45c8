// Package nodes is what clients of either protocol need to know about the nodes of a DMQ:
// how addresses and files of them are written, which node is the next one to ask, and when
// to try again to connect to one that failed.
//
// It does no I/O but reading the file, and imports nothing of this module. Host names are
// not resolved here: that is done at every attempt to connect, so a node may move.
package nodes

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxHost is the length of the longest host name in bytes.
const maxHost = 253

// Load returns the nodes of a list of addresses and then those of a nodes file, each node
// once, in the form that [Parse] gives them. file may be empty: then there is no file.
// No nodes at all is an error.
func Load(addresses []string, file string) ([]string, error) {
	var all []string
	for _, address := range addresses {
		node, err := Parse(address)
		if err != nil {
			return nil, err
		}
		all = append(all, node)
	}
	if file != "" {
		more, err := ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil, errors.New("no nodes given")
	}
	return unique(all), nil
}

// ReadFile reads a nodes file, see [ParseFile].
func ReadFile(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	return ParseFile(file, content)
}

// ParseFile returns the nodes of a nodes file (legacy protocol spec §11.9): one address a line,
// # begins a comment, empty lines and white space around a line do not count, a repeated
// node is one node. The first fault is an error that tells file, the name of the file, and
// the line. A file without nodes is valid.
func ParseFile(file string, content []byte) ([]string, error) {
	var all []string
	line := 0
	for text := range strings.Lines(string(content)) {
		line++
		text, _, _ = strings.Cut(text, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		node, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, line, err)
		}
		all = append(all, node)
	}
	return unique(all), nil
}

// Parse checks an address, "host:port", and returns it without white space around the
// parts and leading zeros of the port. host is an IPv4 address, a name, or an IPv6 address
// in brackets; port is a decimal number from 1 to 65535.
func Parse(address string) (string, error) {
	host, port, err := net.SplitHostPort(strings.TrimSpace(address))
	if err != nil {
		return "", fmt.Errorf("node %q: want HOST:PORT", address)
	}
	if host, err = parseHost(strings.TrimSpace(host)); err != nil {
		return "", fmt.Errorf("node %q: %w", address, err)
	}
	number, err := parsePort(strings.TrimSpace(port))
	if err != nil {
		return "", fmt.Errorf("node %q: %w", address, err)
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

func parseHost(host string) (string, error) {
	switch {
	case host == "":
		return "", errors.New("no host")
	case len(host) > maxHost:
		return "", fmt.Errorf("host of %d bytes, the maximum is %d", len(host), maxHost)
	case strings.ContainsFunc(host, notOfHost):
		return "", errors.New("the host contains a character that no host name has")
	}
	return host, nil
}

// notOfHost finds what can't be a mistake in spelling, such as two addresses in one or a
// URL. Whether a host exists is found out when it is connected to.
func notOfHost(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`/,;@"'`, r)
}

func parsePort(port string) (int, error) {
	if port == "" {
		return 0, errors.New("no port")
	}
	if strings.ContainsFunc(port, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New("the port is not a decimal number")
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return 0, errors.New("the port is not from 1 to 65535")
	}
	return int(number), nil
}

// unique removes repetitions and keeps the order.
func unique(all []string) []string {
	kept := all[:0]
	for _, node := range all {
		if !slices.Contains(kept, node) {
			kept = append(kept, node)
		}
	}
	return kept
}
