package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// ioTimeout bounds every read and write, so that a target that stops answering ends the
// run instead of hanging it.
const ioTimeout = 10 * time.Second

// conn is a client connection: a blocking socket used by one goroutine, without the
// runtime's poller between it and the system calls.
type conn struct{ fd int }

// dial connects to a target.
func dial(addr unix.Sockaddr) (conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return conn{}, fmt.Errorf("socket: %w", err)
	}
	c := conn{fd}
	timeout := unix.NsecToTimeval(ioTimeout.Nanoseconds())
	err = errors.Join(
		unix.Connect(fd, addr), // before the timeouts: with them a signal would interrupt it
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
	)
	if err != nil {
		c.close()
		return conn{}, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

func (c conn) close() { unix.Close(c.fd) }

// write sends all of p.
func (c conn) write(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(c.fd, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return fmt.Errorf("write: the target took nothing for %v", ioTimeout)
		case err != nil:
			return fmt.Errorf("write: %w", err)
		default:
			p = p[n:]
		}
	}
	return nil
}

// read receives some bytes, at least one; at the end of the stream io.EOF.
func (c conn) read(p []byte) (int, error) {
	for {
		n, err := unix.Read(c.fd, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, fmt.Errorf("read: the target sent nothing for %v", ioTimeout)
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// readFull fills p.
func (c conn) readFull(p []byte) error {
	for len(p) > 0 {
		n, err := c.read(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// request sends a request and checks the status it is answered with.
func (c conn) request(request []byte, status uint32) error {
	return c.exchange(request, appendCode(nil, status))
}

// exchange sends a request and checks that it is answered as wanted.
func (c conn) exchange(request, want []byte) error {
	if err := c.write(request); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if err := c.readFull(got); err != nil {
		return err
	}
	return checkAnswer(got, want)
}

// leave ends a Consume: it closes the sending side and waits until the target, having
// noticed, closes too, so that the target hands no later record to a consumer that is
// gone (legacy protocol spec §7.5). Anything still received is an error.
func (c conn) leave() error {
	defer c.close()
	if err := unix.Shutdown(c.fd, unix.SHUT_WR); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	var more [1]byte
	_, err := c.read(more[:])
	switch {
	case err == io.EOF:
		return nil
	case err != nil:
		return fmt.Errorf("leaving a Consume: %w", err)
	default:
		return errors.New("leaving a Consume: the target sent more than was stored")
	}
}

// checkAnswer compares what was received with what it has to be.
func checkAnswer(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	return fmt.Errorf("answer % x, want % x", got[:min(len(got), shown)], want[:min(len(want), shown)])
}

// shown is how much of a wrong answer a message shows.
const shown = 40
