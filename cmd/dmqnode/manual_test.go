package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The manual page describes every option, and no option besides.
func TestOptionsInTheManual(t *testing.T) {
	page, err := os.ReadFile("../../deploy/man/dmqnode.8")
	if err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for line := range strings.Lines(string(page)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == ".It" {
			for i, word := range words[1:] {
				if word == "Fl" {
					described[words[i+2]] = true // "-config" for --config
				}
			}
		}
	}
	newParser().flags.VisitAll(func(flag *pflag.Flag) {
		for _, name := range []string{flag.Shorthand, "-" + flag.Name} {
			if name != "" && !described[name] {
				t.Errorf("the option -%s is missing", name)
			}
			delete(described, name)
		}
	})
	for name := range described {
		t.Errorf("there is no option -%s", name)
	}
}
