package dformat

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// model is a D node's overflow: what its storages hold, beside the files.
type model struct {
	*builder
	r      *rand.Rand
	queues map[uint32][]modelRecord
	pushed int
	pops   int // one of so many operations is a pop
}

type modelRecord struct {
	at      int
	payload string
}

// use pushes and pops.
func (m *model) use(operations int) {
	for range operations {
		id := 1 + uint32(m.r.IntN(5))
		q := m.queues[id]
		if m.r.IntN(m.pops) == 0 && len(q) > 0 {
			m.queues[id] = q[1:]
			continue
		}
		m.pushed++
		record := modelRecord{len(m.data), fmt.Sprintf("%d-%d", id, m.pushed)}
		if len(q) == 0 {
			m.pushNew(id, record.payload)
		} else {
			m.push(id, record.payload)
		}
		m.queues[id] = append(q, record)
	}
}

func (m *model) index() (text string) {
	for id, q := range m.queues {
		if len(q) > 0 {
			size := 0
			for _, record := range q {
				size += len(record.payload)
			}
			text += line(fmt.Sprintf("c%d", id), len(q), size, q[0].at, q[len(q)-1].at)
		}
	}
	return text
}

// Whatever a D node has done before and after it wrote its index, and whatever is damaged then:
// of each storage the records are read in their order, and if not all are read that it holds, the
// files are kept.
func TestNothingIsLostFromWhatADNodeLeaves(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &model{newBuilder(), r, make(map[uint32][]modelRecord), 0, []int{2, 3, 1000}[r.IntN(3)]}
		m.use(r.IntN(60))
		index := m.index()
		exact := r.IntN(2) == 0
		if !exact {
			m.use(1 + r.IntN(30))
		}
		whole := bytes.Clone(m.data)
		damage := r.IntN(5)
		switch damage {
		case 1:
			at := r.IntN(len(m.data)-8+1) + 8
			copy(m.data[at:], garbageBytes(1+r.IntN(100)))
		case 2:
			m.raw(garbageBytes(1 + r.IntN(100)))
		case 3:
			m.data = m.data[:8+r.IntN(len(m.data)-8+1)]
		case 4: // a link that skips some records
			if q := m.queues[1+uint32(r.IntN(5))]; len(q) > 2 {
				from := r.IntN(len(q) - 2)
				m.link(q[from].at, q[from+2+r.IntN(len(q)-from-2)].at)
				whole = bytes.Clone(m.data)
			}
		}
		if len(m.data) == len(magic) && index == "" {
			continue
		}
		held := make(map[string][]string) // what is still in the file
		for id, q := range m.queues {
			for _, record := range q {
				end := record.at + headerSize + len(record.payload)
				if end <= len(m.data) && bytes.Equal(m.data[record.at:end], whole[record.at:end]) {
					held[fmt.Sprintf("c%d", id)] = append(held[fmt.Sprintf("c%d", id)], record.payload)
				}
			}
		}
		dir := m.dir(index)
		if !exact {
			dir.old = indexName
		}
		d, got := mustRead(t, dir)
		lost := 0
		for storage, records := range held {
			at := -1
			for _, record := range records {
				switch next := slices.Index(got[storage], record); {
				case next < 0:
					lost++
				case next < at:
					t.Errorf("%s is read before records that are older", record)
				default:
					at = next
				}
			}
		}
		if kept := asideOf(d.Sources) == bothAside; lost > 0 && !kept {
			t.Errorf("%d records are lost, and the files are not kept", lost)
		}
		if exact && damage == 0 {
			checkContents(t, got, held)
			if asideOf(d.Sources) != "" {
				t.Errorf("the files are set aside: %v", d.Findings)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d: damage %d, exact %v\nindex:\n%s\nheld %q\nread %q\n%v", seed, damage, exact, index, held, got, d.Findings)
		}
	}
}
