package credentials

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// digits returns a key in hexadecimal: the byte repeated.
func digits(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b), KeySize) }

// counting is the key 00 01 02 … 7f in hexadecimal.
func counting() string {
	var key Key
	for i := range key {
		key[i] = byte(i)
	}
	return hex.EncodeToString(key[:])
}

func TestFormat(t *testing.T) {
	key := digits(0xa5)
	for _, c := range []struct {
		rule, content string
		want          []string // name:key in alphabetical order
	}{
		{"an empty file is valid", "", nil},
		{"only empty lines", "\n\n\n", nil},
		{"a final LF is optional", "a:" + key, []string{"a:" + key}},
		{"one line", "a:" + key + "\n", []string{"a:" + key}},
		{"empty lines are skipped", "\n\na:" + key + "\n\n\nb:" + key + "\n\n", []string{"a:" + key, "b:" + key}},
		{"CRLF", "a:" + key + "\r\nb:" + key + "\r\n", []string{"a:" + key, "b:" + key}},
		{"white space around both parts", " \t\v\f\ra \t\v\f\r: \t\v\f\r" + key + " \t\v\f\r\n", []string{"a:" + key}},
		{"upper case digits", "a:" + strings.ToUpper(key), []string{"a:" + key}},
		{"high nibble first", "a:" + counting(), []string{"a:" + counting()}},
		{"# is a legal name character", "#a:" + key, []string{"#a:" + key}},
		{"the last line of a name wins", "a:" + digits(1) + "\nb:" + digits(2) + "\na:" + digits(3),
			[]string{"a:" + digits(3), "b:" + digits(2)}},
		{"names are case-sensitive", "a:" + digits(1) + "\nA:" + digits(2), []string{"A:" + digits(2), "a:" + digits(1)}},
		{"all graphic bytes but the colon", strings.ReplaceAll(graphic(), ":", "") + ":" + key,
			[]string{strings.ReplaceAll(graphic(), ":", "") + ":" + key}},
		{"a name of 100 bytes", strings.Repeat("n", 100) + ":" + key, []string{strings.Repeat("n", 100) + ":" + key}},
	} {
		table, err := Parse("file", []byte(c.content))
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		var got []string
		for _, name := range table.Names() {
			key, ok := table.Key([]byte(name))
			if !ok {
				t.Fatalf("%s: %q is listed but unknown", c.rule, name)
			}
			got = append(got, name+":"+hex.EncodeToString(key[:]))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.rule, got, c.want)
		}
		if _, ok := table.Key([]byte("nobody")); ok {
			t.Errorf("%s: got a key for an unknown name", c.rule)
		}
	}
}

