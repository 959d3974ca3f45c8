package neoclient

import (
	"encoding/binary"
	"fmt"
)

// PushPayload encodes the first message of a Push (neo protocol spec §9).
func PushPayload(value []byte, channels ...string) []byte {
	b := []byte{1, 3, byte(len(channels))}
	for _, channel := range channels {
		b = append(b, Array(channel)...)
	}
	return append(b, Array(value)...)
}

// PopPayload encodes the first message of a Pop (neo protocol spec §10).
func PopPayload(channel string) []byte {
	return append([]byte{2, 1}, Array(channel)...)
}

// ConsumePayload encodes the first message of a Consume (neo protocol spec §11.1).
func ConsumePayload(channel, subscriber string) []byte {
	return append(append([]byte{6, 4}, Array(channel)...), Array(subscriber)...)
}

// ReadByteFor returns the payload of the next frame of that id, which must be one byte.
func (c *Client) ReadByteFor(id uint64) (byte, error) {
	payload, err := c.ReadFor(id)
	if err != nil {
		return 0, err
	}
	if len(payload) != 1 {
		return 0, fmt.Errorf("got %v, want one byte", Frame{id, payload})
	}
	return payload[0], nil
}

// Start sends the first message of a request and waits for the node to support it.
func (c *Client) Start(id uint64, payload []byte) error {
	if err := c.Send(id, payload); err != nil {
		return err
	}
	return c.Supported(id)
}

// Supported waits for the support status of a request whose first message was sent (neo protocol spec §7.2).
func (c *Client) Supported(id uint64) error {
	support, err := c.ReadByteFor(id)
	if err != nil {
		return err
	}
	if support != 0xfd {
		return fmt.Errorf("got support status %02x, want fd", support)
	}
	return nil
}

// Push pushes a value to all the channels and returns the status: 1 pushed, 2 node error.
func (c *Client) Push(value []byte, channels ...string) (status byte, err error) {
	id := c.NextID()
	if err := c.Start(id, PushPayload(value, channels...)); err != nil {
		return 0, err
	}
	if status, err = c.ReadByteFor(id); err == nil && status != 1 && status != 2 {
		err = fmt.Errorf("got Push status %02x, want 01 or 02", status)
	}
	return status, err
}

// Pop pops a value and returns the status: 1 with a value, 2 empty, 3 node error, 4 the
// channel has subscribers.
func (c *Client) Pop(channel string) (status byte, value []byte, err error) {
	id := c.NextID()
	if err := c.Start(id, PopPayload(channel)); err != nil {
		return 0, nil, err
	}
	return c.Popped(id)
}

// Popped waits for the result of a Pop that is supported.
func (c *Client) Popped(id uint64) (status byte, value []byte, err error) {
	payload, err := c.ReadFor(id)
	if err != nil {
		return 0, nil, err
	}
	if len(payload) > 1 && payload[0] == 1 {
		values, err := arrays(payload[1:])
		if err == nil && len(values) != 1 {
			err = fmt.Errorf("got %d values popped, want 1", len(values))
		}
		if err != nil {
			return 0, nil, err
		}
		return 1, values[0], nil
	}
	if len(payload) != 1 || payload[0] < 2 || payload[0] > 4 {
		return 0, nil, fmt.Errorf("got Pop result %v, want a value or 02, 03 or 04", Frame{id, payload})
	}
	return payload[0], nil, nil
}

// arrays decodes b as arrays up to its end.
func arrays(b []byte) (all [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 8 || binary.LittleEndian.Uint64(b) > uint64(len(b)-8) {
			return nil, fmt.Errorf("array beyond the end of the message: % x", b[:min(len(b), 64)])
		}
		end := 8 + binary.LittleEndian.Uint64(b)
		all = append(all, b[8:end])
		b = b[end:]
	}
	return all, nil
}

// Ours encodes the first message of a request that has the names of a channel and a subscriber, and
// numbers behind them (docs/protocol.md).
func Ours(code byte, channel, subscriber string, numbers ...uint64) []byte {
	b := append(append([]byte{code, 1}, Array(channel)...), Array(subscriber)...)
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// PopWait starts a PopWait and waits until the node supports it. [Client.Popped] has its result.
func (c *Client) PopWait(channel, subscriber string, milliseconds uint64) (id uint64, err error) {
	id = c.NextID()
	return id, c.Start(id, Ours(138, channel, subscriber, milliseconds))
}
