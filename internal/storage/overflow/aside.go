package overflow

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Setting the files aside and writing new ones is done in an order in which a kill loses
// nothing, and which finishAside can tell from what it finds:
//
//  1. write overflow-rebuilt.dat, then ofchannels-rebuilt.csv
//  2. overflow.dat   → overflow-aside-N.dat
//  3. ofchannels.csv → ofchannels-aside-N.csv
//  4. overflow-rebuilt.dat   → overflow.dat
//  5. ofchannels-rebuilt.csv → ofchannels.csv
var rebuilt = fileNames{"overflow-rebuilt.dat", "ofchannels-rebuilt.csv"}

const (
	asideData  = "overflow-aside-%d.dat"
	asideIndex = "ofchannels-aside-%d.csv"
)

// setAside moves the files aside and writes new ones with the live records. It logs that
// before it does it, so that being killed meanwhile leaves no unexplained files.
func (f *findings) setAside(dir disk.Dir, log *zap.Logger) error {
	if err := f.rebuild(dir); err != nil {
		return errors.Join(err, finishAside(dir))
	}
	n, err := lastAside(dir)
	if err != nil {
		return err
	}
	moves := [][2]string{{dataName, fmt.Sprintf(asideData, n+1)}, {indexName, fmt.Sprintf(asideIndex, n+1)}}
	moves = slices.DeleteFunc(moves, func(move [2]string) bool {
		_, err := dir.Stat(move[0])
		return errors.Is(err, fs.ErrNotExist)
	})
	f.reportAside(dir, log, moves)
	for _, move := range moves {
		if err := dir.Rename(move[0], move[1]); err != nil {
			return err
		}
	}
	return finishAside(dir)
}

// finishAside completes an interrupted setAside, or undoes it if the files were still in
// their places.
func finishAside(dir disk.Dir) error {
	there := make(map[string]bool)
	for _, name := range []string{dataName, indexName, rebuilt.data, rebuilt.index} {
		_, err := dir.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		there[name] = err == nil
	}
	switch {
	case there[rebuilt.data] && there[rebuilt.index] && !there[dataName]:
		if there[indexName] {
			if err := setIndexAside(dir); err != nil {
				return err
			}
		}
		if err := dir.Rename(rebuilt.data, dataName); err != nil {
			return err
		}
	case there[rebuilt.data]: // step 1 or before 2
		if there[rebuilt.index] {
			if err := dir.Remove(rebuilt.index); err != nil {
				return err
			}
		}
		return dir.Remove(rebuilt.data)
	case !there[rebuilt.index]:
		return nil
	}
	if err := dir.Rename(rebuilt.index, indexName); err != nil {
		return err
	}
	return dir.Sync()
}

// setIndexAside moves the index next to the data file that was set aside last.
func setIndexAside(dir disk.Dir) error {
	n, err := lastAside(dir)
	if err != nil {
		return err
	}
	name := fmt.Sprintf(asideIndex, n)
	if _, err := dir.Stat(name); err == nil || n == 0 {
		name = fmt.Sprintf(asideIndex, n+1)
	}
	return dir.Rename(indexName, name)
}

// lastAside returns the highest number of the files that are set aside, 0 if there are
// none.
func lastAside(dir disk.Dir) (int, error) {
	list, err := dir.List()
	if err != nil {
		return 0, err
	}
	last := 0
	for _, entry := range list {
		for _, format := range []string{asideData, asideIndex} {
			var n int
			if _, err := fmt.Sscanf(entry.Name(), format, &n); err == nil {
				last = max(last, n)
			}
		}
	}
	return last, nil
}

// rebuild writes new files with the live records.
func (f *findings) rebuild(dir disk.Dir) error {
	if len(f.live) == 0 {
		if err := writeFile(dir, rebuilt.data, nil); err != nil {
			return err
		}
		return writeFile(dir, rebuilt.index, nil)
	}
	silent := func(string) *zap.Logger { return zap.NewNop() }
	to, err := open(dir, rebuilt, silent, Global{}, func(Global) {})
	if err != nil {
		return err
	}
	if err := f.copyLive(dir, to); err != nil {
		return errors.Join(err, to.Abandon())
	}
	return to.Close()
}

// copyLive appends the live records to another data file.
func (f *findings) copyLive(dir disk.Dir, to *File) error {
	data, err := dir.Open(dataName)
	if err != nil {
		return err
	}
	defer data.Close()
	size, err := data.Size()
	if err != nil {
		return err
	}
	type target struct {
		*Queue
		first int64 // offset of the first record to copy
	}
	targets := make(map[uint32]target)
	for _, e := range f.live {
		q, err := to.Attach(e.Name, State{ID: e.ID})
		if err != nil {
			return err
		}
		targets[e.ID] = target{q, e.First}
	}
	var payload []byte
	s := newSurvey(data, size, f.index)
	for s.next() {
		t, ok := targets[s.chain.ID]
		if !ok || s.scanner.offset < t.first || s.chain.isDelivered {
			continue
		}
		payload = resize(payload, int(s.scanner.record.length))
		if err := readFull(data, payload, s.scanner.offset+headerSize); err != nil {
			return err
		}
		if err := t.Push(payload); err != nil {
			return err
		}
	}
	return s.scanner.err
}

func resize(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// reportAside logs what an operator must know.
func (f *findings) reportAside(dir disk.Dir, log *zap.Logger, moves [][2]string) {
	for _, move := range moves {
		log.Error("an overflow file is set aside", zap.String("file", dir.Path(move[0])), zap.String("now", dir.Path(move[1])))
	}
	var records uint64
	for _, e := range f.live {
		records += e.Records
	}
	log.Error("it is not certain which overflow records are still to be delivered, or to whom. "+
		"Those that are certain stay in service. To deliver others, put the files that were set aside "+
		"into an empty data directory under their old names, write a line "+
		"'<storage name> <records> <bytes> <first> <last>' for each storage into the index, "+
		"start a node there and consume the records",
		zap.String("reason", strings.Join(slices.Concat(f.doubts, f.stale), "; ")),
		zap.Int("storages in service", len(f.live)), zap.Uint64("records in service", records))
	for _, c := range f.unknown() {
		log.Error("overflow records without a storage are set aside; if they are still needed, 'dmq extract' makes a dump of them",
			zap.Uint32("id", c.ID), zap.Uint64("records", c.Records), zap.Uint64("bytes", c.Bytes),
			zap.Int64("first", c.First), zap.Int64("last", c.Last))
	}
}
