package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// ReadError says that the configuration file could not be opened or read. The node then exits
// with its own status (operations spec §1.3).
type ReadError struct {
	Path string
	Err  error
}

func (e *ReadError) Unwrap() error { return e.Err }

func (e *ReadError) Error() string {
	reason := e.Err.Error()
	var p *fs.PathError
	if errors.As(e.Err, &p) {
		cause := p.Err.Error()
		reason = fmt.Sprintf("%s: %s on %s", p.Op, strings.ToUpper(cause[:1])+cause[1:], p.Path)
	}
	return fmt.Sprintf("Error reading config file '%s': %s", e.Path, reason)
}

// Load reads the file, applies the overrides (each "SECTION.KEY = VALUE", operations spec §1.4) and checks every
// value. The first problem is the error: a *ReadError if the file cannot be opened or read, else
// one that starts with the text of operations spec §2.3 and goes on with file, section, key, value and what is
// allowed. With loose, unknown keys of checked sections are only warnings.
//
// The warnings, a line each, are what the original takes without a word and is likely to be a
// mistake: sections and keys that nobody knows, or that are there twice, and the like.
func Load(path string, overrides []string, loose bool) (c *Config, warnings []string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, &ReadError{path, err}
	}
	l := loader{path: path, loose: loose}
	l.file, l.blank, l.warnings = parse(string(content), path)
	for _, assignment := range overrides {
		if err := l.override(assignment); err != nil {
			return nil, l.warnings, err
		}
	}
	c, err = l.interpret()
	return c, l.warnings, err
}

// loader turns the entries of a file into a Config.
type loader struct {
	path     string
	file     entries
	blank    map[place]string // keys of the file without a value, and where they are
	loose    bool
	warnings []string
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// override applies one assignment. Unlike the original it can add a key that the file lacks, but
// only one that the node knows: an override is never ignored silently.
func (l *loader) override(assignment string) error {
	o, err := ParseOverride(assignment)
	if err != nil {
		return err
	}
	at := place{o.Section, o.Key}
	if _, present := l.file[o.Section][o.Key]; !present && !freeKeys(o.Section) {
		s, found := sectionNamed(o.Section)
		switch {
		case !found:
			return l.unknown(at, entry{o.Value, overrideOrigin}, "the sections of the node: "+strings.Join(sectionNames(), ", "))
		case !s.knows(o.Key):
			return l.unknown(at, entry{o.Value, overrideOrigin}, strings.Join(s.keyNames(), ", "))
		}
	}
	if o.Value == "" {
		l.file.remove(o.Section, o.Key)
	} else {
		l.file.set(o.Section, o.Key, entry{o.Value, overrideOrigin})
	}
	return nil
}

// overrideOrigin is the origin of values that overrides set.
const overrideOrigin = "option -O"

// sectionNamed is the section with the keys that the node knows.
func sectionNamed(name string) (s section, found bool) {
	if strings.HasPrefix(name, loggerPrefix) {
		return section{keys: loggerKeys(&Logger{})}, true
	}
	for _, s := range sections(&Config{}) {
		if s.name == name {
			return s, true
		}
	}
	return section{}, false
}

func sectionNames() (names []string) {
	for _, s := range sections(&Config{}) {
		names = append(names, s.name)
	}
	return append(names, channelSizeSection, queueBytesSection, loggerPrefix+"NAME")
}

// interpret fills a Config from the entries and checks what concerns more than one key.
func (l *loader) interpret() (*Config, error) {
	c := defaults()
	l.warnOfSections()
	for _, name := range loggerSections(l.file) {
		if name == loggerPrefix {
			return nil, fmt.Errorf("Invalid section [%s] (%s): the logger name is missing", name, l.path)
		}
		logger := newLogger(name, l.file[name])
		if err := l.fill(section{name, true, loggerKeys(&logger)}); err != nil {
			return nil, err
		}
		c.Log.Loggers = append(c.Log.Loggers, logger)
	}
	for _, s := range sections(c) {
		if err := l.fill(s); err != nil {
			return nil, err
		}
	}
	if c.Stats.DefaultType == "" {
		c.Stats.DefaultType = c.Stats.AppName + "_stats"
	}
	c.ChannelSize.Default, c.QueueBytes.Default = c.Server.ChannelSizeLimit, c.Limits.QueueBytes
	if err := l.fillByPrefix(channelSizeSection, &c.ChannelSize, anyUlong.to(maxRing), "Channel size"); err != nil {
		return nil, err
	}
	if err := l.fillByPrefix(queueBytesSection, &c.QueueBytes, anyUlong, "Queue bytes"); err != nil {
		return nil, err
	}
	if err := l.checkPlaces(c); err != nil {
		return nil, err
	}
	return c, nil
}

// warnOfSections warns of sections that the node does not know.
func (l *loader) warnOfSections() {
	for _, name := range slices.Sorted(maps.Keys(l.file)) {
		if _, found := sectionNamed(name); !found && !freeKeys(name) {
			l.warn("%s: section [%s] is not one of the node, its keys are ignored%s", l.path, name, suggestion(name, sectionNames()))
		}
	}
}

// checkPlaces checks that no two things of the node want the same place, and that what needs a file, or a disk, has one.
func (l *loader) checkPlaces(c *Config) error {
	if c.Server.Port == c.Server.NeoPort && c.Server.Port != 0 {
		return fmt.Errorf("Server.port and Server.neoport are both %d: each protocol needs a port of its own (%s)", c.Server.Port, l.path)
	}
	if port := int(c.Server.Port); port == c.HTTP.Port && port != 0 || int(c.Server.NeoPort) == c.HTTP.Port && c.HTTP.Port != 0 {
		return fmt.Errorf("Http.port is %d, the port of clients: the status page needs a port of its own (%s)", c.HTTP.Port, l.path)
	}
	if c.HTTP.Admin && c.HTTP.TokenFile == "" {
		return fmt.Errorf("Http.admin is true and Http.token_file is not set: whoever is to change things has to know the token in that file (%s)", l.path)
	}
	if c.Storage.Acknowledge == AcknowledgeSynced && c.Storage.Ring == RingMemory {
		return fmt.Errorf("Storage.acknowledge is synced and Storage.ring is memory: the records of such rings are never on the disk, so nothing could be acknowledged (%s)", l.path)
	}
	if c.UnixSocket.Path == c.Server.UnixSocketPath {
		return fmt.Errorf("Server.unix_socket_path and UNIX_SOCKET.path are both %s: each socket needs a path of its own (%s)", c.UnixSocket.Path, l.path)
	}
	return nil
}

// fill checks the names of all keys of the section, then reads the known ones in their order.
func (l *loader) fill(s section) error {
	keys := l.file[s.name]
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		at := place{s.name, name}
		switch {
		case s.knows(name):
		case !s.checked:
			l.warn("%s: key %s.%s is not one of the node and is ignored%s", keys[name].origin, s.name, name, suggestion(name, s.keyNames()))
		default:
			if err := l.unknown(at, keys[name], strings.Join(s.keyNames(), ", ")+suggestion(name, s.keyNames())); err != nil {
				return err
			}
		}
	}
	for _, k := range s.keys {
		at := place{s.name, k.name}
		value, present := keys[k.name]
		switch {
		case present:
			if err := k.set(at, value.value); err != nil {
				return l.explain(err, at, value, k.allowed)
			}
			if k.words && looksQuoted(value.value) {
				l.warn("%s: the value of %s.%s is %q, with all of that: there is no quoting, and a comment has a line of its own",
					value.origin, s.name, k.name, value.value)
			}
		case k.required || has(keys, k.neededBy):
			return fmt.Errorf("Mandatory variable %s.%s not set. (%s, section [%s]; add '%s = VALUE', allowed: %s)",
				s.name, k.name, l.path, s.name, k.name, k.allowed)
		case l.blank[at] == "" || k.blank:
		case k.guards:
			return fmt.Errorf("Configuration key %s.%s has no value: the default would let everybody in (%s; remove the key if that is right, allowed: %s)",
				s.name, k.name, l.blank[at], k.allowed)
		default:
			l.warn("%s: key %s.%s has no value, so its default counts", l.blank[at], s.name, k.name)
		}
	}
	return nil
}

