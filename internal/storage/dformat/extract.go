package dformat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// ErrWhich is the error of Extract if the id does not say which records are meant.
var ErrWhich = errors.New("which records?")

// ReadFile finds out what one file holds, whatever its name: an overflow data file or a dump, for
// example one that was set aside. The index that belongs to overflow-X.dat is ofchannels-X.csv.
// There is a queue for each storage of which the file has records that may not have been
// delivered; one whose name is not known has an empty one.
func ReadFile(dir disk.Dir, name string) (*Directory, error) {
	d := &Directory{dir: dir, taken: make(map[string]bool)}
	isData, err := isDataFile(dir, name)
	if err == nil && isData {
		err = d.readDataFile(name)
	} else if err == nil {
		err = d.readDumpFile(name)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

func isDataFile(dir disk.Dir, name string) (bool, error) {
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	return hasMagic(file)
}

func (d *Directory) readDataFile(name string) error {
	stem, _ := strings.CutSuffix(name, ".dat")
	index := strings.Replace(stem, "overflow", "ofchannels", 1) + ".csv"
	if err := d.readOverflow(fileNames{name, index}); err != nil {
		return err
	}
	d.Sources, d.Findings = nil, nil // those of a start
	o := d.overflow
	for _, c := range o.nameless {
		o.live = append(o.live, chainOf{"", c.id, c.segment, c.jumps})
	}
	for _, c := range o.live {
		d.add(d.queueOf(c))
	}
	return nil
}

func (d *Directory) readDumpFile(name string) error {
	dump, err := readDump(d.dir, name)
	if err != nil {
		return err
	}
	q := &Queue{Dump: dump.Part}
	d.add(q)
	if dump.fault != "" {
		d.reportDump(q, dump, "")
	}
	return nil
}

// Extract writes the records of a file to w, as a dump (storage spec §2.1): of an overflow data
// file those with that id, of a dump all that are intact, for which id is 0. It returns how many
// that are, bytes with 8 for each, and what was found wrong. It reads the file twice, which must
// not change meanwhile.
func Extract(dir disk.Dir, name string, id uint32, w io.Writer) (records, bytes uint64, damage string, err error) {
	d, err := ReadFile(dir, name)
	if err != nil {
		return 0, 0, "", err
	}
	part, err := d.part(name, id)
	if err != nil {
		return 0, 0, "", err
	}
	for _, f := range d.Findings {
		damage = fmt.Sprintf("%s, at offset %d: %s", dir.Path(f.File), f.Offset, f.Problem)
	}
	if part.Records > math.MaxUint32 {
		return 0, 0, "", fmt.Errorf("%d records are more than a dump can hold", part.Records)
	}
	out := bufio.NewWriterSize(w, RunSize)
	out.Write(dumpHeader(part.Records, part.Bytes))
	expected := Stream{part.Records, part.Bytes, part.Runs()}
	err = expected.each(func(run Run) error {
		_, err := out.Write(run.Bytes)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	return expected.Records, expected.Bytes, damage, err
}

// part finds the records that are meant by an id.
func (d *Directory) part(name string, id uint32) (*Part, error) {
	if d.overflow == nil {
		if id != 0 {
			return nil, fmt.Errorf("%w %s is not an overflow data file, there are no ids in it", ErrWhich, d.dir.Path(name))
		}
		return &d.Queues[0].Dump, nil
	}
	var all []string
	for _, q := range d.Queues {
		if q.ID == id && id != 0 {
			return &q.Overflow, nil
		}
		all = append(all, q.String())
	}
	return nil, fmt.Errorf("%w %s holds:\n  %s", ErrWhich, d.dir.Path(name), strings.Join(all, "\n  "))
}

// String describes the records in the overflow.
func (q *Queue) String() string {
	text := fmt.Sprintf("id %d, %s", q.ID, amount(q.Overflow.Records, q.Overflow.Bytes-ring.HeaderSize*q.Overflow.Records))
	if q.Storage != "" {
		text += " of storage " + q.Storage
	}
	return text
}

// amount describes records and the bytes of their payloads.
func amount(records, bytes uint64) string {
	if records == 1 {
		return fmt.Sprintf("1 record of %d bytes", bytes)
	}
	return fmt.Sprintf("%d records of %d bytes", records, bytes)
}
