package nodetest

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Result is how a run of the binary ended.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Run runs the binary in a directory with these arguments. It is to end by itself.
func Run(t testing.TB, dir string, arguments ...string) (r Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), arguments...)
	var stdout, stderr strings.Builder
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &stdout, &stderr, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%v does not end within %v", arguments, Patience)
	case err != nil && !errors.As(err, &exit):
		t.Fatal(err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
