package disk

import (
	"runtime"
	"unsafe"
)

// Fault tells at which offset of a mapping a goroutine has touched a page that the disk can't read
// or write, or that somebody has cut off the file: p is what was recovered. Such a fault ends the
// process unless the goroutine has asked for a panic (debug.SetPanicOnFault). Any other panic goes on.
func Fault(p any, mapped []byte) (offset int64) {
	fault, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || len(mapped) == 0 {
		panic(p)
	}
	at := fault.Addr() - uintptr(unsafe.Pointer(&mapped[0]))
	if at >= uintptr(len(mapped)) {
		panic(p)
	}
	return int64(at)
}

// Unreadable is what a fault means, for a message that tells the file and the offset.
const Unreadable = "a page of it can't be read or written: the disk fails, or somebody has cut the file; " +
	"to do: look at the log of the system, and check the disk"
