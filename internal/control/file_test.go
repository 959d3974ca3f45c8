package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// leave creates a socket file at the path that nobody listens on any more.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// refused calls Listen, which must fail with these words, log the error, and leave the file
// at the path as it is.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	before, _ := os.Lstat(path)
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err == nil {
		s.Close()
		t.Fatalf("Listen(%q): got no error, want one with %q", path, words)
	}
	for _, word := range append(words, path) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Listen(%q): got error %q, want it to contain %q", path, err, word)
		}
	}
	if got, want := lines(t, observed, path), []string{"error cannot bind or listen"}; !slices.Equal(got, want) {
		t.Errorf("Listen(%q): got log %q, want %q", path, got, want)
	}
	after, _ := os.Lstat(path)
	if (before == nil) != (after == nil) || before != nil && !os.SameFile(before, after) {
		t.Errorf("Listen(%q): the file at the path is another than before", path)
	}
}

func TestModeDoesNotDependOnUmask(t *testing.T) {
	for _, test := range []struct {
		umask int
		mode  uint32
		want  fs.FileMode
	}{
		{0o022, 0, 0o775},
		{0o002, 0, 0o775},
		{0o000, 0, 0o775},
		{0o777, 0, 0o775},
		{0o022, 0o600, 0o600},
		{0o022, 0o666, 0o666},
		{0o077, 0o777, 0o777},
		{0o022, 0o2770, 0o770 | fs.ModeSetgid},
	} {
		path := socketPath(t)
		umask := syscall.Umask(test.umask)
		s, err := Listen(path, test.mode, ab, zap.NewNop())
		after := syscall.Umask(umask)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if after != test.umask {
			t.Errorf("umask %#o: got %#o after Listen", test.umask, after)
		}
		file, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := file.Mode(), test.want|fs.ModeSocket; got != want {
			t.Errorf("umask %#o, mode %#o: got %v, want %v", test.umask, test.mode, got, want)
		}
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	refused(t, "", "empty")
	refused(t, strings.Repeat("x", maxPath+1), "too long", "108 bytes", "allowed are 107")
	refused(t, "@socket", "begins with @")
	refused(t, "none/socket", "no such file or directory", "the directory of a socket must exist")
	refused(t, "nul\x00", "invalid argument")
}

func TestLongestPath(t *testing.T) {
	t.Chdir(t.TempDir())
	path := strings.Repeat("x", maxPath)
	open(t, path, ab).Serve()
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	leave(t, path)
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Close()
	want := []string{"warn existing socket file deleted, nobody was listening", "info listening",
		"info control client connected", "info control client disconnected", "info socket file deleted"}
	if got := lines(t, observed, path); !slices.Equal(got, want) {
		t.Errorf("log:\n got %q\nwant %q", got, want)
	}
}

func TestLiveSocketIsKept(t *testing.T) {
	path, _ := serve(t, ab)
	refused(t, path, fmt.Sprintf("another process serves this socket (process %d)", os.Getpid()))
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("first socket: got %q, want %q", got, want)
	}
}

// TestLiveSocketWithFullBacklogIsKept is the case of a process that does not get round to
// accepting; it also shows the length of the backlog.
func TestLiveSocketWithFullBacklogIsKept(t *testing.T) {
	path := socketPath(t)
	s := open(t, path, ab)
	waiting := 0
	for ; waiting < 1000; waiting++ {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := 32 + 1; waiting != want { // the kernel lets one more in
		t.Errorf("got %d clients in the backlog, want %d", waiting, want)
	}
	refused(t, path, "another process serves this socket")
	s.Serve()
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("first socket: got %q, want %q", got, want)
	}
}

func TestLiveSocketOfAnotherTypeIsKept(t *testing.T) {
	path := socketPath(t)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused(t, path, "another process may be serving this socket", "protocol wrong type")
}

// A regular file makes room, as it does for the original, but what is in it is kept.
func TestRegularFileIsMovedAside(t *testing.T) {
	path := socketPath(t)
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const want = "a regular file had the path of the socket and was renamed"
	renamed := observed.FilterMessage(want).FilterField(zap.String("to", path+".replaced"))
	if renamed.FilterLevelExact(zap.WarnLevel).Len() != 1 {
		t.Errorf("got log %v, want a warning %q", observed.All(), want)
	}
	if content, err := os.ReadFile(path + ".replaced"); err != nil || string(content) != "content" {
		t.Errorf("the file: got %q, %v", content, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Errorf("got %v, error %v, want a socket", info, err)
	}
}

func TestWhatIsNotASocketIsKept(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("directory", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	leave(t, "stale")
	for link, target := range map[string]string{"link": "stale", "dangling": "none"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, "directory", "a directory", "only a socket or a regular file is replaced")
	refused(t, "fifo", "named pipe")
	refused(t, "link", "symbolic link")
	refused(t, "dangling", "symbolic link")
	if _, err := os.Lstat("stale"); err != nil {
		t.Errorf("target of the link: %v", err)
	}
}

// TestFailureAfterBindLeavesNoFile leaves Listen one descriptor; it needs a second one for
// the listener.
func TestFailureAfterBindLeavesNoFile(t *testing.T) {
	serve(t, ab) // the descriptors that the runtime needs for itself are open
	path := socketPath(t)
	next, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(next)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	scarce := unix.Rlimit{Cur: uint64(next) + 1, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(path, 0, ab, zap.NewNop())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EMFILE) {
		if err == nil {
			s.Close()
		}
		t.Fatalf("got %v, want %v", err, syscall.EMFILE)
	}
	if strings.Contains(err.Error(), "socket:") {
		t.Fatalf("got %v, want a failure after bind", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket file: got %v, want %v", err, fs.ErrNotExist)
	}
}
