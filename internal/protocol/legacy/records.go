package legacy

import "encoding/binary"

// Records are the records at the start of some bytes of a Produce stream.
type Records struct {
	Run   []byte // complete records, each with its length
	Count int
	// What follows the run, if it is known:
	End     bool   // the empty array that ends the stream
	TooLong uint64 // the length of an array longer than MaxArray; 0 = none
}

// DecodeRecords decodes the complete records at the start of b.
func DecodeRecords(b []byte) (r Records) {
	at := 0
	for len(b)-at >= LengthSize {
		length := binary.LittleEndian.Uint64(b[at:])
		if length == 0 {
			r.End = true
			break
		}
		if length > MaxArray {
			r.TooLong = length
			break
		}
		if length > uint64(len(b)-at-LengthSize) {
			break
		}
		at += LengthSize + int(length)
		r.Count++
	}
	r.Run = b[:at]
	return r
}

// All yields the records one by one.
func (r Records) All(yield func(Records) bool) {
	for rest := r.Run; len(rest) > 0; {
		end := LengthSize + int(binary.LittleEndian.Uint64(rest))
		if !yield(Records{Run: rest[:end], Count: 1}) {
			return
		}
		rest = rest[end:]
	}
}
