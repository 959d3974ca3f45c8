package storage

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// holder names the process that has a lock on a file, as the end of a message, as far as the
// system tells.
func holder(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return ""
	}
	// 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
	inode := fmt.Sprintf(":%d", stat.Ino)
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], inode) {
			continue
		}
		name, _ := os.ReadFile("/proc/" + fields[4] + "/comm")
		return fmt.Sprintf(": %s (%s)", fields[4], strings.TrimSpace(string(name)))
	}
	return ""
}
