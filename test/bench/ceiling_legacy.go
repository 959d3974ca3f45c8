package main

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// handleLegacy takes all complete requests of input and returns how many bytes they have.
func (c *ceiling) handleLegacy(conn *ceilingConn, input []byte) (handled int, ok bool) {
	for handled < len(input) {
		if conn.stream != nil {
			before := conn.stream.records
			n, ended, err := conn.stream.walk(input[handled:])
			if err != nil {
				return 0, false
			}
			c.stored += conn.stream.records - before
			handled += n
			if ended {
				conn.stream = nil
			}
			continue
		}
		n, ok := c.request(conn, input[handled:])
		if !ok {
			return 0, false
		}
		if n == 0 {
			return handled, len(input)-handled < len(c.input)
		}
		handled += n
	}
	return handled, true
}

// request takes one request and returns how many bytes it has: 0 if it isn't complete.
func (c *ceiling) request(conn *ceilingConn, input []byte) (taken int, ok bool) {
	if len(input) < codeLen {
		return 0, true
	}
	code := binary.LittleEndian.Uint32(input)
	if code == codeGetNumConnections {
		c.replies = appendCode(c.replies, statusNotSupported)
		return codeLen, true
	}
	end := arrayEnd(input, codeLen)
	if code == codePush {
		end = arrayEnd(input, end)
	}
	if end > len(input) {
		return 0, true
	}
	switch code {
	case codePush:
		c.stored++
	case codeProduce:
		conn.stream = &walker{size: uint64(c.size)}
	case codeConsume:
		c.consumer = conn
	default:
		return 0, false
	}
	c.replies = appendCode(c.replies, statusOk)
	return end, true
}

// arrayEnd returns where the array that begins at start ends, or more than input has if
// its length is not complete.
func arrayEnd(input []byte, start int) int {
	if start+lengthLen > len(input) {
		return len(input) + 1
	}
	length := binary.LittleEndian.Uint64(input[start:])
	return start + lengthLen + int(min(length, ceilingInput))
}

// deliverLegacy writes once; if more is owed, the next round goes on when the socket takes
// it. It returns false if the connection has ended.
func (c *ceiling) deliverLegacy(conn *ceilingConn) bool {
	conn.owed += c.stored * int64(lengthLen+c.size)
	c.stored = 0
	if conn.owed > 0 && len(conn.unsent) == 0 {
		end := min(int64(len(c.records)), int64(conn.position)+conn.owed)
		n, err := unix.Write(conn.fd, c.records[conn.position:end])
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			return false
		}
		if n = max(n, 0); n > 0 {
			conn.owed -= int64(n)
			conn.position = (conn.position + n) % len(c.records)
		}
	}
	return c.watch(conn)
}
