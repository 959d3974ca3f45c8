// Command bench measures how fast a node serves legacy and neo clients.
//
// On a shared machine a figure alone says little, so every workload runs on two targets
// by turns: the node, and a stand-in that answers without queueing, the ceiling, which is
// what a simple epoll server in Go reaches on this machine at this minute. The report
// gives both and their ratio.
//
//	generator (this process) ── TCP, loopback ──┬── node     build/dmqnode, in an instance directory of its own
//	                                            └── ceiling  this program again, as a process of its own
//
// The generator is the same for both. It must not be what is measured: it uses blocking
// system calls on few goroutines, one epoll where many connections take turns, requests
// built in advance and large buffers, and it counts what it receives by walking the
// lengths in its read buffer.
//
// Every workload proves what it counts. Each status has to be the good one, and the
// consumer has to receive all records that were stored, of the right size, and no other;
// all that is pushed or produced is therefore consumed or popped again, in time that is
// measured only where the workload is about it.
//
//	main.go                        options, turns
//	workloads.go, workloads_neo.go the workloads
//	attack.go                      those beside hostile traffic
//	load.go, load_neo.go           the generator: pushes, pops, produces, consumes
//	conn.go, conn_neo.go           a client connection
//	wire.go, wire_neo.go           the bytes of the protocols, and what has to come back
//	ceiling.go                     the stand-in; its protocols in ceiling_{legacy,neo}.go
//	target.go                      processes: start, stop, CPU, memory
//	durable.go                     another comparison: durable pushes
//	report.go                      medians, ratios, table, JSON
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// options are the command line.
type options struct {
	node     string
	addr     addresses
	rounds   int
	duration time.Duration
	size     int
	only     []string
	json     bool
	markdown bool
	durable  bool
	ceiling  bool
	attack   string
	port     int
}

// maxSize is the largest record that the fixed buffers of generator and ceiling suit.
const maxSize = 64 << 10

func main() {
	o, err := parseOptions(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	case o.attack != "":
		err = runAttack(o.attack, o.port)
	case o.ceiling:
		ctx, _ := signalled()
		context.AfterFunc(ctx, func() { os.Exit(0) })
		err = runCeiling(o.size, os.Stdout)
	case o.durable:
		err = runDurable(o, os.Stdout)
	default:
		err = run(o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.StringVar(&o.node, "node", "build/dmqnode", "node to start")
	flags.StringVar(&o.addr.legacy, "addr", "", "`host:port` of a running node to use instead, legacy protocol")
	flags.StringVar(&o.addr.neo, "neo-addr", "", "its `host:port` for neo clients; it has to know client "+clientName+", key zeros")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds, each a turn of the node and a turn of the ceiling")
	flags.DurationVar(&o.duration, "duration", 1500*time.Millisecond, "measured time of a turn")
	flags.IntVar(&o.size, "size", 100, "bytes of a record")
	flags.StringSliceVar(&o.only, "only", nil, "workloads to run: "+strings.Join(names(), ", ")+" (default all)")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
	flags.BoolVar(&o.markdown, "markdown", false, "print the medians as the table of docs/performance.md")
	flags.BoolVar(&o.durable, "durable", false, "measure what it costs that records survive a power failure, also in Redis and beanstalkd if they are installed")
	flags.BoolVar(&o.ceiling, "ceiling", false, "serve as the ceiling")
	flags.StringVar(&o.attack, "attack", "", "be the attackers of this workload")
	flags.IntVar(&o.port, "port", 0, "that they attack, on this machine; 0 = a sink")
	for _, name := range []string{"ceiling", "attack", "port"} {
		flags.MarkHidden(name)
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.addr.legacy == "" && o.addr.neo != "":
		return o, fmt.Errorf("--neo-addr %s: want --addr of the same node, too", o.addr.neo)
	case o.rounds < 1:
		return o, fmt.Errorf("--rounds %d: want at least 1", o.rounds)
	case o.duration <= 0 || o.duration > time.Minute:
		return o, fmt.Errorf("--duration %v: want more than 0 and at most 1m", o.duration)
	case o.size < 1 || o.size > maxSize:
		return o, fmt.Errorf("--size %d: want 1 to %d", o.size, maxSize)
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("--only %s: want one of %s", name, strings.Join(names(), ", "))
		}
	}
	return o, nil
}

func names() (list []string) {
	for _, w := range workloads {
		list = append(list, w.name)
	}
	return list
}

// signalled is done when the process is asked to end.
func signalled() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// contender is one of the two that are compared.
type contender struct {
	name   string
	target *target
	fresh  starter
}

// run starts both contenders, lets them take turns and prints the report.
func run(o options) (err error) {
	ctx, cancel := signalled()
	defer cancel()

	node := contender{name: "node", fresh: func(_ int, settings ...string) (*target, error) { return startNode(o.node, settings) }}
	if o.addr.legacy != "" {
		node.fresh = func(int, ...string) (*target, error) { return nil, errUnknown }
		node.target, err = existing(o.addr)
	} else {
		node.target, err = node.fresh(o.size)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.target.stop()) }()

	ceiling := contender{name: "ceiling", fresh: startCeiling}
	if ceiling.target, err = ceiling.fresh(o.size); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ceiling.target.stop()) }()

	rows, err := measure(ctx, o, node, ceiling)
	if err != nil {
		return err
	}
	r := report{Size: o.size, Rounds: o.rounds, Seconds: o.duration.Seconds(), CPUs: runtime.NumCPU(), Rows: rows}
	switch {
	case o.json:
		return r.writeJSON(os.Stdout)
	case o.markdown:
		return r.writeMarkdown(os.Stdout)
	}
	return r.writeTable(os.Stdout)
}

// measure runs the workloads: every round a turn of the node, then one of the ceiling.
func measure(ctx context.Context, o options, node, ceiling contender) (rows []row, err error) {
	l := newLoad(o.size)
	for _, w := range workloads {
		if len(o.only) > 0 && !slices.Contains(o.only, w.name) {
			continue
		}
		nodeSeries, ceilingSeries := make([]series, len(w.metrics)), make([]series, len(w.metrics))
		for round := range o.rounds {
			fmt.Fprintf(os.Stderr, "%s, round %d of %d\n", w.about, round+1, o.rounds)
			if err := turn(ctx, o, l, w, node, nodeSeries); err != nil {
				return nil, err
			}
			if err := turn(ctx, o, l, w, ceiling, ceilingSeries); err != nil {
				return nil, err
			}
		}
		for i, m := range w.metrics {
			rows = append(rows, newRow(w, m, nodeSeries[i], ceilingSeries[i]))
		}
	}
	return rows, nil
}

// turn runs a workload once on one contender and adds what it measured.
func turn(ctx context.Context, o options, l *load, w workload, c contender, to []series) error {
	s := &session{load: l, target: c.target, fresh: c.fresh, duration: o.duration}
	values, err := w.run(s)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.Is(err, errUnknown):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %s: %w", c.name, w.name, err)
	}
	for i, value := range values {
		to[i].values = append(to[i].values, value)
		if cpu := s.cpuPerMillion(); cpu > 0 {
			to[i].cpu = append(to[i].cpu, cpu)
		}
	}
	return nil
}
