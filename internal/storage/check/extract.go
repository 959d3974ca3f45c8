package check

import (
	"io"
	"path/filepath"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// ErrWhich is the error of Extract if the id does not say which records are meant.
var ErrWhich = dformat.ErrWhich

// Extract is [dformat.Extract] for the file at a path.
func Extract(path string, id uint32, w io.Writer) (written Count, damage string, err error) {
	dir, err := disk.OpenDirReadOnly(filepath.Dir(path))
	if err != nil {
		return Count{}, "", err
	}
	return dformat.Extract(dir, filepath.Base(path), id, w)
}
