package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// maxPath is the longest path that fits into a UNIX socket address with its zero byte.
	maxPath = 107
	// backlog is the number of clients that may wait to be accepted.
	backlog = 32
	// defaultMode is what the umask of the original, 002, leaves of 0777.
	defaultMode = 0o775
)

// listen makes the socket file, and tells which one it is.
func listen(path string, mode uint32, log *zap.Logger) (net.Listener, os.FileInfo, error) {
	if err := checkPath(path); err != nil {
		return nil, nil, err
	}
	if err := removeStale(path, log); err != nil {
		return nil, nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), path)
	defer socket.Close() // the listener has a descriptor of its own
	switch err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err {
	case nil:
	case unix.ENOENT:
		return nil, nil, fmt.Errorf("bind: %w (the directory of a socket must exist)", err)
	default:
		return nil, nil, fmt.Errorf("bind: %w", err)
	}
	listener, file, err := listenBound(socket, mode)
	if err != nil {
		return nil, nil, errors.Join(err, os.Remove(path))
	}
	return listener, file, nil
}

// listenBound sets the mode between bind and listen: nobody can connect before it is right,
// and the umask, which all threads of a process share, is left alone.
func listenBound(socket *os.File, mode uint32) (net.Listener, os.FileInfo, error) {
	if mode == 0 {
		mode = defaultMode
	}
	if err := unix.Chmod(socket.Name(), mode); err != nil {
		return nil, nil, fmt.Errorf("chmod %#o: %w", mode, err)
	}
	file, err := os.Lstat(socket.Name())
	if err != nil {
		return nil, nil, err
	}
	if err := unix.Listen(int(socket.Fd()), backlog); err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	listener, err := net.FileListener(socket)
	return listener, file, err
}

func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path is empty")
	case len(path) > maxPath:
		return fmt.Errorf("the path is too long: %d bytes, allowed are %d", len(path), maxPath)
	case path[0] == '@':
		return errors.New("the path begins with @, which means a socket without a file; write ./@…")
	}
	return nil
}

// removeStale makes room for the socket file: it removes that of a process which is no more, and
// moves a regular file aside.
func removeStale(path string, log *zap.Logger) error {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case file.Mode().IsRegular():
		return moveAside(path, log)
	case file.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("the path is that of a %s; only a socket or a regular file is replaced; remove it, or configure another path", typeName(file.Mode()))
	}
	if err := probe(path); err != nil {
		return err
	}
	if err := removeSame(path, file); err != nil {
		return fmt.Errorf("the socket file of a process that ended could not be deleted: %w", err)
	}
	log.Warn("existing socket file deleted, nobody was listening")
	return nil
}

// moveAside keeps a file which has the path of the socket. The original deletes it, but the path
// may be there by mistake.
func moveAside(path string, log *zap.Logger) error {
	aside := path + ".replaced"
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("a regular file has the path of the socket: %w", err)
	}
	log.Warn("a regular file had the path of the socket and was renamed", zap.String("to", aside))
	return nil
}

// probe returns an error unless it is certain that nobody listens on the socket.
func probe(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case unix.ECONNREFUSED:
		return nil
	case nil:
		who := ""
		if peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && peer.Pid > 0 {
			who = fmt.Sprintf(" (process %d)", peer.Pid)
		}
		return fmt.Errorf("another process serves this socket%s; end it, or configure another path", who)
	case unix.EAGAIN: // its backlog is full
		return errors.New("another process serves this socket; end it, or configure another path")
	default:
		return fmt.Errorf("another process may be serving this socket: connect: %w", err)
	}
}

// removeSame deletes a file unless the path has become another file's.
func removeSame(path string, file os.FileInfo) error {
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(now, file) {
		return errors.New("it has been replaced by a file that is not this process's")
	}
	return os.Remove(path)
}

func typeName(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "named pipe"
	}
	return "device"
}
