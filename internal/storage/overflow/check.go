package overflow

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/internal/storage/disk"
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

// examineStates compares the data file with States.
func examineStates(dir disk.Dir, g Global, states []Entry) (*findings, error) {
	f := &findings{}
	data, err := dir.Open(dataName)
	if errors.Is(err, fs.ErrNotExist) {
		f.allMissing(states)
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if f.size, err = data.Size(); err != nil {
		return nil, err
	}
	base, err := finishCut(g, f.size)
	if err != nil {
		f.doubts = append(f.doubts, fmt.Sprintf("%s: %v", dataName, err))
		return f, nil
	}
	if ok, err := hasMagic(data, f.size); err != nil {
		return nil, err
	} else if !ok {
		f.allMissing(states)
		return f, nil
	}
	for _, e := range states {
		if e.Records > 0 {
			f.index = append(f.index, IndexEntry{e.Name, uint32(e.Records), e.Bytes, e.First - base, e.Last - base})
		}
	}
	f.survey = newSurvey(data, f.size, f.index)
	return f, f.compareStates()
}

// allMissing reports all records as missing.
func (f *findings) allMissing(states []Entry) {
	for _, e := range states {
		if e.Records > 0 {
			f.doubts = append(f.doubts, fmt.Sprintf("storage %s: none of its %d records is in %s", e.Name, e.Records, dataName))
		}
	}
}

// compareStates goes through the data file and looks for the records of each State. What
// is newer than a State does not count.
func (f *findings) compareStates() error {
	first, last := f.survey.sight(f.index)
	for i, e := range f.index {
		f.compareState(e, first[i], last[i])
	}
	return f.survey.scanner.err
}

func (f *findings) compareState(e IndexEntry, first, last sighting) {
	if first.chain == nil || first.chain != last.chain || first.segment != last.segment {
		f.doubt(e, "has no chain of records from the first offset to the last")
		return
	}
	live := State{first.chain.ID, e.First, e.Last, last.records - first.records, last.bytes - first.bytes}
	toDeliver := live
	toDeliver.Records -= last.delivered.records - first.delivered.records
	toDeliver.Bytes -= last.delivered.bytes - first.delivered.bytes
	f.live = append(f.live, Entry{e.Name, toDeliver})
	if live.Records != uint64(e.Records) || live.Bytes != e.Bytes {
		f.doubt(e, fmt.Sprintf("has %d records of %d bytes there", live.Records, live.Bytes))
	}
}
