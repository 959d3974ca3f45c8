//go:build unix

package recordfile

import (
	"os"
	"syscall"
)

// lock makes the file this process's alone, among those that lock it.
func lock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
