package neo

import (
	"encoding/binary"
	"fmt"
)

// Arrays is a cursor over a sequence of arrays, such as the channels of a Push or the
// records of a batch. Decoders return it validated, so it can't fail. A copy is a cursor
// of its own: copy it to go over the arrays more than once. The zero value is at the end.
type Arrays struct {
	encoded []byte // complete arrays and nothing else
}

// Next returns the next array, which may be empty, and moves behind it. ok is false at
// the end.
func (a *Arrays) Next() (array []byte, ok bool) {
	if len(a.encoded) == 0 {
		return nil, false
	}
	size := countSize + int(binary.LittleEndian.Uint64(a.encoded))
	array, a.encoded = a.encoded[countSize:size:size], a.encoded[size:]
	return array, true
}

// arraySize returns the size of the first array of b including its length, or 0 if b does
// not hold a whole one.
func arraySize(b []byte) int {
	if len(b) < countSize {
		return 0
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-countSize) {
		return 0
	}
	return countSize + int(n)
}

// All yields the arrays that are left. It does not move the cursor.
func (a Arrays) All(yield func([]byte) bool) {
	for array, ok := a.Next(); ok; array, ok = a.Next() {
		if !yield(array) {
			return
		}
	}
}

// cutArray splits the first array off b. ok is false, and the results empty, if b does not
// hold a whole one.
func cutArray(b []byte) (array, rest []byte, ok bool) {
	size := arraySize(b)
	if size == 0 {
		return nil, nil, false
	}
	return b[countSize:size:size], b[size:], true
}

// cutArrays splits the first count arrays off b. ok is false if there are fewer.
func cutArrays(b []byte, count int) (arrays Arrays, rest []byte, ok bool) {
	end := 0
	for range count {
		size := arraySize(b[end:])
		if size == 0 {
			return Arrays{}, nil, false
		}
		end += size
	}
	return Arrays{b[:end:end]}, b[end:], true
}

// parseArray decodes b as exactly one array. what names it in the error.
func parseArray(b []byte, what string) ([]byte, error) {
	array, rest, ok := cutArray(b)
	if !ok {
		return nil, tooShort(what)
	}
	if len(rest) != 0 {
		return nil, leftOver(what, len(rest))
	}
	return array, nil
}

// parseArrays decodes b as arrays up to its end. what names one of them in the error.
func parseArrays(b []byte, what string) (Arrays, error) {
	for rest := b; len(rest) > 0; {
		size := arraySize(rest)
		if size == 0 {
			return Arrays{}, tooShort(what)
		}
		rest = rest[size:]
	}
	return Arrays{b}, nil
}

func appendArray[T string | []byte](dst []byte, array T) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(array)))
	return append(dst, array...)
}

func tooShort(what string) error {
	return fmt.Errorf("%w: %s goes beyond its end", ErrMalformed, what)
}

func leftOver(what string, n int) error {
	return fmt.Errorf("%w: %d bytes left over behind %s", ErrMalformed, n, what)
}

// ParseArrays decodes b as arrays up to its end. A legacy stream of records looks the same.
func ParseArrays(b []byte) (Arrays, error) { return parseArrays(b, "array") }

// AppendRecord appends a record of a batch.
func AppendRecord(dst, value []byte) []byte { return appendArray(dst, value) }
