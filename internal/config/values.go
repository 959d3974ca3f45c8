package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// key is one key of a section: which values it takes and where they go. The variable it fills
// holds the default before.
type key struct {
	name     string
	required bool
	neededBy string // another key of the section, which makes this one required
	allowed  string // what may be written, for error messages
	words    bool   // any text may be: what looks like quotes or a comment is worth a warning
	blank    bool   // the default is no value, too
	guards   bool   // says who may come in: no value must not mean the default
	set      func(at place, value string) error
}

// place names a key in messages, in the words of operations spec §2.3.
type place struct{ section, key string }

func (p place) wrongType(name string) error {
	return fmt.Errorf("Critical Error: Configuration key '%s:%s' appears not to be of type '%s'", p.section, p.key, name)
}

func (p place) tooSmall(low int64) error {
	return fmt.Errorf("Configuration key %s.%s is smaller than allowed minimum of %d", p.section, p.key, low)
}

func (p place) tooBig(high uint64) error {
	return fmt.Errorf("Configuration key %s.%s is bigger than allowed maximum of %d", p.section, p.key, high)
}

// oneLine refuses control characters. A newline is there if a line without "=" follows, which
// belongs to the value: a key whose "=" was forgotten would give a data directory a new name.
func (p place) oneLine(value string) error {
	line, next, more := strings.Cut(value, "\n")
	switch {
	case more:
		return fmt.Errorf("Configuration key %s.%s has a value of several lines: %q has no '=' and continues %q", p.section, p.key, next, line)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("Configuration key %s.%s has a control character in its value", p.section, p.key)
	}
	return nil
}

func (k key) mandatory() key {
	k.required = true
	return k
}

// mandatoryWith makes the key required if the other one is there.
func (k key) mandatoryWith(other string) key {
	k.neededBy = other
	return k
}

// text takes any value of one line.
func text(name string, to *string) key {
	return key{name: name, words: true, blank: *to == "", allowed: "any text of one line", set: func(at place, value string) error {
		if err := at.oneLine(value); err != nil {
			return err
		}
		*to = value
		return nil
	}}
}

// boolean takes the words of operations spec §2.2, in lower case.
func boolean(name string, to *bool) key {
	return key{name: name, allowed: "true enabled on yes 1, false disabled off no 0", set: func(at place, value string) error {
		switch value {
		case "true", "enabled", "on", "yes", "1":
			*to = true
		case "false", "disabled", "off", "no", "0":
			*to = false
		default:
			return at.wrongType("bool")
		}
		return nil
	}}
}

// integer is the type and the limits of a number. Outside its type a value is of the wrong type;
// inside, but outside the limits, it is too small or too big.
type integer struct {
	name     string // of the D type, as the original's messages print it
	typeLow  int64
	typeHigh uint64
	low      int64
	high     uint64
}

var (
	anyUshort = integer{"ushort", 0, math.MaxUint16, 0, math.MaxUint16}
	anyUint   = integer{"uint", 0, math.MaxUint32, 0, math.MaxUint32}
	anyUlong  = integer{"ulong", 0, math.MaxUint64, 0, math.MaxUint64}
	anyInt    = integer{"int", math.MinInt32, math.MaxInt32, math.MinInt32, math.MaxInt32}
)

func (i integer) from(low int64) integer {
	i.low = low
	return i
}

func (i integer) to(high uint64) integer {
	i.high = high
	return i
}

