package overflow

import (
	"fmt"
	"strings"
	"time"
)

// builder makes data files, as a D node would or worse.
type builder struct {
	data []byte
	last map[uint32]int // offset of the newest record by id
}

func newBuilder() *builder {
	return &builder{data: []byte(magic), last: make(map[uint32]int)}
}

// push appends a record and links it. It returns its offset.
func (b *builder) push(id uint32, payload string) int {
	if last, ok := b.last[id]; ok {
		b.link(last, len(b.data))
	}
	return b.pushNew(id, payload)
}

// pushNew appends the first record of a chain.
func (b *builder) pushNew(id uint32, payload string) int {
	at := len(b.data)
	b.last[id] = at
	h := make([]byte, headerSize)
	header{channel: id, length: uint64(len(payload))}.put(h)
	b.data = append(append(b.data, h...), payload...)
	return at
}

// raw appends any bytes and returns their offset.
func (b *builder) raw(text string) int {
	at := len(b.data)
	b.data = append(b.data, text...)
	return at
}

// link makes the record at one offset point to another.
func (b *builder) link(from, to int) {
	h, _ := parseHeader(b.data[from:])
	h.next = int64(to - from)
	h.put(b.data[from:])
}

// dir returns a directory with the data file and that index.
func (b *builder) dir(index string) *memDir {
	d := newMemDir()
	now := time.Now()
	d.put(dataName, b.data, now)
	d.put(indexName, []byte(index), now)
	return d
}

// killed returns such a directory of a node that was killed long after it had written the
// index.
func (b *builder) killed(index string) *memDir {
	d := b.dir(index)
	d.files[indexName].modified = time.Now().Add(-time.Minute)
	return d
}

// line returns a line of an index.
func line(name string, records, bytes, first, last int) string {
	return fmt.Sprintf("%s %d %d %d %d\n", name, records, bytes, first, last)
}

// garbageBytes returns n bytes that are no header wherever one looks.
func garbageBytes(n int) string { return strings.Repeat("\xa5\x5a\xff", n)[:n] }