// graphic returns the bytes 21 to 7e, which are fewer than 100.
func graphic() string {
	var b strings.Builder
	for c := byte(0x21); c <= 0x7e; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

func TestFaults(t *testing.T) {
	key := digits(0xa5)
	valid := "valid:" + key + "\n"
	const at = " in registry file etc/credentials at line "
	for _, c := range []struct{ rule, content, want string }{
		{"nothing before the colon", ":" + key, "Empty name" + at + "1"},
		{"white space before the colon", " \t:" + key, "Empty name" + at + "1"},
		{"a colon alone", ":", "Empty name" + at + "1"},
		{"a line of white space", valid + "  \n" + valid, "Empty name" + at + "2"},
		{"an empty line of a CRLF file", "valid:" + key + "\r\n\r\n", "Empty name" + at + "2"},
		{"name of 101 bytes", strings.Repeat("n", 101) + ":" + key, "Name too long" + at + "1"},
		{"a long line without colon", key, "Name too long" + at + "1"},
		{"a short line without colon", "name", "Invalid key length 0 (should be 256)" + at + "1"},
		{"a comment", valid + "# foo", "Invalid key length 0 (should be 256)" + at + "2"},
		{"key of 255 digits", "name:" + key[1:], "Invalid key length 255 (should be 256)" + at + "1"},
		{"key of 257 digits", "name:" + key + "0", "Invalid key length 257 (should be 256)" + at + "1"},
		{"blank in the name", "na me:" + key, "Invalid name letter at position 2" + at + "1"},
		{"the position is that of the trimmed name", "  na me:" + key, "Invalid name letter at position 2" + at + "1"},
		{"control byte in the name", "\x01name:" + key, "Invalid name letter at position 0" + at + "1"},
		{"DEL in the name", "name\x7f:" + key, "Invalid name letter at position 4" + at + "1"},
		{"byte order mark", "\ufeffname:" + key, "Invalid name letter at position 0" + at + "1"},
		{"first bad digit", "name:g" + key[1:], "Invalid key letter at position 1" + at + "1"},
		{"second bad digit", "name:0/" + key[2:], "Invalid key letter at position 2" + at + "1"},
		{"last bad digit", "name:" + key[1:] + "G", "Invalid key letter at position 256" + at + "1"},
		{"blank in the key", "name: " + key[:100] + " " + key[101:], "Invalid key letter at position 101" + at + "1"},
		{"a second colon belongs to the key", "name::" + key[1:], "Invalid key letter at position 1" + at + "1"},

		{"a long name is found before its key", strings.Repeat(" n", 60) + ":", "Name too long" + at + "1"},
		{"a key length before name letters", "na me:" + key[1:], "Invalid key length 255 (should be 256)" + at + "1"},
		{"a name letter before key letters", "na me:x" + key[1:], "Invalid name letter at position 2" + at + "1"},

		{"empty lines count", "\n\n" + valid + "\n\nname:\n" + valid, "Invalid key length 0 (should be 256)" + at + "6"},
		{"the first fault counts", valid + "a:\n:" + key, "Invalid key length 0 (should be 256)" + at + "2"},
		{"a line overridden later", "valid:x\n" + valid, "Invalid key length 1 (should be 256)" + at + "1"},

		{"10 000 001 bytes", strings.Repeat("\n", 10_000_001),
			"Key registry file too large: 10000001 bytes in registry file etc/credentials, allowed are 10000000"},
	} {
		table, err := Parse("etc/credentials", []byte(c.content))
		if table != nil || err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.rule, table, err, c.want)
		}
	}
}

func TestAFileMayHave10000000Bytes(t *testing.T) {
	line := "valid:" + digits(1)
	content := strings.Repeat("\n", 10_000_000-len(line)) + line
	if _, err := Parse("file", []byte(content)); err != nil {
		t.Errorf("got %v, want valid", err)
	}
}

func FuzzParse(f *testing.F) {
	key := digits(0xa5)
	for _, content := range []string{"", "a:" + key + "\r\n\nb: " + key, ":", "a:b\n", "a b:" + key, "a:" + key[1:] + "g", "\xff\x00"} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := Parse("file", content)
		if err != nil {
			if !strings.Contains(err.Error(), " in registry file file at line ") || table != nil {
				t.Errorf("got %v, %v, want no table, and file and line told", table, err)
			}
			return
		}
		var again strings.Builder
		for _, name := range table.Names() {
			key, ok := table.Key([]byte(name))
			if !ok || name == "" || len(name) > MaxName || strings.ContainsAny(name, space+":") {
				t.Fatalf("got name %q, known: %v", name, ok)
			}
			fmt.Fprintf(&again, "%s:%x\n", name, *key)
		}
		table2, err := Parse("file", []byte(again.String()))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if !slices.Equal(table.Names(), table2.Names()) {
			t.Errorf("written again: got %v, want %v", table2.Names(), table.Names())
		}
		for _, name := range table.Names() {
			a, _ := table.Key([]byte(name))
			if b, _ := table2.Key([]byte(name)); *a != *b {
				t.Errorf("written again, %q: got %x, want %x", name, *b, *a)
			}
		}
	})
}
