package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Every [Section] key that the manual for operators names is in the example configuration.
func TestKeysOfTheManual(t *testing.T) {
	keys := make(map[string]bool)
	section := ""
	key := regexp.MustCompile(`^#?(\w+) =`)
	for line := range strings.Lines(read(t, "../etc/config.ini")) {
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSpace(line)
		} else if m := key.FindStringSubmatch(line); m != nil {
			keys[section+" "+m[1]] = true
		}
	}
	named := regexp.MustCompile("`(\\[[A-Za-z_.]+\\] [a-z_]+)").FindAllStringSubmatch(read(t, "../docs/operations.md"), -1)
	if len(named) < 10 {
		t.Errorf("operations.md: got %d keys, want more: have they another form now?", len(named))
	}
	for _, m := range named {
		if !keys[m[1]] {
			t.Errorf("operations.md names %q, which is not in etc/config.ini", m[1])
		}
	}
}

// Every log message and error text in the tables of the manual is one that the program has.
func TestMessagesOfTheManual(t *testing.T) {
	var source strings.Builder
	for _, root := range []string{"../cmd/dmqnode", "../internal"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				source.WriteString(read(t, path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A text may be broken over lines.
	program := regexp.MustCompile(`" \+\s+"`).ReplaceAllString(source.String(), "")

	ofSystem := map[string]bool{"address already in use": true, "permission denied": true}
	_, trouble, _ := strings.Cut(read(t, "../docs/operations.md"), "## Trouble")
	quoted := regexp.MustCompile("`([^`]+)`")
	messages := 0
	for line := range strings.Lines(trouble) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			messages++
			if !ofSystem[m[1]] && !strings.Contains(program, m[1]) {
				t.Errorf("operations.md explains %q, which the program does not say", m[1])
			}
		}
	}
	if messages < 30 {
		t.Errorf("operations.md: got %d messages, want more: have the tables another form now?", messages)
	}
}

// The links within the manual lead somewhere.
func TestLinksOfTheManual(t *testing.T) {
	text := read(t, "../docs/operations.md")
	anchors := make(map[string]bool)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			title = regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(title, "")
			anchors["#"+strings.ReplaceAll(title, " ", "-")] = true
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[1], "#") {
			if !anchors[m[1]] {
				t.Errorf("operations.md: no heading for the link %s", m[1])
			}
		} else if _, err := os.Stat(filepath.Join("../docs", m[1])); err != nil {
			t.Errorf("operations.md: the link %s leads nowhere", m[1])
		}
	}
}