func has(keys map[string]entry, name string) bool {
	_, found := keys[name]
	return found
}

// fillByPrefix reads a section with free keys.
func (l *loader) fillByPrefix(section string, bytes *ByPrefix, allowed integer, what string) error {
	bytes.Prefixes = map[string]uint64{}
	keys := l.file[section]
	for _, prefix := range slices.Sorted(maps.Keys(keys)) {
		var size uint64
		k := number(prefix, &size, allowed)
		at := place{section, prefix}
		if err := k.set(at, keys[prefix].value); err != nil {
			return l.explain(err, at, keys[prefix], k.allowed)
		}
		bytes.Prefixes[prefix] = size
	}
	if err := bytes.conflict(); err != nil {
		return fmt.Errorf("%s configuration: %w (%s, section [%s]; allowed: prefixes of which none is the beginning of another)", what, err, l.path, section)
	}
	return nil
}

// unknown reports a key that the node does not know: an error, or a warning in a loose reading.
func (l *loader) unknown(at place, value entry, allowed string) error {
	err := fmt.Errorf("Invalid configuration key %s.%s", at.section, at.key)
	if l.loose {
		l.warn("%v", err)
		return nil
	}
	return l.explain(err, at, value, allowed)
}

// explain adds to a problem where it is and what would be right.
func (l *loader) explain(problem error, at place, value entry, allowed string) error {
	return fmt.Errorf("%w (%s, section [%s], key %s, value %q; allowed: %s)",
		problem, value.origin, at.section, at.key, value.value, allowed)
}

// looksQuoted tells a value in which somebody takes quotes or a comment for something else than
// text.
func looksQuoted(value string) bool {
	for _, comment := range []string{" #", " ;", " //"} {
		if strings.Contains(value, comment) {
			return true
		}
	}
	first, last := value[0], value[len(value)-1]
	return len(value) > 1 && first == last && strings.IndexByte("\"'`", first) >= 0
}

// suggestion is a question for the name that somebody may have meant, or "".
func suggestion(name string, names []string) string {
	best, least := "", 3 // more mistakes than that are another word
	for _, candidate := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(candidate)); d < min(least, len(candidate)/2+1) {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}
