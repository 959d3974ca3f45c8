package dformat

import (
	"errors"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

var errNotYet = errors.New("not written yet")

// RunSize is the most bytes of a run of more than one record.
const RunSize = 1 << 20

type entry struct{}
type fileNames struct{ data, index string }

// Read finds out what a directory holds and changes nothing. An error says why there must not
// be a start, and what to do.
func Read(dir disk.Dir) (*Directory, error) { return nil, errNotYet }
