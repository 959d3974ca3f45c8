// Package spec has a test of the citations of the specification.
package spec

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	heading  = regexp.MustCompile(`(?m)^#+ (\d+(?:\.\d+)*)\.? `)
	citation = regexp.MustCompile(`§ ?(\d+(?:\.\d+)*)`)
	name     = regexp.MustCompile(`(operations|storage|legacy protocol|neo protocol) spec(?:\s|//)+$`)
	// Several sections of one document: "storage spec §2.4 and §5.8".
	further = regexp.MustCompile(`^[\s/]*(,|and|or|to|–)[\s/]*$`)
)

// Every § in Go files outside of the specification is that of a document, in the form "storage
// spec §3.4", and the document has that section.
func TestCitationsResolve(t *testing.T) {
	sections := make(map[string]map[string]bool)
	for _, document := range []string{"operations", "storage", "legacy-protocol", "neo-protocol"} {
		text, err := os.ReadFile(document + ".md")
		if err != nil {
			t.Fatal(err)
		}
		has := make(map[string]bool)
		for _, m := range heading.FindAllSubmatch(text, -1) {
			has[string(m[1])] = true
		}
		sections[strings.ReplaceAll(document, "-", " ")] = has
	}
	root, cited := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || path == filepath.Join(root, "build") || path == filepath.Join(root, "docs", "spec")):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		document, end := "", 0
		for _, m := range citation.FindAllSubmatchIndex(text, -1) {
			line := 1 + strings.Count(string(text[:m[0]]), "\n")
			if named := name.FindSubmatch(text[:m[0]]); named != nil {
				document = string(named[1])
			} else if !further.Match(text[end:m[0]]) {
				t.Errorf("%s:%d: %q without the name of its document", path, line, text[m[0]:m[1]])
				document = ""
			}
			if section := string(text[m[2]:m[3]]); document != "" && !sections[document][section] {
				t.Errorf("%s:%d: the %s spec has no section %s", path, line, document, section)
			}
			end = m[1]
			cited++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if cited < 200 {
		t.Errorf("found %d citations, want those of the whole module", cited)
	}
}
