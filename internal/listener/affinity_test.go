package listener

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// All threads of the process are restricted, those included that start later.
func TestRestrictTo(t *testing.T) {
	if inParent(t) {
		return
	}
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	if err := RestrictTo(cpu); err != nil {
		t.Fatal(err)
	}
	startGroup(t, 4) // some more threads
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &set); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		} else if err == nil && (set.Count() != 1 || !set.IsSet(cpu)) {
			t.Errorf("thread %d may run on %d CPUs, want on CPU %d only", tid, set.Count(), cpu)
		}
	}
}

func TestRestrictToNoSuchCPU(t *testing.T) {
	for _, cpu := range []int{1023, 5000} {
		err := RestrictTo(cpu)
		if want := fmt.Sprintf("restricting the process to CPU %d: there is no such CPU", cpu); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q …", err, want)
		}
	}
}
