package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// What it costs that records survive a power failure. With --durable the same clients push to a node
// with each setting, and, if they are installed, to Redis and beanstalkd, which then have each
// record on the disk before its answer, too. Each connection has one push in flight, as in a program that
// waits for the answer. All keep their files in the directory for temporary files, which has to be on
// a disk.

// setting is a server, and how it makes records durable.
type setting struct {
	name  string
	start func() (*rival, error)
	talk  []exchange // what a connection does again and again
}

// exchange is a request, and how its answer is read.
type exchange struct {
	request []byte
	answer  func(*bufio.Reader) error
}

// rival is one that runs.
type rival struct {
	*target
	address string
}

var inFlight = []int{1, 16, 256}

// nodeSettings are compared: what is in section [Storage].
var nodeSettings = []string{"sync_ms=0", "sync_ms=10", "sync_ms=100", "sync_ms=1000", "acknowledge=synced"}

func settings(o options) (all []setting) {
	record := newRecord(o.size)
	request := func(code uint32) []byte { return appendArray(appendCode(nil, code), []byte(popChannel)) }
	push := exchange{appendArray(request(codePush), record), func(r *bufio.Reader) error { return expect(r, appendCode(nil, statusOk)) }}
	pop := exchange{request(codePop), func(r *bufio.Reader) error { return skipPopped(r) }}
	for _, storage := range nodeSettings {
		start := func() (*rival, error) { return startSetting(o.node, storage) }
		all = append(all, setting{storage, start, []exchange{push}}, setting{storage + ", popped at once", start, []exchange{push, pop}})
	}
	if program, err := exec.LookPath("redis-server"); err == nil {
		lpush := fmt.Appendf(nil, "*3\r\n$5\r\nLPUSH\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(popChannel), popChannel, len(record), record)
		all = append(all, setting{"Redis, appendfsync always", func() (*rival, error) {
			return startOther(program, func(dir, port string) []string {
				return []string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}
			})
		}, []exchange{{lpush, func(r *bufio.Reader) error { return expectLine(r, ":") }}}})
	}
	if program, err := exec.LookPath("beanstalkd"); err == nil {
		put := fmt.Appendf(nil, "put 0 0 60 %d\r\n%s\r\n", len(record), record)
		all = append(all, setting{"beanstalkd, -f 0", func() (*rival, error) {
			return startOther(program, func(dir, port string) []string { return []string{"-l", "127.0.0.1", "-p", port, "-b", dir, "-f", "0"} })
		}, []exchange{{put, func(r *bufio.Reader) error { return expectLine(r, "INSERTED ") }}}})
	}
	return all
}

func expect(r *bufio.Reader, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return err
	}
	return checkAnswer(got, want)
}

func expectLine(r *bufio.Reader, prefix string) error {
	line, err := r.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, prefix) {
		err = fmt.Errorf("answer %q: want %q", line, prefix)
	}
	return err
}

// skipPopped reads the answer to a Pop, which may find nothing: another connection was faster.
func skipPopped(r *bufio.Reader) error {
	if err := expect(r, appendCode(nil, statusOk)); err != nil {
		return err
	}
	var length [lengthLen]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	_, err := r.Discard(int(binary.LittleEndian.Uint64(length[:])))
	return err
}

func startSetting(path, storage string) (*rival, error) {
	t, err := startNode(path, []string{"Storage." + storage})
	if err != nil {
		return nil, err
	}
	at := t.legacy.(*unix.SockaddrInet4)
	return &rival{t, net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port))}, nil
}

// startOther runs another server in a directory of its own.
func startOther(program string, arguments func(dir, port string) []string) (*rival, error) {
	dir, err := os.MkdirTemp("", "dmqnode-bench-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	command := exec.Command(program, arguments(dir, port)...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r := &rival{&target{process: command, dir: dir}, address}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return r, c.Close()
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Base(program), err), r.kill())
		}
	}
}

