package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/bench"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

var errKeep = errors.New("bench may not remove its channels over the neo protocol: let [Admin] clients of the nodes have the client, " +
	"name their legacy listeners with --legacy-address, or leave the channels with --keep")

func newBench(t *tool) *cobra.Command {
	var o bench.Options
	var keep bool
	cmd := &cobra.Command{
		Use:   "bench [MODE...]",
		Short: "Measure how fast the nodes are",
		Long: `Bench puts a load on the nodes and measures it, in each MODE for --duration, or
in all:

  push     many single requests at once            latency of a request
  pop      the same, of records stored before      latency of a request
  produce  streams of records, as fast as they go
  consume  streams of records stored before
  stream   produce and consume at the same time
  latency  one record at a time, from before its push until a consumer has it

--connections clients run at once, each with a connection to every node. Over
neo each of them has --in-flight requests under way in push and pop; over
legacy a connection has one. Push and produce end before --duration when they
have stored --records; pop and consume get that many stored before, which is
not measured, and end when all are out.

Every record is verified: a push is confirmed, and what was stored has to come
out. The channels, dmq-bench-…, are removed afterwards: over neo if
[Admin] clients of the nodes has the client, else --legacy-address says where.

The client tool takes a part of the machine. To see what the nodes can do, run
it on another one, or several of it.`,
		Example: `  dmq bench
  dmq bench push latency -c me.key -a queue-1:10001 --legacy-address queue-1:10000
  dmq bench stream --size 1000 --duration 30s --json | jq .records_per_second`,
		Args: func(_ *cobra.Command, args []string) error {
			for _, mode := range args {
				if !slices.Contains(bench.Modes(), mode) {
					return fmt.Errorf("mode %q: want %s", mode, strings.Join(bench.Modes(), ", "))
				}
			}
			return nil
		},
		ValidArgsFunction: cobra.FixedCompletions(bench.Modes(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := t.resolve()
			if err == nil {
				err = checkBench(o)
			}
			var over queue.Protocol
			if err == nil && !keep {
				o.Remove, over, err = t.remover()
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if over == queue.Neo {
				err = o.Remove(cmd.Context(), "dmq-bench") // before anything is stored
				if errors.Is(err, client.ErrDenied) || errors.Is(err, client.ErrUnsupported) {
					return &usageError{cmd.CommandPath(), errKeep}
				}
				if err != nil {
					return err
				}
			}
			o.Connect = func(context.Context) (queue.Queue, error) { return t.connect(cmd) }
			if t.protocol == string(queue.Legacy) {
				o.InFlight = 1
			}
			return t.bench(cmd.Context(), args, o)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Connections, "connections", 4, "clients that run at once, 1 to 1000")
	flags.IntVar(&o.InFlight, "in-flight", 16, "requests under way in each client, 1 to 4096; neo only")
	flags.IntVar(&o.Size, "size", 100, "bytes of a record, 1 to 1048576")
	flags.DurationVar(&o.Duration, "duration", 5*time.Second, "time of each mode")
	flags.Int64Var(&o.Records, "records", 0, "most records to store in a mode; 0 = 256 MiB of them")
	flags.BoolVar(&keep, "keep", false, "leave the channels and what is in them")
	return cmd
}

func checkBench(o bench.Options) error {
	for _, limit := range []struct {
		flag            string
		value, min, max int
	}{
		{"connections", o.Connections, 1, 1000},
		{"in-flight", o.InFlight, 1, 4096},
		{"size", o.Size, 1, 1 << 20},
	} {
		if limit.value < limit.min || limit.value > limit.max {
			return fmt.Errorf("--%s %d: want %d to %d", limit.flag, limit.value, limit.min, limit.max)
		}
	}
	if o.Duration <= 0 {
		return fmt.Errorf("--duration %v: want more than 0", o.Duration)
	}
	if o.Records < 0 {
		return fmt.Errorf("--records %d: %w", o.Records, errNegative)
	}
	return nil
}

func (t *tool) bench(ctx context.Context, names []string, o bench.Options) error {
	if len(names) == 0 {
		names = bench.Modes()
	}
	var results []bench.Result
	var err error
	for _, name := range names {
		bar := t.newBenchBar(o.Duration)
		o.Progress = bar.show
		var result bench.Result
		result, err = bench.Run(ctx, name, o)
		bar.end()
		if err != nil {
			break
		}
		if t.json {
			if err := t.printJSON(benchJSON(result, t.protocol, o)); err != nil {
				return err
			}
		}
		results = append(results, result)
	}
	if !t.json && len(results) > 0 {
		err = errors.Join(err, t.benchTable(results, o))
	}
	return err
}

// benched is a result of bench; times are in seconds.
type benched struct {
	Mode        string        `json:"mode"`
	Protocol    string        `json:"protocol"`
	Connections int           `json:"connections"`
	InFlight    int           `json:"in_flight"`
	Size        int           `json:"record_bytes"`
	Records     int64         `json:"records"`
	Seconds     float64       `json:"seconds"`
	Rate        float64       `json:"records_per_second"`
	Bytes       float64       `json:"bytes_per_second"`
	Latency     *benchLatency `json:"latency_seconds,omitempty"`
}

type benchLatency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

func benchJSON(r bench.Result, protocol string, o bench.Options) benched {
	rate := float64(r.Records) / r.Time.Seconds()
	b := benched{Mode: r.Mode, Protocol: protocol, Connections: o.Connections, InFlight: o.InFlight, Size: o.Size,
		Records: r.Records, Seconds: r.Time.Seconds(), Rate: rate, Bytes: rate * float64(o.Size)}
	if l := r.Latency; l.Count > 0 {
		b.Latency = &benchLatency{l.Mean.Seconds(), l.P50.Seconds(), l.P90.Seconds(), l.P99.Seconds(), l.P999.Seconds(), l.Max.Seconds()}
	}
	return b
}

func (t *tool) benchTable(results []bench.Result, o bench.Options) error {
	inFlight := ""
	if t.protocol == string(queue.Neo) {
		inFlight = fmt.Sprintf(" with %s each", counted(o.InFlight, "request", "requests"))
	}
	fmt.Fprintf(t.stdout, "%s protocol, %s%s, records of %s\n\n", t.protocol,
		counted(o.Connections, "client", "clients"), inFlight, counted(o.Size, "byte", "bytes"))
	table := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "mode\trecords\trecords/s\tMB/s\tp50\tp99\tp99.9\tmax\t")
	for _, r := range results {
		rate := float64(r.Records) / r.Time.Seconds()
		l := r.Latency
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%.2f\t%s\t%s\t%s\t%s\t\n", r.Mode, r.Records,
			rate, rate*float64(o.Size)/1e6, short(l.P50), short(l.P99), short(l.P999), short(l.Max))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// benchBar shows a person how a mode does.
type benchBar struct {
	tool     *tool
	bar      *progressbar.ProgressBar // nil: nobody to show it to
	duration time.Duration
}

func (t *tool) newBenchBar(duration time.Duration) *benchBar {
	bar := t.newBar(int64(duration/time.Millisecond), progressbar.OptionSetPredictTime(false))
	return &benchBar{tool: t, bar: bar, duration: duration}
}

func (b *benchBar) show(p bench.Progress) {
	if b.bar == nil {
		return
	}
	what := fmt.Sprintf("%s %.0f/s", p.Mode, float64(p.Records)/p.Elapsed.Seconds())
	if p.Storing {
		what = fmt.Sprintf("%s, storing %d", p.Mode, p.Records)
		p.Elapsed = 0
	}
	b.tool.telling.Lock()
	defer b.tool.telling.Unlock()
	b.bar.Describe(what)
	b.bar.Set64(int64(min(p.Elapsed, b.duration-time.Millisecond) / time.Millisecond))
}

func (b *benchBar) end() { b.tool.endBar() }
