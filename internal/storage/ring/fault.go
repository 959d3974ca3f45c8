package ring

import (
	"runtime/debug"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Whatever touches the mapping of a file makes an error of a fault (see disk.Fault):
//
//	defer r.caught(mayFault(), &err)

func mayFault() (before bool) { return debug.SetPanicOnFault(true) }

func (r *Ring) caught(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = r.fault(p, r.mapped)
	}
}

// caughtIn does the same for another mapping of the file.
func (r *Ring) caughtIn(mapped []byte, before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = r.fault(p, mapped)
	}
}

func (r *Ring) fault(p any, mapped []byte) error {
	return &DamageError{File: r.Path(), Reason: disk.Unreadable, Offset: disk.Fault(p, mapped)}
}

// Failed is why the head of the file does not tell what was published, or nil.
func (r *Ring) Failed() error { return r.failed }

// Readable reports whether bytes that were handed out can still be read.
func (r *Ring) Readable(run []byte) (ok bool) {
	defer r.caught(mayFault(), new(error))
	touch(run)
	return true
}

// Unreadable is the error of bytes that are not Readable.
func (r *Ring) Unreadable() error { return &DamageError{File: r.Path(), Reason: disk.Unreadable} }
