package overflow

import (
	"fmt"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Report is what Check has found.
type Report struct {
	// Size of the data file in bytes, and how many of them are no records.
	Size, Wasted int64
	// Live is the storages and their records that are to be delivered; positions are offsets
	// in the file.
	Live []Entry
	// Chains is what the data file holds, by id: also what was consumed.
	Chains []*Chain
	// Garbage is the first parts of the file that are no records.
	Garbage []Garbage
	// Unknown is the chains that may be those of storages whose names are not known.
	Unknown []*Chain
	// Settled is the offset up to which all that is not Live was consumed, for certain, if
	// the index counts but is outdated.
	Settled int64
	// Faults is everything that is not as a clean stop or a crash of this node leaves it.
	Faults []string
}

// Check reports on the files of a directory, which it only reads. states are those of a
// node that runs or was killed, with its g; if there are none, the index counts, as for
// [Recover].
func Check(dir disk.Dir, g Global, states []Entry) (*Report, error) {
	var f *findings
	var err error
	if len(states) == 0 {
		f, err = examine(dir)
	} else {
		f, err = examineStates(dir, g, states)
	}
	if err != nil {
		return nil, err
	}
	r := &Report{Size: f.size, Live: f.live, Unknown: f.unknown(), Settled: f.settled, Faults: slices.Concat(f.doubts, f.stale)}
	if f.survey != nil {
		r.Chains, r.Garbage, r.Wasted = f.survey.sorted(), f.survey.garbage, f.survey.wasted
	}
	if _, err := dir.Stat(rebuilt.data); err == nil {
		r.Faults = append(r.Faults, fmt.Sprintf("%s: setting the files aside was interrupted, the next start finishes it", rebuilt.data))
	}
	return r, nil
}
