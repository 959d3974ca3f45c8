package dformat

import (
	"iter"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Directory is what a data directory holds in the D node's formats. It belongs to one
// goroutine. Reading the runs of its queues may add to Findings and change Sources.
type Directory struct {
	// Queues is all that is to be loaded: those with overflow records by overflow id, then the
	// others by name. A queue without records is an empty subscription.
	Queues   []*Queue
	Ignored  []Ignored // files that are not loaded, by name
	Findings []Finding // what is damaged, outdated or in doubt, and what was decided
	Sources  []Source  // files to finish once their records are elsewhere

	dir        disk.Dir
	overflow   *overflow
	taken      map[string]bool   // names of files, also those promised to files to be set aside
	aside      []string          // what becomes of the overflow files, if they are set aside
	byStorage  map[string]*Queue // all queues
	subscribed map[string]*Queue // one queue of a subscriber, by channel
}

// Queue is the records of one storage, those of the dump before those of the overflow.
type Queue struct {
	Storage    string // its name
	Channel    string
	Subscriber string
	Subscribed bool // it is that of a subscriber, whose name may be empty

	Dump, Overflow Part

	ID    uint32 // in the overflow, 0 = no records there
	First int64  // offset of the oldest of these in the data file
}

// Part is consecutive records of a queue in one file.
type Part struct {
	Records uint64
	Bytes   uint64 // with 8 for each record, as in a ring

	read iter.Seq2[Run, error]
}

// Run is consecutive records as they lie in a ring: the length, 8 bytes, then the payload.
type Run struct {
	Bytes   []byte
	Records int
}

// Runs reads the records, oldest first. A run stays valid until the next one and has at most
// [RunSize] bytes, unless its only record is larger. An error, which comes once and last, says
// that a file cannot be read. Damage is no error: what is lost by it is a Finding, reading goes
// on behind it if possible, and afterwards Records and Bytes are those that were read.
func (p *Part) Runs() iter.Seq2[Run, error] {
	if p.read == nil {
		return func(func(Run, error) bool) {}
	}
	return p.read
}

// Severity tells how a finding or an ignored file is to be logged.
type Severity int

// Severities.
const (
	Silent  Severity = iota // not at all
	Info                    // good to know
	Warning                 // something is not as a clean stop leaves it
	Error                   // records may be lost, or wait for an operator
)

// Finding is something worth knowing about a file.
type Finding struct {
	Severity Severity
	Storage  string // if it is about one in particular
	File     string // its name
	Offset   int64  // in bytes; 0 = none in particular
	Problem  string
	Meaning  string // for records, and for the next start
	Remedy   string // what an operator can do; "" = nothing needs to be done
}

// Ignored is an entry of the directory that is not loaded.
type Ignored struct {
	Name     string
	Severity Severity
	Reason   string // why: a clause without the name
	Remedy   string // of an Error: what to do, a clause, too
}

// Verify reads all records and drops them, so that Findings tells all there is to know.
func (d *Directory) Verify() error {
	for _, q := range d.Queues {
		for _, p := range []*Part{&q.Dump, &q.Overflow} {
			for _, err := range p.Runs() {
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Close closes the files. Runs can't be read any more.
func (d *Directory) Close() error {
	if d.overflow == nil {
		return nil
	}
	return d.overflow.close()
}
