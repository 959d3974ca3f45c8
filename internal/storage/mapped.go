package storage

import (
	"errors"
	"sync"
)

// mapped bounds how many files of rings are mapped at once: the system allows a process only so
// many mappings, and without one more the runtime can't go on. When there are as many as may be,
// those that were mapped first and are not used at the moment make room.
type mapped struct {
	most int // 0 = any number

	mu    sync.Mutex
	parts []mappedPart // oldest first; some are not mapped any more
}

type mappedPart struct {
	storage *Storage
	part    *part
}

// mostTries is how many parts are looked at for one to make room.
const mostTries = 256

var errMappings = errors.New("too many ring files are in use at once (make vm.max_map_count larger)")

// room makes room for one more. It is called with the lock of any channel, or none.
func (m *mapped) room() error {
	for range mostTries {
		oldest, full := m.oldest()
		if !full {
			return nil
		}
		if !oldest.storage.release(oldest.part) {
			m.note(oldest.storage, oldest.part)
		}
	}
	if _, full := m.oldest(); full {
		return errMappings
	}
	return nil
}

// oldest takes the oldest one off the list if there are as many as may be.
func (m *mapped) oldest() (oldest mappedPart, full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most == 0 || len(m.parts) < m.most {
		return mappedPart{}, false
	}
	oldest, m.parts = m.parts[0], m.parts[1:]
	return oldest, true
}

// note adds one that is mapped now.
func (m *mapped) note(s *Storage, p *part) {
	if m.most == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts = append(m.parts, mappedPart{s, p})
}

// release gives up the mapping of a part, and tells whether it has none any more. The channel must
// not be waited for: the caller may have it, or another one, locked.
func (s *Storage) release(p *part) bool {
	if !s.channel.mu.TryLock() {
		return false
	}
	defer s.channel.mu.Unlock()
	switch {
	case s.reserved == p || s.taking != nil || s.pushing != nil: // or somebody is about to use it
		return false
	case !p.isOf(s):
		return true
	case s.dirty || p.Waiting() < p.Held():
		return false
	}
	if unmap := p.Detach(); unmap != nil {
		s.channel.store.later(unmap)
	}
	return true
}
