package config

import (
	"net/url"
	"strings"

	"gopkg.in/ini.v1"
)

// entries are the values of a file: section, key, value. Keys without a value are absent,
// and so are sections without keys.
type entries map[string]map[string]entry

// entry is a value and where it comes from: the path of the file, or "option -O".
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

// parse reads the text of a configuration file (operations spec §2.1). No text is a syntax error.
//
// The INI library merges sections and lets the last value of a key win; everything in which the
// node's syntax differs from the library's is settled by normalise before.
func parse(text, origin string) (entries, error) {
	file, err := ini.LoadSources(ini.LoadOptions{KeyValueDelimiters: "="}, []byte(normalise(text)))
	if err != nil {
		return nil, err
	}
	e := entries{}
	for _, section := range file.Sections() {
		for key, value := range section.KeysHash() {
			e.set(unescape(section.Name()), unescape(key), entry{unescape(value), origin})
		}
	}
	return e, nil
}

// normalise rewrites text so that the INI library reads from it exactly what operations spec §2.1 says: for every
// key with a value one section line and one key line, all names and values escaped.
func normalise(text string) string {
	var out, value strings.Builder
	var section, key string
	finish := func() {
		if section != "" && key != "" && value.Len() > 0 {
			out.WriteString("[" + escape(section) + "]\n" + escape(key) + " = " + escape(value.String()) + "\n")
		}
		key = ""
		value.Reset()
	}
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\uFEFF"), "\n") {
		line = trim(line)
		before, after, isKey := strings.Cut(line, "=")
		switch {
		case line == "" || isComment(line):
		case line[0] == '[':
			finish()
			name, _, _ := strings.Cut(line[1:], "]")
			section = canonical(trim(name))
		case isKey:
			finish()
			key = trim(before)
			value.WriteString(trim(after))
		default: // continuation
			if value.Len() > 0 {
				value.WriteByte('\n')
			}
			value.WriteString(line)
		}
	}
	finish()
	return out.String()
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

// escape leaves only letters, digits and ". _ ~ % +", none of which means anything to the INI
// library. A dash does: it is the name of a numbered key.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "-", "%2D") }

// unescape undoes escape.
func unescape(s string) string {
	plain, _ := url.QueryUnescape(s) // what escape made is always well-formed
	return plain
}
