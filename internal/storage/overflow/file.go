package overflow

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Names of the files. D ignores any other file whose suffix is .dat or .csv.
const (
	dataName  = "overflow.dat"
	indexName = "ofchannels.csv"
)

// loggerName is the logger of everything that is not about one of the files; their
// loggers are named by their paths (operations spec §7.3).
const loggerName = "diskoverflow"

// Logs returns the logger of that name.
type Logs func(name string) *zap.Logger

// File is the data file of the overflow, shared by all storages of the node. Its methods
// are safe for concurrent use.
type File struct {
	dir     disk.Dir
	names   fileNames
	data    disk.File
	publish func(Global)
	log     *zap.Logger // diskoverflow
	dataLog *zap.Logger // the path of the data file

	cutUnit  int64 // what CutHead removes is a multiple of it
	hasMagic bool  // the file was found with a correct magic

	moving sync.RWMutex // see the package comment
	mu     sync.Mutex   // guards everything below

	base    int64 // logical position of the first byte, Global.Base; written with moving too
	end     int64 // logical position behind the last record; base if there is no magic
	size    int64 // of the file
	window  window
	queues  map[uint32]*Queue // by id
	lastID  uint32            // the highest one given out
	busy    int               // queues that hold records, or did when last published
	pushed  bool              // end is where records are appended
	indexed bool              // the index file may hold entries
	canCut  bool              // the file system can remove the head of a file, or may
	held    *hold             // see Hold

	blocks blockPool
}

// patch is bytes of the data file.
type patch struct {
	offset int64
	bytes  []byte
}

type fileNames struct{ data, index string }

// Open opens the data file, creates it and an empty index if necessary, and finishes an
// interrupted CutHead. g is what was last given to publish, or zero for files that
// [Recover] has checked; if the file does not fit it, the error is ErrResized. publish is called whenever that changes, once by Open itself,
// and must store it before it returns. It is called with locks held and must not call
// back.
//
// Before the first push every storage that holds records must be attached: what lies
// behind the last of their records is overwritten.
func Open(dir disk.Dir, logs Logs, g Global, publish func(Global)) (*File, error) {
	f, err := open(dir, fileNames{dataName, indexName}, logs, g, publish)
	if err != nil {
		return nil, err
	}
	f.canCut = probe(dir, f.log)
	return f, nil
}

func open(dir disk.Dir, names fileNames, logs Logs, g Global, publish func(Global)) (_ *File, err error) {
	f := &File{
		dir: dir, names: names, publish: publish,
		log: logs(loggerName), dataLog: logs(dir.Path(names.data)),
		queues: make(map[uint32]*Queue),
		window: window{step: firstStep}, cutUnit: cutUnit,
	}
	if f.data, err = dir.OpenOrCreate(names.data); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.data.Close()
		}
	}()
	if f.size, err = f.data.Size(); err != nil {
		return nil, err
	}
	if f.base, err = finishCut(g, f.size); err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Path(names.data), err)
	}
	f.end = f.base
	if f.hasMagic, err = hasMagic(f.data, f.size); err != nil {
		return nil, err
	}
	if f.indexed, err = f.openIndex(); err != nil {
		return nil, err
	}
	f.publish(Global{Base: f.base})
	f.dataLog.Info("file opened", zap.Int64("size", f.size))
	return f, nil
}

// hasMagic reports whether the file begins with the magic.
func hasMagic(data io.ReaderAt, size int64) (bool, error) {
	if size < magicSize {
		return false, nil
	}
	var b [magicSize]byte
	if err := readFull(data, b[:], 0); err != nil {
		return false, err
	}
	return string(b[:]) == magic, nil
}

// readFull fills b or fails: a file that ends early is an error.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return fmt.Errorf("%w: %d of %d bytes at offset %d", io.ErrUnexpectedEOF, n, len(b), offset)
	}
	return err
}

// Create returns the queue of a new storage, with the next id (storage spec §3.6).
func (f *File) Create(name string) (*Queue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastID == math.MaxUint32 {
		return nil, fmt.Errorf("overflow of storage %q: all %d ids are used", name, f.lastID)
	}
	f.lastID++
	q := newQueue(f, name, f.lastID)
	f.queues[q.state.ID] = q
	f.log.Info("new overflow channel", zap.Uint32("id", q.state.ID), zap.String("name", name))
	return q, nil
}

