package stats

import (
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/memory"
)

// Process is what the kernel tells about this process. What it does not tell is zero, and
// then Machine is.
type Process struct {
	User, System time.Duration // CPU time since the start
	Virtual, RSS uint64        // bytes
	Machine      uint64        // memory of the machine, bytes
	Limit        uint64        // memory that the process may use: Machine, or less in a control group
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
	limit, err := memory.Read()
	if err != nil {
		return p, err
	}
	page := uint64(os.Getpagesize())
	p.Virtual, p.RSS = virtual*page, resident*page
	p.Machine, p.Limit = limit.Machine, limit.Bytes
	return p, nil
}

// MemoryPercent is the share of the memory that the process may use, NaN if that is not known.
func (p Process) MemoryPercent() float64 {
	if p.Limit == 0 {
		return math.NaN()
	}
	return 100 * float64(p.RSS) / float64(p.Limit)
}

// Limited tells whether a control group lets the process have less than the machine has.
func (p Process) Limited() bool { return p.Limit < p.Machine }

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
