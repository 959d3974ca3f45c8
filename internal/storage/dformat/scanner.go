package dformat

import (
	"container/heap"
	"encoding/binary"
	"io"
)

// scanner goes through the records of a data file one after another. Where there is none,
// it goes on at the next place where one can be: a place that a link leads to or that the
// caller knows, or a header that can hardly be anything else.
//
// Its memory does not depend on the size of the file, nor do lengths found there.
type scanner struct {
	size  int64   // of the file
	known []int64 // offsets where records should begin, ascending
	links linkHeap

	at     int64 // where to look next
	offset int64 // of the record found
	record header

	garbage func(from, to int64) // is called with each part of the file that holds no record
	err     error                // of reading

	here, ahead block // the file around at, and somewhere behind that
}

// newScanner returns a scanner of a file with a magic.
func newScanner(data io.ReaderAt, size int64, known []int64, garbage func(from, to int64)) *scanner {
	b := block{file: data, size: size}
	return &scanner{size: size, known: known, garbage: garbage, at: magicSize, here: b, ahead: b}
}

// scan finds the next record, sets offset and record, and reports whether there is one.
func (s *scanner) scan() bool {
	for s.err == nil && s.at+headerSize <= s.size {
		h, ok := s.header(s.at)
		if ok && !s.overlapped(s.at+h.size()) {
			s.offset, s.record = s.at, h
			s.at += h.size()
			if h.next > 0 && h.channel > 0 {
				heap.Push(&s.links, link{s.offset + h.next, h.channel})
			}
			return true
		}
		from := s.at
		s.resync()
		s.skipped(from, s.at)
	}
	if s.err == nil {
		s.skipped(s.at, s.size)
		s.at = s.size
	}
	return false
}

func (s *scanner) skipped(from, to int64) {
	if from < to && s.err == nil {
		s.garbage(from, to)
	}
}

// overlapped reports whether a record begins between at and next: then what lies at at
// only looks like one. Links and known places that have been passed are forgotten.
func (s *scanner) overlapped(next int64) bool {
	for len(s.known) > 0 && s.known[0] <= s.at {
		s.known = s.known[1:]
	}
	for len(s.links) > 0 && s.links[0].to < next {
		l := s.links[0]
		if l.to > s.at && s.leads(l) {
			return true
		}
		heap.Pop(&s.links)
	}
	for _, to := range s.known {
		if to >= next {
			break
		}
		if _, ok := s.header(to); ok {
			return true
		}
	}
	return false
}

// leads reports whether there is a record of the right storage at the end of a link.
func (s *scanner) leads(l link) bool {
	h, ok := s.header(l.to)
	return ok && h.channel == l.channel
}

// resync moves at to the next place where there is a record, or to the end.
func (s *scanner) resync() {
	from := s.at
	for s.at++; s.at+headerSize <= s.size && s.err == nil; s.at++ {
		for len(s.links) > 0 && s.links[0].to < s.at {
			heap.Pop(&s.links)
		}
		for len(s.known) > 0 && s.known[0] < s.at {
			s.known = s.known[1:]
		}
		switch {
		case len(s.links) > 0 && s.links[0].to == s.at && s.leads(s.links[0]),
			len(s.known) > 0 && s.known[0] == s.at && s.valid(s.at),
			s.plausible(s.at):
			return
		}
	}
	if s.err != nil {
		s.at = from
		return
	}
	s.at = s.size
}

func (s *scanner) valid(offset int64) bool {
	_, ok := s.header(offset)
	return ok
}

// plausible reports whether what lies at offset, inside garbage, is a record beyond
// reasonable doubt: the padding is 0, and it is followed by another one or by the end.
func (s *scanner) plausible(offset int64) bool {
	h, ok := s.padded(offset)
	if !ok || h.channel == 0 {
		return false
	}
	end := offset + h.size()
	if end == s.size {
		return true
	}
	_, ok = s.padded(end)
	return ok
}

// padded returns the header at offset and whether it is valid and the padding is 0.
func (s *scanner) padded(offset int64) (header, bool) {
	b := s.bytes(offset)
	if b == nil || binary.LittleEndian.Uint32(b[4:]) != 0 || binary.LittleEndian.Uint64(b[16:])>>8 != 0 {
		return header{}, false
	}
	return s.header(offset)
}

// header returns the header at offset and whether a record can begin with it.
func (s *scanner) header(offset int64) (header, bool) {
	b := s.bytes(offset)
	if b == nil {
		return header{}, false
	}
	return parseHeader(b, s.size-offset)
}

// bytes returns the 32 bytes at offset until the next call, or nil if they can't be read.
// Looking at places further on, of which there may be many in garbage, leaves the block at hand
// where it is.
func (s *scanner) bytes(offset int64) []byte {
	if s.err != nil || offset < 0 || offset > s.size-headerSize {
		return nil
	}
	from := &s.ahead
	if offset == s.at || s.here.has(offset, headerSize) {
		from = &s.here
	}
	var b []byte
	b, s.err = from.at(offset, headerSize)
	return b
}

// link is where a record says the next one of its storage is.
type link struct {
	to      int64
	channel uint32
}

// linkHeap is a heap with the nearest link first. It holds about one link per storage.
type linkHeap []link

func (h linkHeap) Len() int           { return len(h) }
func (h linkHeap) Less(i, j int) bool { return h[i].to < h[j].to }
func (h linkHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *linkHeap) Push(l any)        { *h = append(*h, l.(link)) }

func (h *linkHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	*h = (*h)[:last]
	return l
}
