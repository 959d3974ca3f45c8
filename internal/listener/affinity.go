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
		switch err := unix.SchedSetaffinity(tid, &set); err {
		case nil, unix.ESRCH: // a thread that has ended since is no loss
		case unix.EINVAL:
			return fmt.Errorf("restricting the process to CPU %d: there is no such CPU, or none for this process (the first is 0; [Server] cpu = -1 is for all)", cpu)
		default:
			return fmt.Errorf("restricting the process to CPU %d: sched_setaffinity: %w", cpu, err)
		}
	}
	return nil
}
