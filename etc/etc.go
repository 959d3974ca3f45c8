// Package etc has the configuration that the node comes with, for programs that make a new
// instance. Every key is described in it.
package etc

import _ "embed"

// Config is config.ini.
//
//go:embed config.ini
var Config string