// runDurable measures all settings by turns and prints the medians.
func runDurable(o options, out io.Writer) error {
	ctx, cancel := signalled()
	defer cancel()
	fmt.Fprintf(out, "records of %d bytes, %d rounds of %v, %d CPUs; medians\n\n", o.size, o.rounds, o.duration, runtime.NumCPU())
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "setting\tin flight\tpushes/s\tp50\tp99\tCPU µs a push\tbytes to the disk a push\t\n")
	all := settings(o)
	for _, connections := range inFlight {
		costs := make([][]cost, len(all))
		for range o.rounds {
			for i, s := range all {
				c, err := s.measure(ctx, o, connections)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				costs[i] = append(costs[i], c)
			}
		}
		for i, s := range all {
			c := middle(costs[i])
			fmt.Fprintf(table, "%s\t%d\t%.0f\t%v\t%v\t%.1f\t%.0f\t\n", s.name, connections, c.rate, c.p50.Round(time.Microsecond), c.p99.Round(time.Microsecond), c.cpu, c.written)
		}
	}
	return table.Flush()
}

// cost is what was measured in a turn.
type cost struct {
	rate     float64 // pushes a second
	p50, p99 time.Duration
	cpu      float64 // microseconds a push
	written  float64 // bytes a push, by all who use the disk
}

// middle returns the medians, each for itself.
func middle(costs []cost) cost {
	of := func(value func(cost) float64) float64 {
		var values []float64
		for _, c := range costs {
			values = append(values, value(c))
		}
		return *median(values)
	}
	return cost{
		rate:    of(func(c cost) float64 { return c.rate }),
		p50:     time.Duration(of(func(c cost) float64 { return float64(c.p50) })),
		p99:     time.Duration(of(func(c cost) float64 { return float64(c.p99) })),
		cpu:     of(func(c cost) float64 { return c.cpu }),
		written: of(func(c cost) float64 { return c.written }),
	}
}

// measure runs a server for a turn.
func (s setting) measure(ctx context.Context, o options, connections int) (c cost, err error) {
	r, err := s.start()
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.kill()) }()
	unix.Sync() // what others have left does not count
	cpu, err := r.cpuTime()
	if err != nil {
		return c, err
	}
	wrote, begun := written(r.dir), time.Now()
	end := begun.Add(o.duration)
	latencies, errs := make([][]time.Duration, connections), make([]error, connections)
	var clients sync.WaitGroup
	for i := range connections {
		clients.Go(func() { latencies[i], errs[i] = s.push(r.address, end) })
	}
	clients.Wait()
	took := time.Since(begun)
	used, err := r.cpuTime()
	if err = errors.Join(append(errs, err, ctx.Err())...); err != nil {
		return c, err
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	pushes := float64(len(all))
	c = cost{rate: pushes / took.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100], cpu: (used - cpu).Seconds() * 1e6 / pushes}
	c.written = float64(written(r.dir)-wrote) / pushes
	return c, nil
}

// push does what a connection does, and returns how long each push took.
func (s setting) push(address string, end time.Time) (latencies []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(end.Add(ioTimeout))
	r := bufio.NewReader(conn)
	for begun := time.Now(); begun.Before(end); begun = time.Now() {
		for i, x := range s.talk {
			if _, err := conn.Write(x.request); err != nil {
				return nil, err
			}
			if err := x.answer(r); err != nil {
				return nil, err
			}
			if i == 0 {
				latencies = append(latencies, time.Since(begun))
			}
		}
	}
	return latencies, nil
}

// written returns how many bytes have been written so far to the disk that a directory is on, or 0 if
// the system does not tell.
func written(dir string) int64 {
	var s unix.Stat_t
	if unix.Stat(dir, &s) != nil {
		return 0
	}
	text, _ := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev)))
	fields := bytes.Fields(text)
	if len(fields) < 7 {
		return 0
	}
	sectors, _ := strconv.ParseInt(string(fields[6]), 10, 64)
	return 512 * sectors
}
