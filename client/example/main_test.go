package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The test is the example when it is asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("DMQ_EXAMPLE") != "" {
		main()
		return
	}
	os.Exit(nodetest.Main(m))
}

// example starts the example.
func example(t *testing.T, node, command string) (cmd *exec.Cmd, in io.WriteCloser, out io.Reader, errs *bytes.Buffer) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(key, []byte("test:"+strings.Repeat("00", 128)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(os.Args[0], "-node", node, "-credentials", key, command)
	cmd.Env = append(os.Environ(), "DMQ_EXAMPLE=1")
	errs = new(bytes.Buffer)
	cmd.Stderr = errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err = cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, in, out, errs
}

// Lines of any length are stored, also the last one without an end.
func TestProduceLongLines(t *testing.T) {
	node := nodetest.Start(t)
	cmd, in, _, errs := example(t, node.Neo(), "produce")
	long := strings.Repeat("x", 100_000)
	io.WriteString(in, "first\n\n"+long+"\nlast")
	in.Close()
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "4 records stored, 0 not") {
		t.Fatalf("got %v, %s, want 4 records stored", err, errs)
	}
	consumer, _, out, errs := example(t, node.Neo(), "consume")
	want := "first\n\n" + long + "\nlast\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(out, got); err != nil || string(got) != want {
		t.Errorf("got %v, %d bytes, want %d; %s", err, len(got), len(want), errs)
	}
	consumer.Process.Signal(os.Interrupt)
	if err := consumer.Wait(); err != nil {
		t.Errorf("got %v, want status 0; %s", err, errs)
	}
}

// Ctrl-C ends it while it waits for input, with what was read stored.
func TestProduceIsInterrupted(t *testing.T) {
	node := nodetest.Start(t)
	cmd, in, _, errs := example(t, node.Neo(), "produce")
	defer in.Close()
	io.WriteString(in, "first\n")
	c, err := client.New(client.Options{Nodes: []string{node.Neo()}, Credentials: client.Credentials{Name: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for value := []byte(nil); string(value) != "first"; value, _ = c.Pop(t.Context(), "jobs") {
		if t.Context().Err() != nil {
			t.Fatal("the record is not stored")
		}
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "1 records stored, 0 not") {
		t.Errorf("got %v, %s, want 1 record stored", err, errs)
	}
}

// What goes wrong is the exit status.
func TestFailureIsTheStatus(t *testing.T) {
	for _, command := range []string{"", "drink"} {
		cmd, in, _, errs := example(t, "127.0.0.1:1", command)
		in.Close()
		if err := cmd.Wait(); err == nil || !strings.Contains(errs.String(), "usage") {
			t.Errorf("%q: got %v, %s, want a failure", command, err, errs)
		}
	}
}
