package stats

import (
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Process is what the kernel tells about this process. The zero value is what is shown if
// it does not.
type Process struct {
	User, System time.Duration // CPU time since the start
	Virtual, RSS uint64        // bytes
	Machine      uint64        // memory of the machine, bytes
}

func readProcess() (p Process, err error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return Process{}, fmt.Errorf("getrusage: %w", err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return Process{}, err
	}
	if _, err := fmt.Sscan(string(statm), &p.Virtual, &p.RSS); err != nil {
		return Process{}, fmt.Errorf("/proc/self/statm: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Process{}, fmt.Errorf("sysinfo: %w", err)
	}
	page := uint64(os.Getpagesize())
	p.Virtual, p.RSS = p.Virtual*page, p.RSS*page
	p.Machine = uint64(info.Totalram) * uint64(info.Unit)
	p.User, p.System = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
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
