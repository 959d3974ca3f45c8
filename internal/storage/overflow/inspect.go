package overflow

import "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"

// Doubts tells why [Recover] would set the files of a directory aside. There are none if it
// would not. It only reads, but all of the data file.
func Doubts(dir disk.Dir) ([]string, error) {
	f, err := examine(dir)
	if err != nil {
		return nil, err
	}
	return f.doubts, nil
}

// Records hands out the payloads of the records with that id, from the one at an offset of
// the data file on, oldest first: those that [Check] has counted for an [Entry] or [Chain]
// that begins there. A payload is valid until the next one. It only reads.
func Records(dir disk.Dir, id uint32, first int64, emit func(payload []byte) error) error {
	index, err := readIndex(dir, indexName)
	if err != nil {
		return err
	}
	data, err := dir.Open(dataName)
	if err != nil {
		return err
	}
	defer data.Close()
	size, err := data.Size()
	if err != nil {
		return err
	}
	var payload []byte
	s := newSurvey(data, size, index.entries)
	for s.next() {
		if s.chain.ID != id || s.scanner.offset < first {
			continue
		}
		payload = resize(payload, int(s.scanner.record.length))
		if err := readFull(data, payload, s.scanner.offset+headerSize); err != nil {
			return err
		}
		if err := emit(payload); err != nil {
			return err
		}
	}
	return s.scanner.err
}
