package storage

import (
	"errors"
	"io/fs"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// pool is files that are ready to be used, so that nobody waits for one to be made. It holds as
// many as were needed at once before, within limits; a node that never needs any makes none.
type pool struct {
	store *store
	kind  ring.Kind

	mu      sync.Mutex
	spares  []*ring.Spare
	want    int
	filling bool
	closed  bool
}

const (
	firstSpares = 2
	mostSpares  = 32
)

// makePart makes a part, as takes long, in one of the files. It needs no lock.
func (p *pool) makePart(number uint64, name string, capacity uint64) (*part, error) {
	spare, err := p.take()
	if err != nil {
		return nil, err
	}
	r, err := spare.Use(number, name, capacity)
	if err != nil {
		return nil, errors.Join(err, spare.Discard())
	}
	if p.kind == ring.Main && p.store.options.ReserveAll {
		if work := r.FillAll(); work != nil {
			err = work.Do()
		}
		if err != nil {
			p.store.remove(r)
			return nil, err
		}
	}
	return &part{Ring: r, number: number}, nil
}

// check fails if there is no file, and the disk is known to be full.
func (p *pool) check() error {
	p.mu.Lock()
	some := len(p.spares) > 0
	p.mu.Unlock()
	if some {
		return nil
	}
	return p.store.floorOf(p.kind).Check()
}

// take returns a file of the pool, or makes one.
func (p *pool) take() (*ring.Spare, error) {
	p.mu.Lock()
	var spare *ring.Spare
	if len(p.spares) > 0 {
		spare = p.spares[0]
		p.spares = slices.Delete(p.spares, 0, 1) // the oldest, so that numbers tell in which order files were used
	} else {
		p.want = min(max(firstSpares, 2*p.want), mostSpares)
	}
	fill := !p.filling && 2*len(p.spares) < p.want
	p.filling = p.filling || fill
	p.mu.Unlock()
	var err error
	if spare == nil {
		spare, err = p.make()
	}
	if fill {
		p.store.preparer.do(p.fill)
	}
	return spare, err
}

func (p *pool) make() (*ring.Spare, error) {
	st := p.store
	for {
		spare, err := ring.NewSpare(st.dirOf(p.kind), st.catalogue.Instance(), ring.Link{Kind: p.kind, Number: st.nextFile()})
		if !errors.Is(err, fs.ErrExist) {
			return spare, err
		} // another node has its rings in the same directory
	}
}

// fill makes files until there are as many as are wanted.
func (p *pool) fill() {
	for {
		p.mu.Lock()
		if p.closed || len(p.spares) >= p.want {
			p.filling = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		spare, err := p.make()
		p.mu.Lock()
		if err == nil && !p.closed {
			p.spares = append(p.spares, spare)
			p.mu.Unlock()
			continue
		}
		p.filling = false
		p.mu.Unlock()
		if err == nil {
			err = spare.Discard()
		}
		if err != nil {
			p.store.log.Debug("no files could be made in advance", zap.Error(err)) // who needs one will tell
		}
		return
	}
}

// close deletes the files.
func (p *pool) close() (err error) {
	p.mu.Lock()
	spares := p.spares
	p.spares, p.closed = nil, true
	p.mu.Unlock()
	for _, spare := range spares {
		err = errors.Join(err, spare.Discard())
	}
	return err
}
