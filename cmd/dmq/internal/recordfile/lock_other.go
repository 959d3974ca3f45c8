//go:build !unix

package recordfile

import "os"

// lock does nothing where there are no such locks: do not use a file twice at the same time.
func lock(*os.File) error { return nil }
