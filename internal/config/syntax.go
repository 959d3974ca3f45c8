package config

import (
	"fmt"
	"strings"
)

// entries are the values of a file: section, key, value. Keys without a value are absent,
// and so are sections without keys.
type entries map[string]map[string]entry

// entry is a value and where it comes from: a line of the file, or "option -O".
type entry struct {
	value  string
	origin string
}

func (e entries) set(section, key string, value entry) {
	if e[section] == nil {
		e[section] = map[string]entry{}
	}
	e[section][key] = value
}

func (e entries) remove(section, key string) {
	delete(e[section], key)
	if len(e[section]) == 0 {
		delete(e, section)
	}
}

// parse reads the text of a configuration file (operations spec §2.1). No text is a syntax error;
// what is likely to be a mistake is a warning. Keys without a value are not among the entries, but
// apart: where they are.
//
// It is not done by an INI library, because none knows the original's continuation lines: any line
// without "=" belongs to the value before. A library could only read what was parsed and escaped
// here before, and would not say on which line a value is.
func parse(text, path string) (file entries, blank map[place]string, warnings []string) {
	p := parser{path: path, entries: entries{}, blank: map[place]string{}, sections: map[string]int{}}
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		p.line++
		p.read(trim(line))
	}
	p.finish()
	return p.entries, p.blank, p.warnings
}

// parser is what parse remembers between lines.
type parser struct {
	path     string
	entries  entries
	blank    map[place]string
	warnings []string

	line     int
	section  string
	sections map[string]int // the line at which each one was last opened

	key   string
	value []string
	keyAt int // the line of the key, or of its value if it has none
}

func (p *parser) read(line string) {
	before, after, isKey := strings.Cut(line, "=")
	switch {
	case line == "" || isComment(line):
	case line[0] == '[':
		p.finish()
		name, _, _ := strings.Cut(line[1:], "]")
		p.open(canonical(trim(name)))
	case isKey:
		p.finish()
		p.key, p.keyAt = trim(before), p.line
		p.add(trim(after))
	default:
		if p.key == "" && len(p.value) == 0 {
			p.keyAt = p.line
		}
		p.add(line)
	}
}

// open begins a section.
func (p *parser) open(section string) {
	if before := p.sections[section]; before > 0 {
		p.warn(p.line, "section [%s] is there a second time, after that of line %d: the keys of both count", section, before)
	}
	p.section, p.sections[section] = section, p.line
}

// add adds a line to the value of the key.
func (p *parser) add(line string) {
	if line != "" {
		p.value = append(p.value, line)
	}
}

// finish ends the value of the key.
func (p *parser) finish() {
	switch {
	case len(p.value) == 0:
		p.blank[place{p.section, p.key}] = p.at(p.keyAt)
	case p.key == "":
		p.warn(p.keyAt, "%q belongs to no key and is ignored", p.value[0])
	case p.section == "":
		p.warn(p.keyAt, "key %s is in no section and is ignored", p.key)
	default:
		if before, found := p.entries[p.section][p.key]; found {
			p.warn(p.keyAt, "key %s.%s is there a second time: %q counts, and no longer that of %s, %q",
				p.section, p.key, p.joined(), before.origin, before.value)
		}
		p.entries.set(p.section, p.key, entry{p.joined(), p.at(p.keyAt)})
	}
	p.key, p.value = "", nil
}

func (p *parser) joined() string { return strings.Join(p.value, "\n") }

func (p *parser) at(line int) string { return fmt.Sprintf("%s, line %d", p.path, line) }

func (p *parser) warn(line int, format string, args ...any) {
	p.warnings = append(p.warnings, p.at(line)+": "+fmt.Sprintf(format, args...))
}

func isComment(line string) bool {
	return line[0] == '#' || line[0] == ';' || strings.HasPrefix(line, "//")
}

// canonical spells the root logger's section one way: its name is the only one in which letter
// case does not matter (operations spec §2.6).
func canonical(section string) string {
	if strings.EqualFold(section, rootSection) && strings.HasPrefix(section, loggerPrefix) {
		return rootSection
	}
	return section
}

// trim removes ASCII white space, as the original does; strings.TrimSpace removes more.
func trim(s string) string { return strings.Trim(s, " \t\n\v\f\r") }
