package connpool

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// output is what a connection has to send, in order: replies in pooled buffers, and
// spans of memory that belongs to others.
type output struct {
	segments []segment
	first    int    // the segment to send next
	unsent   int    // bytes
	sent     uint64 // bytes handed to the kernel since the connection was opened
	owned    int    // bytes of the pooled buffers
	memory   *Memory
}

type segment struct {
	bytes []byte // not sent yet
	owned []byte // the pooled buffer they lie in; nil for a span
}

// maxVector is how many segments are sent with one system call.
const maxVector = 64

// replyBuffer is the least capacity of a buffer for replies.
const replyBuffer = 16 << 10

// buffer returns the buffer to append the next bytes to, with room for at least that
// many.
func (o *output) buffer(room int, pool *buffers) []byte {
	if n := len(o.segments); n > o.first {
		if s := &o.segments[n-1]; s.owned != nil && cap(s.bytes)-len(s.bytes) >= room {
			return s.bytes
		}
	}
	owned := pool.get(max(room, replyBuffer))
	o.own(cap(owned))
	o.add(segment{bytes: owned, owned: owned})
	return owned
}

// appended takes over a slice from buffer to which bytes were appended.
func (o *output) appended(b []byte) {
	s := &o.segments[len(o.segments)-1]
	o.unsent += len(b) - len(s.bytes)
	s.bytes = b
}

// span appends memory that stays unchanged until it is sent.
func (o *output) span(b []byte) {
	o.add(segment{bytes: b})
	o.unsent += len(b)
}

// add appends a segment, in the room of sent ones if those are many: output may never
// drain completely.
func (o *output) add(s segment) {
	if len(o.segments) == cap(o.segments) && o.first > len(o.segments)/2 {
		n := copy(o.segments, o.segments[o.first:])
		clear(o.segments[n:])
		o.segments, o.first = o.segments[:n], 0
	}
	o.segments = append(o.segments, s)
}

// send hands bytes to the kernel until everything is sent, the socket is full, or it was that many. It
// reports the number of bytes sent; an error means that the connection is broken.
func (o *output) send(fd, most int, pool *buffers) (n int, err error) {
	for o.unsent > 0 && n < most {
		k, errno := o.write(fd, most-n)
		switch errno {
		case 0:
			n += k
			o.advance(k, pool)
		case unix.EINTR:
		case unix.EAGAIN:
			return n, nil
		default:
			return n, errno
		}
	}
	return n, nil
}

// write sends what one system call takes, at most that many bytes. The socket never blocks, so the call goes
// around the scheduler's bookkeeping.
func (o *output) write(fd, most int) (n int, errno syscall.Errno) {
	var vector [maxVector]unix.Iovec
	count, left := 0, most
	for _, s := range o.segments[o.first:] {
		if len(s.bytes) == 0 {
			continue
		}
		length := min(len(s.bytes), left)
		vector[count].Base = &s.bytes[0]
		vector[count].SetLen(length)
		left -= length
		if count++; count == maxVector || left == 0 {
			break
		}
	}
	r, _, errno := syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vector)), uintptr(count))
	return int(r), errno
}

// advance drops n sent bytes.
func (o *output) advance(n int, pool *buffers) {
	o.sent += uint64(n)
	o.unsent -= n
	for o.first < len(o.segments) {
		s := &o.segments[o.first]
		if n < len(s.bytes) {
			s.bytes = s.bytes[n:]
			return
		}
		n -= len(s.bytes)
		o.own(-cap(s.owned))
		pool.put(s.owned)
		*s = segment{}
		o.first++
	}
	o.segments, o.first = o.segments[:0], 0
}

// drop forgets what is not sent.
func (o *output) drop(pool *buffers) {
	for _, s := range o.segments[o.first:] {
		pool.put(s.owned)
	}
	o.own(-o.owned)
	clear(o.segments)
	*o = output{segments: o.segments[:0], sent: o.sent, memory: o.memory}
}

// own notes that so many bytes of buffers have come or gone. What every connection may have is
// nobody's business.
func (o *output) own(bytes int) {
	before := max(0, o.owned-smallOutput)
	o.owned += bytes
	if difference := max(0, o.owned-smallOutput) - before; difference != 0 {
		o.memory.output.Add(int64(difference))
	}
}
