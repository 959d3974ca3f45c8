package check

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// ErrWhich is the error of Extract if the id does not say which records are meant.
var ErrWhich = dformat.ErrWhich

// Extract writes the records of a file to w, as a dump (storage spec §2.1): of an overflow
// data file those of the storage with that id, of a dump or ring file all that are intact, for
// which id is 0. It returns how many that are, and what was found wrong. It reads the
// file twice, which must not change meanwhile.
func Extract(path string, id uint32, w io.Writer) (written Count, damage string, err error) {
	dir, err := disk.OpenDirReadOnly(filepath.Dir(path))
	if err != nil {
		return Count{}, "", err
	}
	name := filepath.Base(path)
	isRing, err := ring.IsFile(dir, name)
	switch {
	case err != nil:
		return Count{}, "", err
	case isRing && id != 0:
		return Count{}, "", fmt.Errorf("%w %s is a ring file, there are no ids in it", ErrWhich, path)
	case isRing:
		return extractRing(dir, name, w)
	}
	records, bytes, damage, err := dformat.Extract(dir, name, id, w)
	return Count{records, bytes - ring.HeaderSize*records}, damage, err
}

// extractRing makes a dump of the records of a ring file. If its head does not tell where they are,
// all are taken that look like some.
func extractRing(dir disk.Dir, name string, w io.Writer) (written Count, damage string, err error) {
	h, unknown := ring.ReadHead(dir, name)
	var wrong *ring.DamageError
	if unknown != nil && !errors.As(unknown, &wrong) {
		return Count{}, "", unknown
	}
	read := func(to io.Writer) (ring.Intact, error) { return ring.Inspect(dir, name, h, to) }
	if unknown != nil || h.Held == 0 {
		read = func(to io.Writer) (ring.Intact, error) { return ring.Salvage(dir, name, to) }
		damage = fmt.Sprintf("%s does not tell which of its records are not delivered: all were written that could be read from its start on, "+
			"so look whether they are wanted", dir.Path(name))
	}
	intact, err := read(io.Discard)
	switch {
	case errors.As(err, &wrong):
		damage = join(wrong.Error(), damage)
	case err != nil:
		return Count{}, "", err
	}
	if intact.Records > math.MaxUint32 {
		return Count{}, "", fmt.Errorf("%d records are more than a dump can hold", intact.Records)
	}
	out := bufio.NewWriterSize(w, 1<<20)
	header := binary.LittleEndian.AppendUint32(nil, uint32(intact.Records))
	out.Write(binary.LittleEndian.AppendUint64(header, intact.Bytes+ring.HeaderSize*intact.Records))
	again, err := read(out)
	switch {
	case err != nil && !errors.As(err, &wrong):
	case again != intact:
		err = errors.New("the file was changed while it was being read: what has been written is no dump")
	default:
		err = out.Flush()
	}
	return Count{intact.Records, intact.Bytes}, damage, err
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}
