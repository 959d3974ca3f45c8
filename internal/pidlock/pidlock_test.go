package pidlock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A POSIX lock excludes other processes only, so most tests need one: this program,
// started again with PIDLOCK_TEST_CHILD set to what it is to do with the file in
// PIDLOCK_TEST_PATH.
func TestMain(m *testing.M) {
	do, path := os.Getenv("PIDLOCK_TEST_CHILD"), os.Getenv("PIDLOCK_TEST_PATH")
	switch do {
	case "":
		os.Exit(m.Run())
	case "hold": // until the standard input ends
		lock, err := Acquire(path)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("acquired")
		io.Copy(io.Discard, os.Stdin)
		lock.Release()
	case "query":
		fmt.Println(query(path))
	case "contend":
		contend(path)
	}
}

// query says who holds which lock on the file.
func query(path string) string {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("process %d, exclusive %v, from %d, length %d", lock.Pid, lock.Type == unix.F_WRLCK, lock.Start, lock.Len)
}

// contend acquires and releases the lock for a while and reports if another process
// holds it at the same time.
func contend(path string) {
	acquired := 0
	for deadline := time.Now().Add(500 * time.Millisecond); time.Now().Before(deadline); {
		lock, err := Acquire(path)
		if err != nil {
			continue
		}
		acquired++
		mark, err := os.OpenFile(path+".held", os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			fmt.Println("held by two:", err)
			os.Exit(1)
		}
		mark.Close()
		os.Remove(path + ".held")
		if err := lock.Release(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if acquired == 0 {
		fmt.Println("never acquired")
		os.Exit(1)
	}
}

type child struct {
	*exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

func startChild(t *testing.T, do, path string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), "PIDLOCK_TEST_CHILD="+do, "PIDLOCK_TEST_PATH="+path)
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin, c.stdout = stdin, bufio.NewReader(stdout)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c
}

func (c *child) line(t *testing.T) string {
	t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

func acquire(t *testing.T, path string) *Lock {
	t.Helper()
	lock, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func refusal(path string) string {
	return "Couldn't lock the pid lock file '" + path + "'. Probably another instance of the application is running."
}

// The file holds the decimal process id and a newline; the lock is a POSIX one on the
// whole file, as the original takes it.
func TestAcquire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	lock := acquire(t, path)
	want := fmt.Sprintf("process %d, exclusive true, from 0, length 0", os.Getpid())
	if got := startChild(t, "query", path).line(t); got != want {
		t.Errorf("the lock: %s, want %s", got, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("mode %v, %v, want at most 0644", info.Mode(), err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the release: %v, want the file to be gone", err)
	}
	lock = acquire(t, path) // this time nobody looks, which would end the lock
	if got, want := content(t, path), fmt.Sprintf("%d\n", os.Getpid()); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	lock.Release()
}

// While a process holds the lock another one is refused, and the file stays as it is.
func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	holder := startChild(t, "hold", path)
	if got := holder.line(t); got != "acquired" {
		t.Fatal(got)
	}
	for range 2 {
		if lock, err := Acquire(path); err == nil {
			lock.Release()
			t.Fatal("a second process gets the lock")
		} else if want := fmt.Sprintf("%s It is process %d.", refusal(path), holder.Process.Pid); err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if got, want := content(t, path), fmt.Sprintf("%d\n", holder.Process.Pid); got != want {
			t.Errorf("the file holds %q, want %q of the holder", got, want)
		}
	}
	holder.stdin.Close()
	if err := holder.Wait(); err != nil {
		t.Error(err)
	}
	acquire(t, path).Release()
}

// The file of a process that was killed is taken over.
func TestFileOfAKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	holder := startChild(t, "hold", path)
	if got := holder.line(t); got != "acquired" {
		t.Fatal(got)
	}
	holder.Process.Kill()
	holder.Wait()
	if got, want := content(t, path), fmt.Sprintf("%d\n", holder.Process.Pid); got != want {
		t.Errorf("the file that is left holds %q, want %q", got, want)
	}
	lock := acquire(t, path)
	if got, want := content(t, path), fmt.Sprintf("%d\n", os.Getpid()); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	lock.Release()
}

func TestOldContentIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(path, []byte("4294967296\nand much more than a process id\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	lock := acquire(t, path)
	defer lock.Release()
	if got, want := content(t, path), fmt.Sprintf("%d\n", os.Getpid()); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
}

// However starts and ends of several processes meet, one holds the lock at a time.
func TestOneHolderAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	var children []*child
	for range 4 {
		children = append(children, startChild(t, "contend", path))
	}
	for _, c := range children {
		said, _ := io.ReadAll(c.stdout)
		if err := c.Wait(); err != nil {
			t.Errorf("%v: %s", err, said)
		}
	}
}

// A file that somebody has removed is not missed, and one that has taken its place is
// left alone.
func TestReleaseWithoutTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	lock := acquire(t, path)
	os.Remove(path)
	if err := lock.Release(); err != nil {
		t.Errorf("release after the file was removed: %v", err)
	}
	lock = acquire(t, path)
	os.Remove(path)
	if err := os.WriteFile(path, []byte("of another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Errorf("release after the file was replaced: %v", err)
	}
	if got := content(t, path); got != "of another\n" {
		t.Errorf("the new file holds %q", got)
	}
}

func TestAcquireFails(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{filepath.Join(dir, "no", "pid"), "pid lock: open " + dir + "/no/pid: no such file or directory"},
		{dir, "pid lock: open " + dir + ": is a directory"},
		{fifo, "pid lock file " + fifo + ": truncate " + fifo + ": invalid argument"},
	} {
		if lock, err := Acquire(test.path); err == nil {
			lock.Release()
			t.Errorf("%s: acquired", test.path)
		} else if err.Error() != test.want {
			t.Errorf("error %q, want %q", err, test.want)
		}
	}
	if _, err := os.Stat(fifo); err != nil {
		t.Errorf("what is no file was removed: %v", err)
	}
}