// parse returns the value, or its two's complement if it is negative.
func (i integer) parse(at place, value string) (uint64, error) {
	digits := strings.TrimLeft(value, " \t+-")
	signs := value[:len(value)-len(digits)]
	negative := strings.LastIndexByte(signs, '-') > strings.LastIndexByte(signs, '+')

	base := 10
	if len(digits) > 1 && digits[0] == '0' {
		switch digits[1] {
		case 'x', 'X':
			base = 16
		case 'o', 'O':
			base = 8
		case 'b', 'B':
			base = 2
		}
	}
	if base != 10 {
		digits = digits[2:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	switch {
	case err != nil, negative && n > uint64(-i.typeLow), !negative && n > i.typeHigh:
		return 0, at.wrongType(i.name)
	case negative && -int64(n) < i.low, !negative && i.low > 0 && n < uint64(i.low):
		return 0, at.tooSmall(i.low)
	case !negative && n > i.high:
		return 0, at.tooBig(i.high)
	case negative:
		return -n, nil
	}
	return n, nil
}

// number takes an integer with the radix prefixes of operations spec §2.2.
func number[T int | uint16 | uint32 | uint64](name string, to *T, of integer) key {
	return key{name: name, allowed: fmt.Sprintf("%s, %d to %d", of.name, of.low, of.high), set: func(at place, value string) error {
		n, err := of.parse(at, value)
		if err == nil {
			*to = T(n)
		}
		return err
	}}
}

// period takes a number of units. The limits of the integer must keep it inside time.Duration.
func period(name string, to *time.Duration, unit time.Duration, of integer) key {
	var n uint64
	k := number(name, &n, of)
	set := k.set
	k.set = func(at place, value string) error {
		err := set(at, value)
		if err == nil {
			*to = time.Duration(n) * unit
		}
		return err
	}
	return k
}

// address takes a dotted IPv4 literal.
func address(name string, to *string) key {
	return key{name: name, allowed: "dotted IPv4 literal, for example 127.0.0.1; 0.0.0.0 = all addresses", set: func(_ place, value string) error {
		if ip, err := netip.ParseAddr(value); err != nil || !ip.Is4() {
			return fmt.Errorf("Node listener IP address invalid")
		}
		*to = value
		return nil
	}}
}

// failedChannel takes the name of failed channels.
func failedChannel(name string, to *names.FailedChannel) key {
	return key{name: name, allowed: "channel name, in which {channel} stands for another one", set: func(at place, value string) error {
		*to = names.FailedChannel(value)
		if err := to.Check(); err != nil {
			return fmt.Errorf("Configuration key %s.%s: %w", at.section, at.key, err)
		}
		return nil
	}}
}

// words takes a list, separated by commas.
func words(name string, to *[]string) key {
	return key{name: name, blank: len(*to) == 0, allowed: "names, separated by commas", set: func(_ place, value string) error {
		*to = split(value)
		return nil
	}}
}

// networks takes a list of IPv4 addresses and networks.
func networks(name string, to *[]netip.Prefix) key {
	return key{name: name, guards: true, allowed: "IPv4 addresses and networks, separated by commas, for example 10.0.0.0/8, 192.168.1.7", set: func(at place, value string) error {
		*to = nil
		for _, word := range split(value) {
			if !strings.Contains(word, "/") {
				word += "/32"
			}
			network, err := netip.ParsePrefix(word)
			if err != nil || !network.Addr().Is4() {
				return fmt.Errorf("Configuration key %s.%s has something else than IPv4 addresses and networks", at.section, at.key)
			}
			*to = append(*to, network.Masked())
		}
		if len(*to) == 0 {
			return fmt.Errorf("Configuration key %s.%s has no address", at.section, at.key)
		}
		return nil
	}}
}

// split cuts a list at its commas. Empty elements are dropped.
func split(list string) (elements []string) {
	for element := range strings.SplitSeq(list, ",") {
		if element = strings.TrimSpace(element); element != "" {
			elements = append(elements, element)
		}
	}
	return elements
}

// maxSocketPath is the longest path that fits into a UNIX socket address, in bytes.
const maxSocketPath = 107

// socketPath takes the path of a UNIX socket.
func socketPath(name string, to *string) key {
	return key{name: name, words: true, blank: *to == "", allowed: fmt.Sprintf("at most %d bytes", maxSocketPath), set: func(at place, value string) error {
		if err := at.oneLine(value); err != nil {
			return err
		}
		if len(value) > maxSocketPath {
			return fmt.Errorf("Unix socket path too long: %s", value)
		}
		*to = value
		return nil
	}}
}

// permissions takes octal digits.
func permissions(name string, to *uint32) key {
	return key{name: name, blank: *to == 0, allowed: "octal digits, 0 to 7777", set: func(_ place, value string) error {
		mode, err := strconv.ParseUint(value, 8, 12)
		if err != nil {
			return fmt.Errorf("Invalid mode for UnixSocket")
		}
		*to = uint32(mode)
		return nil
	}}
}

// choice takes one of some names: the first stands for 0, the next one for 1, and so on. what is
// a word for the thing they name, for the error.
func choice[T ~int](name string, to *T, what string, values ...string) key {
	return key{name: name, allowed: strings.Join(values, ", "), set: func(at place, value string) error {
		i := slices.Index(values, value)
		if i < 0 {
			return fmt.Errorf("Configuration key %s.%s names no %s", at.section, at.key, what)
		}
		*to = T(i)
		return nil
	}}
}
