package listener

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// RestrictTo makes all threads of the process run on one CPU. It is to be called
// before work starts: threads created meanwhile could be missed.
func RestrictTo(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("restricting the process to CPU %d: %w", cpu, err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		// A thread that has ended since is no loss.
		if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("restricting the process to CPU %d: sched_setaffinity: %w", cpu, err)
		}
	}
	return nil
}
