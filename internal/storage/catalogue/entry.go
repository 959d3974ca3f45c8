package catalogue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// What an entry says. Numbers are varints, strings have their length in front.
const (
	opNext     = 1 // number: of the next queue
	opAdd      = 2 // queue
	opRename   = 3 // count, numbers, name
	opRemove   = 4 // count, numbers
	opFirst    = 5 // number, link
	opTakeover = 6 // count, queues, count, sources
)

func appendNext(b []byte, next uint64) []byte {
	return binary.AppendUvarint(append(b, opNext), next)
}

func appendAdd(b []byte, q Queue) []byte { return appendQueue(append(b, opAdd), q) }

func appendQueue(b []byte, q Queue) []byte {
	b = binary.AppendUvarint(b, q.Number)
	b = appendString(b, q.Name)
	return appendLink(b, q.First)
}

func appendRename(b []byte, numbers []uint64, name string) []byte {
	return appendString(appendNumbers(append(b, opRename), numbers), name)
}

func appendRemove(b []byte, numbers []uint64) []byte {
	return appendNumbers(append(b, opRemove), numbers)
}

func appendNumbers(b []byte, numbers []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(numbers)))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendFirst(b []byte, number uint64, first ring.Link) []byte {
	return appendLink(binary.AppendUvarint(append(b, opFirst), number), first)
}

func appendTakeover(b []byte, queues []Queue, sources []dformat.Source) []byte {
	b = binary.AppendUvarint(append(b, opTakeover), uint64(len(queues)))
	for _, q := range queues {
		b = appendQueue(b, q)
	}
	b = binary.AppendUvarint(b, uint64(len(sources)))
	for _, s := range sources {
		b = appendString(b, s.Name)
		b = binary.AppendUvarint(b, s.Inode)
		b = binary.AppendUvarint(b, s.ModTime)
		b = binary.AppendUvarint(b, s.Size)
		b = appendString(b, s.Aside)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendLink(b []byte, l ring.Link) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(l.Kind)), l.Number)
}

// reader reads the payload of an entry. After a mistake everything is zero.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("it ends too early")

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errShort
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errShort
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) numbers() (all []uint64) {
	for n := r.number(); n > 0 && r.err == nil; n-- {
		all = append(all, r.number())
	}
	return all
}

func (r *reader) link() ring.Link {
	kind := ring.Kind(r.number())
	l := ring.Link{Kind: kind, Number: r.number()}
	if kind > ring.Spill && r.err == nil {
		r.err = fmt.Errorf("a file of kind %d", kind)
	}
	return l
}

func (r *reader) queue() Queue { return Queue{r.number(), r.text(), r.link()} }

// apply changes what the catalogue says by an entry.
func (c *Content) apply(payload []byte) error {
	if len(payload) == 0 {
		return errShort
	}
	r := &reader{b: payload[1:]}
	switch payload[0] {
	case opNext:
		c.Next = max(c.Next, r.number())
	case opAdd:
		c.add(r.queue(), r)
	case opRename:
		numbers := r.numbers()
		name := r.text()
		for _, number := range numbers {
			c.change(number, r, func(q *Queue) { q.Name = name })
		}
	case opRemove:
		for _, number := range r.numbers() {
			delete(c.Queues, number)
		}
	case opFirst:
		number, link := r.number(), r.link()
		c.change(number, r, func(q *Queue) { q.First = link })
	case opTakeover:
		for n := r.number(); n > 0 && r.err == nil; n-- {
			c.add(r.queue(), r)
		}
		c.Sources = nil
		for n := r.number(); n > 0 && r.err == nil; n-- {
			c.Sources = append(c.Sources, dformat.Source{
				Name: r.text(), Inode: r.number(), ModTime: r.number(), Size: r.number(), Aside: r.text(),
			})
		}
	default:
		return fmt.Errorf("unknown operation %d", payload[0])
	}
	return r.err
}

func (c *Content) add(q Queue, r *reader) {
	if r.err == nil {
		c.Queues[q.Number] = q
		c.Next = max(c.Next, q.Number+1)
	}
}

func (c *Content) change(number uint64, r *reader, change func(*Queue)) {
	q, ok := c.Queues[number]
	switch {
	case r.err != nil:
	case !ok:
		r.err = fmt.Errorf("queue %d is unknown", number)
	default:
		change(&q)
		c.Queues[number] = q
	}
}
