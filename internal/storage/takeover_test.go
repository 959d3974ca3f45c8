package storage

import "encoding/binary"

// dumpOf is a dump file of these records (storage spec §2.1).
func dumpOf(records ...string) []byte {
	var run []byte
	for _, r := range records {
		run = appendRecord(run, []byte(r))
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(records)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(run)))
	return append(b, run...)
}
