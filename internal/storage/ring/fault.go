package ring

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// A page of a mapped file that the disk can't read, or that somebody has cut off the file, ends the
// process that touches it, unless the goroutine asks for a panic. Whatever touches the mapping here
// makes an error of that:
//
//	defer r.caught(mayFault(), &err)

// unreadable is what that means.
const unreadable = "a page of it can't be read or written: the disk fails, or somebody has cut the file; to do: look at the log of the system, and check the disk"

func mayFault() (before bool) { return debug.SetPanicOnFault(true) }

func (r *Ring) caught(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = r.faulted(p)
	}
}

// faulted is the error that a panic stands for. Another panic goes on.
func (r *Ring) faulted(p any) error {
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || len(r.mapped) == 0 {
		panic(p)
	}
	offset := fault.Addr() - uintptr(unsafe.Pointer(&r.mapped[0]))
	if offset >= uintptr(len(r.mapped)) {
		panic(p)
	}
	return &DamageError{File: r.Path(), Reason: unreadable, Offset: int64(offset)}
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
func (r *Ring) Unreadable() error { return &DamageError{File: r.Path(), Reason: unreadable} }
