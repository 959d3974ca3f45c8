package dformat

import (
	"encoding/binary"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const (
	dumpSuffix     = ".rq"
	dumpHeaderSize = 12
)

// DumpFile is the name of the dump of a storage.
func DumpFile(storage string) string { return storage + dumpSuffix }

// dump is what a dump file proves.
type dump struct {
	Part             // the records that are whole
	announced uint64 // how many there should be
	at        int64  // where they end
	fault     string // what is wrong there, or with the header
}

// readDump goes through a dump, by the rules L1 and L3 to L7 of storage spec §2.6. That no record
// means no bytes (L4) is a case of L7, and that n has room for the lengths of all records (L5) one
// of L6.
func readDump(dir disk.Dir, name string) (d dump, err error) {
	d.Part = Part{dir: dir, file: name, trail: trail{first: dumpHeaderSize}}
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return d, err
	}
	defer file.Close()
	b, err := newBlock(file)
	if err != nil {
		return d, err
	}
	if b.size < dumpHeaderSize {
		d.fault = fmt.Sprintf("it has %d bytes, and its header takes %d", b.size, dumpHeaderSize)
		return d, nil
	}
	header, err := b.at(0, dumpHeaderSize)
	if err != nil {
		return d, err
	}
	d.announced, d.at = uint64(binary.LittleEndian.Uint32(header)), dumpHeaderSize
	left := binary.LittleEndian.Uint64(header[4:])
	for d.Records < d.announced {
		if d.fault, err = missing(&b, d.at, left); d.fault != "" || err != nil {
			return d, err
		}
		size, next, err := d.look(&b, d.at)
		if err != nil {
			return d, err
		}
		d.Records++
		d.Bytes += size
		d.at, left = next, left-size
	}
	if left > 0 {
		d.fault = fmt.Sprintf("%d bytes are left over behind the last record", left)
	}
	return d, nil
}

// missing tells why there is no whole record at an offset, behind which the dump should have left
// bytes. It returns nothing if there is one.
func missing(b *block, at int64, left uint64) (string, error) {
	there := min(left, uint64(b.size-at))
	length := uint64(0)
	if there >= ring.HeaderSize {
		bytes, err := b.at(at, ring.HeaderSize)
		if err != nil {
			return "", err
		}
		length = binary.LittleEndian.Uint64(bytes)
	}
	switch {
	case left < ring.HeaderSize:
		return fmt.Sprintf("%d bytes are too few for the length of the next record", left), nil
	case there < ring.HeaderSize, length > there-ring.HeaderSize && length <= left-ring.HeaderSize:
		return fmt.Sprintf("the file ends %d bytes too early", left-there), nil
	case length > there-ring.HeaderSize:
		return fmt.Sprintf("the next record has a length of %d, and only %d bytes follow", length, left-ring.HeaderSize), nil
	}
	return "", nil
}
