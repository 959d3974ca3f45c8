package check

import "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"

// Report is what is known of a data directory.
type Report struct {
	Directory string    `json:"directory"`
	Situation Situation `json:"situation"`
	Storages  []Storage `json:"storages"` // by name
	Totals    Counts    `json:"totals"`
	Faults    []Fault   `json:"faults"`
	// Incomplete is why the report may be wrong: files that cannot be read, a node that
	// has started meanwhile.
	Incomplete []string `json:"incomplete"`
	Notes      []Note   `json:"notes"`
}

// Situation is how a directory was left.
type Situation string

// Situations.
const (
	Empty       Situation = "empty"       // no records, no subscriptions
	Stopped     Situation = "stopped"     // by a clean stop of any node, which left the files of the original
	Kept        Situation = "kept"        // by a clean stop that has left ring files
	Outdated    Situation = "outdated"    // not so: the overflow index tells something else than the data file
	Killed      Situation = "killed"      // a node of this version ended without a clean stop
	Interrupted Situation = "interrupted" // during a start, or a clean stop that has not done all
	Running     Situation = "running"     // a node of this version is using it
)

// Storage is a queue and what the next start would find in it, or what a running node has.
type Storage struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Counts
}

// Kind is that of a storage.
type Kind string

// Kinds.
const (
	Plain      Kind = "plain"
	Subscriber Kind = "subscriber"
)

// Counts is records by where they are.
type Counts struct {
	Memory   Count `json:"memory"`   // in a ring or dump
	Overflow Count `json:"overflow"` // in spill files, or the overflow of the original
	Total    Count `json:"total"`
}

// Count is a number of records and the bytes of their payloads.
type Count = dformat.Count

// Fault is something that is wrong; its severity does not matter.
type Fault = dformat.Finding

// Note is something worth knowing.
type Note struct {
	File string `json:"file"`
	Text string `json:"text"`
}