// Attach returns the queue of a storage that existed before, with the records of that
// State. It fails if the file doesn't have the newest of them, and after a first push; then
// nothing is changed. A link that leads to records that are newer than the State is removed,
// and they with it.
func (f *File) Attach(name string, s State) (*Queue, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := newQueue(f, name, s.ID)
	if other := f.queues[s.ID]; other != nil || s.ID == 0 {
		return nil, fmt.Errorf("overflow of storage %q: id %d is not its own", name, s.ID)
	}
	if s.Records > 0 {
		if f.pushed {
			return nil, fmt.Errorf("overflow of storage %q: its records may have been overwritten by others: "+
				"all storages must be attached before the first push", name)
		}
		if err := q.restore(s); err != nil {
			return nil, fmt.Errorf("overflow of storage %q: %w", name, err)
		}
		f.busy++
		f.end = max(f.end, q.newestEnd)
		f.log.Info("overflow channel found", zap.Uint32("id", s.ID), zap.String("name", name),
			zap.Uint64("records", q.state.Records), zap.Uint64("bytes", q.state.Bytes), zap.Int64("first", q.state.First-f.base))
	}
	f.queues[s.ID] = q
	f.lastID = max(f.lastID, s.ID)
	return q, nil
}

// Sync makes the records durable that were pushed before the call.
func (f *File) Sync() error { return f.data.Sync() }

// Close ends a clean stop: it leaves the files as a D node expects them (storage spec §9),
// none if there are no records. No queue may be used any more. After an error the files
// hold all records, but may not be fit for a D node.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unmap()
	entries := f.entries()
	f.report(entries)
	if len(entries) == 0 {
		return f.remove()
	}
	err := f.finish()
	if closeErr := f.data.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.writeIndex("", entries)
	}
	if err == nil {
		f.dataLog.Info("file closed", zap.Int64("size", f.end-f.base))
	}
	return err
}

// report logs what is left at the end (operations spec §7.5).
func (f *File) report(entries []Entry) {
	for _, e := range entries {
		f.log.Info("overflow channel", zap.Uint32("id", e.ID), zap.String("name", e.Name),
			zap.Uint64("records", e.Records), zap.Uint64("bytes", e.Bytes))
	}
	f.reportTotal(entries)
}

// Report logs the totals, at the start when everything is attached (operations spec §7.5).
func (f *File) Report() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reportTotal(f.entries())
}

func (f *File) reportTotal(entries []Entry) {
	if len(entries) == 0 {
		f.log.Info("the overflow is empty")
		return
	}
	var records, bytes uint64
	for _, e := range entries {
		records += e.Records
		bytes += e.Bytes
	}
	f.log.Info("the overflow in total", zap.Int("channels", len(entries)),
		zap.Uint64("records", records), zap.Uint64("bytes", bytes))
}

// finish ends every chain with its newest record, and the data file behind the last of
// these: then whatever lies there and is in no chain lies before a record that the index
// knows, and [Recover] takes it for consumed, whatever becomes of the times of the files.
func (f *File) finish() error {
	f.end = f.base
	for _, q := range f.queues {
		if q.state.Records > 0 {
			if err := q.unlink(); err != nil {
				return err
			}
			f.end = max(f.end, q.newestEnd)
		}
	}
	if err := f.data.Truncate(f.end - f.base); err != nil {
		return err
	}
	return f.data.Sync()
}

// remove deletes both files, and an index that was never completed.
func (f *File) remove() error {
	err := f.data.Close()
	for _, name := range []string{f.names.data, f.names.index, newIndexName} {
		if removeErr := f.dir.Remove(name); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	if err = errors.Join(err, f.dir.Sync()); err == nil {
		f.dataLog.Info("file deleted")
	}
	return err
}

// Abandon closes the file and leaves it as it is, for a start that fails. No queue may be
// used any more.
func (f *File) Abandon() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.abandon()
}

func (f *File) abandon() error {
	f.unmap()
	return f.data.Close()
}

// Leave closes the file after Attach has failed: the States don't fit the file. They become
// the index; then the owner forgets its States and calls [Recover], which finds out what
// the file proves.
func (f *File) Leave(entries []Entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unmap()
	return errors.Join(f.writeIndex("", entries), f.data.Close())
}

// entries returns the queues that hold records, by id. No queue may be in use.
func (f *File) entries() []Entry {
	var entries []Entry
	for _, q := range f.queues {
		if q.state.Records > 0 {
			entries = append(entries, Entry{q.name, q.state})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	return entries
}

// reset empties the file after the last record has gone, and the index with it. If that
// fails, the file just stays as long as it is.
func (f *File) reset() {
	f.unmap()
	if err := f.data.Truncate(0); err != nil {
		f.dataLog.Error("can't empty the file; look for disk errors, the next start tries it again", zap.Error(err))
		return
	}
	f.size, f.end, f.window.step = 0, f.base, firstStep
	if len(f.queues) == 0 {
		f.lastID = 0
	}
	if err := f.emptyIndex(); err != nil {
		f.log.Error("can't empty the index; look for disk errors, the next start tries it again", zap.Error(err))
	}
}
