// Command dmqnode is one node of a distributed message queue: it keeps the records of
// channels in memory and serves them over TCP. See README.md and, for operators,
// etc/config.ini.
//
// The main package reads the command line and the configuration, puts the parts of the
// node together, and turns signals into actions; the work is done in internal/….
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/console"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/pidlock"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/service"
)

func main() {
	args, exit, done := commandLine(os.Args[1:], os.Stdout, os.Stderr)
	if done {
		os.Exit(exit)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	// A console that was closed must not end the node, nor stray signals that the
	// original's runtime used.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)

	cfg, warnings, exit := args.load(os.Stderr)
	if cfg == nil {
		os.Exit(exit)
	}
	os.Exit(run(cfg, warnings, signals))
}

// run starts the node, serves until a signal ends it, and returns the exit status. The warnings
// are those about the configuration, which have been printed.
func run(cfg *config.Config, warnings []string, signals <-chan os.Signal) (exit int) {
	output := logging.StandardConsole()
	display := openDisplay(cfg.Console)
	if display != nil {
		output = logging.Console{Out: display, Err: display.Over(os.Stderr)}
	}
	defer display.Close()
	stderr := output.Err

	more, err := checkDataDir(cfg)
	if err != nil {
		printFailure(stderr, err)
		return exitFailure
	}
	warnings = append(warnings, more...)
	logs, err := logging.New(cfg.Log, cfg.Version, output)
	if err != nil {
		printFailure(stderr, err)
		return exitFailure
	}
	defer logs.Close()
	log := logs.Logger("dmqnode.main")
	fail := func(what string, err error) int {
		printFailure(stderr, err)
		if a := advice(err); a != "" {
			log = log.With(zap.String("advice", a))
		}
		log.Error(what, zap.Error(err))
		return exitFailure
	}
	statsFile, err := logs.OpenFile(cfg.Stats.FileName, config.LayoutStats)
	if err != nil {
		return fail("the node cannot start", fmt.Errorf("[STATS] file_name: %w", err))
	}

	if cfg.PidLock.Path != "" {
		lock, err := pidlock.Acquire(cfg.PidLock.Path)
		if err != nil {
			return fail("the node cannot start", err)
		}
		defer func() {
			if err := lock.Release(); err != nil {
				exit = fail("the pid lock file could not be removed", err)
			}
		}()
	}
	logs.Version(thisBuild().message())
	for _, w := range warnings {
		log.Warn(w)
	}
	if cfg.Server.CPU >= 0 {
		if err := listener.RestrictTo(cfg.Server.CPU); err != nil {
			return fail("the node cannot start", err)
		}
		runtime.GOMAXPROCS(1)
	}
	manager := service.NewManager(log)
	manager.Status("loading records")
	n, err := startNode(cfg, logs, statsFile)
	if err != nil {
		return fail("the node cannot start", err)
	}
	if cfg.Storage.Acknowledge == config.AcknowledgeSynced && onTmpfs(cfg) {
		log.Warn("ring files are on tmpfs, in memory: a power failure costs records, whatever [Storage] acknowledge = synced says; " +
			"to do: put data_dir, or [Storage] ring_dir, on a disk")
	}
	manager.Ready(n.listening())
	manager.Watch(n.loops.Answer)
	display.Show(n.read)
	for s := range signals {
		if s != syscall.SIGHUP {
			log.Info("shutting down", zap.Stringer("signal", s))
			break
		}
		manager.Reloading()
		err := logs.Reopen()
		manager.Ready(n.listening())
		if err != nil {
			// Also where it can be seen: the files may be gone.
			printFailure(stderr, fmt.Errorf("log files could not be reopened, going on with the old ones: %w", err))
			log.Error("log files could not be reopened, going on with the old ones", zap.Error(err))
			continue
		}
		log.Info("log files reopened")
	}
	manager.Stopping("saving records")
	display.Freeze()
	if err := n.stop(); err != nil {
		return fail("the node did not shut down cleanly", err)
	}
	return exitOK
}

// earlierLogs are the files in which a node has left lines if it has run here before.
func earlierLogs(cfg *config.Config) []string {
	files := []string{cfg.Stats.FileName}
	for _, l := range cfg.Log.Loggers {
		if l.File != "" {
			files = append(files, l.File)
		}
	}
	return files
}

// printFailure prints an error, in red on a terminal, and what to do about it. Whoever reads that may stand still: the
// node does not wait long for him.
func printFailure(stderr io.Writer, err error) {
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		printRed(stderr, err.Error())
		if a := advice(err); a != "" {
			fmt.Fprintf(stderr, "  (%s)\n", a)
		}
	}()
	select {
	case <-printed:
	case <-time.After(time.Second):
	}
}

// openDisplay returns the display of the node's state on the terminal, or nil if there is to be
// none.
func openDisplay(c config.Console) *console.Console {
	if !c.Enabled {
		return nil
	}
	return console.Open(os.Stdout)
}
