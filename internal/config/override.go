package config

import (
	"fmt"
	"strings"
)

// Override replaces one value of the configuration file, or removes it (operations spec §1.4).
type Override struct {
	Section string
	Key     string
	Value   string // "" removes the key
}

// ParseOverride parses "SECTION.KEY = VALUE". The text up to the last dot before the first "="
// is the section. The error names the assignment.
func ParseOverride(assignment string) (Override, error) {
	name, value, assigned := strings.Cut(assignment, "=")
	dot := strings.LastIndexByte(name, '.')
	var o Override
	if dot >= 0 {
		o = Override{canonical(trim(name[:dot])), trim(name[dot+1:]), trim(value)}
	}
	fault := ""
	switch {
	case trim(assignment) == "":
		fault = "empty assignment"
	case !assigned:
		fault = "no '='"
	case dot < 0:
		fault = "no '.' before the '='"
	case o.Section == "":
		fault = "empty category"
	case o.Key == "":
		fault = "empty key"
	default:
		return o, nil
	}
	return Override{}, fmt.Errorf("invalid override '%s': %s (expected SECTION.KEY = VALUE)", assignment, fault)
}
