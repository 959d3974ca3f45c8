package dformat

import "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"

// Left is what is known of a directory beside what is in the D node's formats.
type Left struct {
	Storages map[string]bool // that are in it in another form
	Stopping bool            // a stop was leaving these in the D node's formats, which does not count
	Sources  []Source        // files that have been loaded
}

// Directory is what a data directory holds in the D node's formats.
type Directory struct {
	// Queues is all that is to be loaded: those with overflow records by overflow id, then the
	// others by name. A queue without records is an empty subscription.
	Queues   []*Queue
	Findings []Finding // what is ignored, damaged, outdated or in doubt, and what was decided
	Sources  []Source  // files to finish once their records are elsewhere
	Unneeded []string  // files of a stop that was interrupted
	Loaded   []string  // files of which only the deletion is missing

	dir       disk.Dir
	overflow  *overflow
	taken     map[string]bool   // names of files, also those promised to files to be set aside
	aside     []string          // what becomes of the overflow files, if they are set aside
	byStorage map[string]*Queue // all queues
	channels  map[string]string // one storage of each channel
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

// Severity tells how a finding is to be logged.
type Severity int

// Severities.
const (
	Info    Severity = iota // good to know
	Warning                 // something is not as a clean stop leaves it
	Error                   // records may be lost, or wait for an operator
)

// Ignored is the problem of files that are not loaded, and need not be.
const Ignored = "ignored"

// Finding is something worth knowing about a file.
type Finding struct {
	Severity Severity `json:"-"`
	File     string   `json:"file"`              // its name
	Offset   int64    `json:"offset,omitempty"`  // in bytes; 0 = none in particular
	Storage  string   `json:"storage,omitempty"` // if it is about one in particular
	Problem  string   `json:"problem"`
	Meaning  string   `json:"meaning"` // for records, and for the next start
	Remedy   string   `json:"remedy"`  // what an operator can do; "" = nothing needs to be done
}
