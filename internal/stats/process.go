package stats

import (
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Process is what the kernel tells about this process. What it does not tell is zero, and
// then Machine is.
type Process struct {
	User, System time.Duration // CPU time since the start
	Virtual, RSS uint64        // bytes
	Machine      uint64        // memory of the machine, bytes
}

// sizes is where the kernel tells the sizes of this process.
const sizes = "/proc/self/statm"

// readProcess also returns the CPU time if it cannot read the file with the sizes, for lack
// of descriptors as a rule: a counter must not start again from zero.
func readProcess(sizes string) (p Process, err error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return p, fmt.Errorf("getrusage: %w", err)
	}
	p.User, p.System = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	statm, err := os.ReadFile(sizes)
	if err != nil {
		return p, err
	}
	var virtual, resident uint64
	if _, err := fmt.Sscan(string(statm), &virtual, &resident); err != nil {
		return p, fmt.Errorf("%s: %w", sizes, err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return p, fmt.Errorf("sysinfo: %w", err)
	}
	page := uint64(os.Getpagesize())
	p.Virtual, p.RSS = virtual*page, resident*page
	p.Machine = uint64(info.Totalram) * uint64(info.Unit)
	return p, nil
}

// MemoryPercent is the share of the machine's memory, NaN if it is not known.
func (p Process) MemoryPercent() float64 {
	if p.Machine == 0 {
		return math.NaN()
	}
	return 100 * float64(p.RSS) / float64(p.Machine)
}

func (p Process) append(l *line, before Process, elapsed time.Duration) {
	percent := func(now, then time.Duration) float64 {
		if p.Machine == 0 || before.Machine == 0 || elapsed <= 0 {
			return math.NaN()
		}
		return 100 * float64(now-then) / float64(elapsed)
	}
	l.group("", "")
	l.float("cpu_user", percent(p.User, before.User))
	l.float("cpu_system", percent(p.System, before.System))
	l.float("cpu_total", percent(p.User+p.System, before.User+before.System))
	l.uint("vsz", p.Virtual)
	l.uint("rss", p.RSS)
	l.float("mem_percentage", p.MemoryPercent())
}
