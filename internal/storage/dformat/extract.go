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
	d := newDirectory(dir)
	isData, err := isDataFile(dir, name)
	if err != nil {
		return nil, err
	}
	if isData {
		return d, d.readDataFile(name)
	}
	dump, err := readDump(dir, name)
	if err != nil {
		return nil, err
	}
	q := &Queue{Dump: dump.Part}
	d.add(q)
	if dump.fault != "" {
		d.reportDump(q, dump, "")
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
	for _, c := range d.overflow.live {
		d.add(d.queueOf(c))
	}
	for _, c := range d.overflow.nameless {
		d.add(d.queueOf(chainOf{"", c.id, c.segment, c.jumps}))
	}
	return nil
}

// extract is records that are to be made a dump.
type extract struct {
	records, bytes uint64 // with 8 for each, as in a ring
	write          func(io.Writer) error
	damage         string // what was found wrong with the file that they are in
}

// Extract writes the records of a file to w, as a dump (storage spec §2.1): of an overflow data
// file those with that id, of a dump or ring file all that are intact, for which id is 0. It
// returns how many that are, and what was found wrong. It reads the file twice, which must not
// change meanwhile.
func Extract(dir disk.Dir, name string, id uint32, w io.Writer) (written Count, damage string, err error) {
	isRing, err := ring.IsFile(dir, name)
	if err != nil {
		return Count{}, "", err
	}
	find := ofFile
	if isRing {
		find = ofRing
	}
	e, err := find(dir, name, id)
	if err == nil && e.records > math.MaxUint32 {
		err = fmt.Errorf("%d records are more than a dump can hold", e.records)
	}
	if err != nil {
		return Count{}, "", err
	}
	out := bufio.NewWriterSize(w, RunSize)
	out.Write(dumpHeader(e.records, e.bytes))
	if err = e.write(out); err == nil {
		err = out.Flush()
	}
	return Count{e.records, e.bytes - ring.HeaderSize*e.records}, e.damage, err
}

// ofFile finds the records of a file of the D node.
func ofFile(dir disk.Dir, name string, id uint32) (e extract, err error) {
	d, err := ReadFile(dir, name)
	if err != nil {
		return e, err
	}
	p, err := d.part(name, id)
	if err != nil {
		return e, err
	}
	for _, f := range d.Findings {
		e.damage = fmt.Sprintf("%s, at offset %d: %s", dir.Path(f.File), f.Offset, f.Problem)
	}
	e.records, e.bytes = p.Records, p.Bytes
	e.write = func(w io.Writer) error {
		for run, err := range p.Runs() {
			if err != nil {
				return err
			}
			if _, err := w.Write(run.Bytes); err != nil {
				return err
			}
		}
		return nil
	}
	return e, nil
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

// ofRing finds the records of a ring file. If its head does not tell where they are, all are taken
// that look like some.
func ofRing(dir disk.Dir, name string, id uint32) (e extract, err error) {
	if id != 0 {
		return e, fmt.Errorf("%w %s is a ring file, there are no ids in it", ErrWhich, dir.Path(name))
	}
	h, unknown := ring.ReadHead(dir, name)
	var wrong *ring.DamageError
	if unknown != nil && !errors.As(unknown, &wrong) {
		return e, unknown
	}
	read := func(to io.Writer) (ring.Intact, error) { return ring.Inspect(dir, name, h, to) }
	if unknown != nil || h.Held == 0 {
		read = func(to io.Writer) (ring.Intact, error) { return ring.Salvage(dir, name, to) }
		e.damage = fmt.Sprintf("%s does not tell which of its records are not delivered: all were written that could be read from its start on, "+
			"so look whether they are wanted", dir.Path(name))
	}
	intact, err := read(io.Discard)
	switch {
	case errors.As(err, &wrong) && e.damage != "":
		e.damage = wrong.Error() + "; " + e.damage
	case errors.As(err, &wrong):
		e.damage = wrong.Error()
	case err != nil:
		return e, err
	}
	e.records, e.bytes = intact.Records, intact.Bytes+ring.HeaderSize*intact.Records
	e.write = func(w io.Writer) error {
		again, err := read(w)
		switch {
		case err != nil && !errors.As(err, &wrong):
			return err
		case again != intact:
			return fmt.Errorf("%s: %w", dir.Path(name), errChanged)
		}
		return nil
	}
	return e, nil
}
