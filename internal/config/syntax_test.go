package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// values drops the origins of entries.
func values(e entries) map[string]map[string]string {
	plain := map[string]map[string]string{}
	for section, keys := range e {
		plain[section] = map[string]string{}
		for key, v := range keys {
			plain[section][key] = v.value
		}
	}
	return plain
}

func equal(a, b map[string]map[string]string) bool {
	return maps.EqualFunc(a, b, maps.Equal[map[string]string])
}

// The rules of operations spec §2.1.
func TestSyntax(t *testing.T) {
	type file = map[string]map[string]string
	one := func(value string) file { return file{"S": {"k": value}} }
	tests := []struct {
		rule, text string
		want       file
	}{
		{"empty file", "", file{}},
		{"key and value", "[S]\nk = v\n", one("v")},
		{"no final newline", "[S]\nk = v", one("v")},
		{"no blanks around =", "[S]\nk=v", one("v")},
		{"first = separates", "[S]\nk = a = b", one("a = b")},
		{"blanks inside names and values stay", "[S T]\nk l = v w", file{"S T": {"k l": "v w"}}},
		{"empty lines are ignored", "\n\n[S]\n\n  \nk = v\n\n", one("v")},
		{"indentation has no meaning", "\t [S]\n\t\t k = v\n", one("v")},
		{"trailing white space is stripped", "[S] \t\nk = v \t\v\f\n", one("v")},
		{"only ASCII white space is stripped", "[S]\nk = \u00a0v\u2003", one("\u00a0v\u2003")},
		{"CRLF", "[S]\r\nk = v\r\nl = w\r\n", file{"S": {"k": "v", "l": "w"}}},
		{"CR alone does not end a line", "[S]\nk = v\rl = w", one("v\rl = w")},
		{"byte order mark is skipped", "\uFEFF[S]\nk = v", one("v")},
		{"byte order mark elsewhere is text", "[S]\n\uFEFFk = v", file{"S": {"\uFEFFk": "v"}}},

		{"# comment", "[S]\n# k = x\nk = v\n  # l = x", one("v")},
		{"; comment", "[S]\n; k = x\nk = v\n  ; l = x", one("v")},
		{"// comment", "[S]\n// k = x\nk = v\n  // l = x", one("v")},
		{"one slash is no comment", "[S]\n/k = v", file{"S": {"/k": "v"}}},
		{"comment before a section", "# [T]\n[S]\nk = v", one("v")},
		{"no trailing # comment", "[S]\nk = v # x", one("v # x")},
		{"no trailing ; comment", "[S]\nk = v ; x", one("v ; x")},
		{"no trailing // comment", "[S]\nk = v // x", one("v // x")},

		{"section name is trimmed", "[ S\t]\nk = v", one("v")},
		{"section name without ]", "[S\nk = v", one("v")},
		{"text after ] is ignored", "[S] l = w ; x\nk = v", one("v")},
		{"section name ends at the first ]", "[S]T]\nk = v", one("v")},
		{"[ inside a section name", "[[S]\nk = v", file{"[S": {"k": "v"}}},
		{"[ later in a line is text", "[S]\nk = [T]", one("[T]")},
		{"sections merge", "[S]\nk = v\n[T]\nk = x\n[S]\nl = w", file{"S": {"k": "v", "l": "w"}, "T": {"k": "x"}}},
		{"section names are case-sensitive", "[S]\nk = v\n[s]\nk = w", file{"S": {"k": "v"}, "s": {"k": "w"}}},
		{"key names are case-sensitive", "[S]\nk = v\nK = w", file{"S": {"k": "v", "K": "w"}}},
		{"LOG.Root in any letter case", "[LOG.ROOT]\nk = v\n[LOG.Root]\nk = w\n[LOG.root]\nl = x", file{"LOG.Root": {"k": "w", "l": "x"}}},
		{"only Root, not LOG, in any letter case", "[log.Root]\nk = v", file{"log.Root": {"k": "v"}}},
		{"a section without keys is absent", "[S]\n[T]\nk =", file{}},
		{"a section named like the library's default", "[DEFAULT]\nk = v", file{"DEFAULT": {"k": "v"}}},
		{"no key is inherited from a parent section", "[S]\nk = v\n[S.T]\nl = w", file{"S": {"k": "v"}, "S.T": {"l": "w"}}},

		{"last value wins", "[S]\nk = a\nk = b", one("b")},
		{"last value wins over sections", "[S]\nk = a\n[T]\nx = y\n[S]\nk = b", file{"S": {"k": "b"}, "T": {"x": "y"}}},
		{"an empty value does not replace one", "[S]\nk = a\nk =", one("a")},
		{"key without a value is absent", "[S]\nk =\nl = w", file{"S": {"l": "w"}}},
		{"keys before the first section are dropped", "k = v\n[S]\nl = w", file{"S": {"l": "w"}}},
		{"keys of a section without a name are dropped", "[S]\nk = v\n[]\nl = w", one("v")},
		{"keys with an empty name are dropped", "[S]\n= v\nk = w", one("w")},

		{"continuation", "[S]\nk = a\nb\n  c", one("a\nb\nc")},
		{"continuation of an empty value", "[S]\nk =\n10000", one("10000")},
		{"continuation over comments and empty lines", "[S]\nk = a\n# x\n\n; y\n// z\nb", one("a\nb")},
		{"continuation ends at the next section", "[S]\nk = a\n[T]\nb\nl = c", file{"S": {"k": "a"}, "T": {"l": "c"}}},
		{"continuation without a key is dropped", "a\n[S]\nb\nk = v", one("v")},
		{"continuation of a key without a name is dropped", "[S]\n= v\na\nk = w", one("w")},
		{"a line with = is never a continuation", "[S]\nk = a\nb = c", file{"S": {"k": "a", "b": "c"}}},

		{"colon does not separate", "[S]\nk = a\nl : b", one("a\nl : b")},
		{"double quotes are text", `[S]` + "\n" + `k = "v"`, one(`"v"`)},
		{"single quotes are text", "[S]\nk = 'v'", one("'v'")},
		{"back quotes are text", "[S]\nk = `v`", one("`v`")},
		{"an open quote is text", "[S]\nk = `v\nl = \"\"\"w\nm = x", file{"S": {"k": "`v", "l": `"""w`, "m": "x"}}},
		{"quotes around keys are text", "[S]\n\"k\" = v\n`l` = w", file{"S": {`"k"`: "v", "`l`": "w"}}},
		{"no backslash continuation", "[S]\nk = a\\\nl = b", file{"S": {"k": `a\`, "l": "b"}}},
		{"no escapes", `[S]` + "\n" + `k = \n\#\;`, one(`\n\#\;`)},
		{"no interpolation", "[S]\nl = w\nk = %(l)s %41", file{"S": {"l": "w", "k": "%(l)s %41"}}},
		{"a key named - is not numbered", "[S]\n- = v", file{"S": {"-": "v"}}},
		{"any bytes", "[S]\nk = \xff\x00\xfe", one("\xff\x00\xfe")},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			e, _, _ := parse(test.text, "")
			if got := values(e); !equal(got, test.want) {
				t.Errorf("%q: got %q, want %q", test.text, got, test.want)
			}
		})
	}
}

// parseByRules is the table of operations spec §2.1 once more, and nothing else.
func parseByRules(text string) map[string]map[string]string {
	const white = " \t\n\v\f\r"
	file := map[string]map[string]string{}
	section, key := "", ""
	var lines []string // of the current value
	for _, line := range append(strings.Split(strings.TrimPrefix(text, "\xEF\xBB\xBF"), "\n"), "[") {
		line = strings.Trim(line, white)
		if line == "" || strings.ContainsRune("#;", rune(line[0])) || strings.HasPrefix(line, "//") {
			continue
		}
		separator := strings.Index(line, "=")
		if line[0] != '[' && separator < 0 {
			lines = append(lines, line)
			continue
		}
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
		if section != "" && key != "" && len(lines) > 0 {
			if file[section] == nil {
				file[section] = map[string]string{}
			}
			file[section][key] = strings.Join(lines, "\n")
		}
		if key, lines = "", nil; line[0] != '[' {
			key, lines = strings.Trim(line[:separator], white), []string{strings.Trim(line[separator+1:], white)}
			continue
		}
		section = line[1:]
		if end := strings.Index(section, "]"); end >= 0 {
			section = section[:end]
		}
		if section = strings.Trim(section, white); strings.HasPrefix(section, "LOG.") && strings.EqualFold(section[4:], "root") {
			section = "LOG.Root"
		}
	}
	return file
}

// FuzzSyntax checks that every text is read as the rules say.
func FuzzSyntax(f *testing.F) {
	for _, seed := range []string{
		"[S]\nk = v\nl =\n10000\nmore\n", "\uFEFF[S\r\nk=v;x\r\n", "[]\na=b\n[x]y]\n-=`\n\"a\"=\"\"\"b",
		"# a\n;b\n//c\n/d=\\\n%(x)s = %zz\n", "[LOG.rOOt]\nlevel = Info\n[DEFAULT]\nk : v\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, _, _ := parse(text, "")
		if got, want := values(e), parseByRules(text); !equal(got, want) {
			t.Errorf("parse(%q): got %q, want %q", text, got, want)
		}
	})
}
