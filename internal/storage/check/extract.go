package check

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// dataMagic begins an overflow data file (storage spec §3.2).
const dataMagic = "QDSKOF01"

// ErrWhich is the error of Extract if the id does not say which records are meant.
var ErrWhich = errors.New("which records?")

// Extract writes the records of a file to w, as a dump (storage spec §2.1): of an overflow
// data file those of the storage with that id, of a dump all that are intact, for which id
// is 0. It returns how many that are, and what was found wrong behind them. It reads the
// file twice, which must not change meanwhile.
func Extract(path string, id uint32, w io.Writer) (written Count, damage string, err error) {
	dir, err := disk.OpenDirReadOnly(filepath.Dir(path))
	if err != nil {
		return Count{}, "", err
	}
	name := filepath.Base(path)
	isData, err := beginsWith(dir, name, dataMagic)
	out := bufio.NewWriterSize(w, 1<<20)
	switch {
	case err != nil:
		return Count{}, "", err
	case isData:
		written, err = extractPart(asOverflow(dir, name), id, out)
	case id != 0:
		return Count{}, "", fmt.Errorf("%w %s is not an overflow data file, there are no ids in it", ErrWhich, path)
	default:
		written, damage, err = extractDump(dir, name, out)
	}
	if err == nil {
		err = out.Flush()
	}
	return written, damage, err
}

func beginsWith(dir disk.Dir, name, magic string) (bool, error) {
	file, err := dir.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	b := make([]byte, len(magic))
	if n, err := file.ReadAt(b, 0); n < len(b) && err != io.EOF {
		return false, err
	}
	return string(b) == magic, nil
}

func extractPart(dir disk.Dir, id uint32, w io.Writer) (written Count, err error) {
	all, err := parts(dir)
	if err != nil {
		return Count{}, err
	}
	var p part
	for _, other := range all {
		if other.ID == id {
			p = other
		}
	}
	if p.ID == 0 {
		return Count{}, fmt.Errorf("%w %s holds:\n  %s", ErrWhich, dir.Path(dataFile), strings.Join(lines(all), "\n  "))
	}
	if err := writeHeader(w, Count{p.Records, p.Bytes}); err != nil {
		return Count{}, err
	}
	err = overflow.Records(dir, p.ID, p.First, func(payload []byte) error {
		written.add(Count{1, uint64(len(payload))})
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(payload)))); err != nil {
			return err
		}
		_, err := w.Write(payload)
		return err
	})
	if err == nil {
		err = unchanged(written, Count{p.Records, p.Bytes})
	}
	return written, err
}

func extractDump(dir disk.Dir, name string, w io.Writer) (written Count, damage string, err error) {
	expected, found, err := readDump(dir, name, func([]byte) error { return nil })
	if err != nil {
		return Count{}, "", err
	}
	if found != nil {
		damage = found.Error()
	}
	if err := writeHeader(w, expected); err != nil {
		return Count{}, "", err
	}
	written, _, err = readDump(dir, name, func(run []byte) error {
		_, err := w.Write(run)
		return err
	})
	if err == nil {
		err = unchanged(written, expected)
	}
	return written, damage, err
}

// writeHeader writes the header of a dump.
func writeHeader(w io.Writer, c Count) error {
	if c.Records > math.MaxUint32 {
		return fmt.Errorf("%d records are more than a dump can hold", c.Records)
	}
	header := binary.LittleEndian.AppendUint32(nil, uint32(c.Records))
	header = binary.LittleEndian.AppendUint64(header, c.Bytes+ring.HeaderSize*c.Records)
	_, err := w.Write(header)
	return err
}

func unchanged(written, expected Count) error {
	if written != expected {
		return fmt.Errorf("the file was changed while it was being read: what has been written is no dump")
	}
	return nil
}
