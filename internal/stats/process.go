package stats

import (
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// process is what the kernel tells about this process. The zero value is what is shown if
// it does not.
type process struct {
	user, system time.Duration
	virtual, rss uint64 // bytes
	machine      uint64 // memory of the machine, bytes
}

func readProcess() (p process, err error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return process{}, fmt.Errorf("getrusage: %w", err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return process{}, err
	}
	if _, err := fmt.Sscan(string(statm), &p.virtual, &p.rss); err != nil {
		return process{}, fmt.Errorf("/proc/self/statm: %w", err)
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return process{}, fmt.Errorf("sysinfo: %w", err)
	}
	page := uint64(os.Getpagesize())
	p.virtual, p.rss = p.virtual*page, p.rss*page
	p.machine = uint64(info.Totalram) * uint64(info.Unit)
	p.user, p.system = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	return p, nil
}

func (p process) append(l *line, before process, elapsed time.Duration) {
	percent := func(now, then time.Duration) float64 {
		if p.machine == 0 || before.machine == 0 || elapsed <= 0 {
			return math.NaN()
		}
		return 100 * float64(now-then) / float64(elapsed)
	}
	l.float("cpu_user", percent(p.user, before.user))
	l.float("cpu_system", percent(p.system, before.system))
	l.float("cpu_total", percent(p.user+p.system, before.user+before.system))
	l.uint("vsz", p.virtual)
	l.uint("rss", p.rss)
	share := math.NaN()
	if p.machine > 0 {
		share = 100 * float64(p.rss) / float64(p.machine)
	}
	l.float("mem_percentage", share)
}
