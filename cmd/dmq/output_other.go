//go:build !linux

package main

import "os"

// checkDescriptor finds out nothing where it is not known how: writing will tell.
func checkDescriptor(*os.File) error { return nil }
