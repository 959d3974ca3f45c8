package neoclient

import "fmt"

// Messages after Started (neo protocol spec §11.1).
const (
	Continue       = 1
	Stop           = 2
	Records        = 3
	Stopped        = 4
	ChannelRemoved = 5
)

// Consumer is a Consume that has started.
type Consumer struct {
	ID     uint64
	client *Client
}

// Consume starts a Consume and waits for Started.
func (c *Client) Consume(channel, subscriber string) (*Consumer, error) {
	id := c.NextID()
	if err := c.Start(id, ConsumePayload(channel, subscriber)); err != nil {
		return nil, err
	}
	status, err := c.ReadByteFor(id)
	if err != nil {
		return nil, err
	}
	if status != 1 {
		return nil, fmt.Errorf("got Consume status %02x, want 01", status)
	}
	return &Consumer{id, c}, nil
}

// Consumer returns the Consume of that id, whose messages up to Started the caller sends and
// receives.
func (c *Client) Consumer(id uint64) *Consumer { return &Consumer{id, c} }

// Feedback sends [Continue] or [Stop], or something else.
func (c *Consumer) Feedback(message ...byte) error { return c.client.Send(c.ID, message) }

// Next returns the next message of the node: [Records] with at least one record, [Stopped]
// or [ChannelRemoved].
func (c *Consumer) Next() (message byte, records [][]byte, err error) {
	payload, err := c.client.ReadFor(c.ID)
	if err != nil {
		return 0, nil, err
	}
	switch {
	case len(payload) > 1 && payload[0] == Records:
		records, err = Batch(payload)
		return Records, records, err
	case len(payload) == 1 && (payload[0] == Stopped || payload[0] == ChannelRemoved):
		return payload[0], nil, nil
	}
	return 0, nil, fmt.Errorf("got Consume message %v, want Records, Stopped or ChannelRemoved", Frame{c.ID, payload})
}

// Records returns the next batch. Another message is an error.
func (c *Consumer) Records() ([][]byte, error) {
	message, records, err := c.Next()
	if err == nil && message != Records {
		err = fmt.Errorf("got Consume message %02x, want Records", message)
	}
	return records, err
}

// Collect takes batches, each answered with Continue, until it has n records or more.
func (c *Consumer) Collect(n int) (records [][]byte, err error) {
	for len(records) < n {
		more, err := c.Records()
		if err != nil {
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, err)
		}
		records = append(records, more...)
		if err := c.Feedback(Continue); err != nil {
			return records, err
		}
	}
	return records, nil
}

// End sends Stop and takes what comes until Stopped: the records of at most one batch.
func (c *Consumer) End() (records [][]byte, err error) {
	if err := c.Feedback(Stop); err != nil {
		return nil, err
	}
	message, records, err := c.Next()
	if err != nil || message == Stopped {
		return nil, err
	}
	if message != Records {
		return nil, fmt.Errorf("got Consume message %02x, want Records or Stopped", message)
	}
	if message, _, err = c.Next(); err == nil && message != Stopped {
		err = fmt.Errorf("got Consume message %02x behind the last Records, want Stopped", message)
	}
	return records, err
}

// Batch decodes a Records message: its type, then one array, which consists of at least one.
func Batch(payload []byte) ([][]byte, error) {
	if len(payload) == 0 || payload[0] != Records {
		return nil, fmt.Errorf("got Consume message %v, want Records", payload[:min(len(payload), 64)])
	}
	outer, err := arrays(payload[1:])
	if err != nil {
		return nil, err
	}
	if len(outer) != 1 || len(outer[0]) == 0 {
		return nil, fmt.Errorf("got a Records message of %d batches, want one with records", len(outer))
	}
	return arrays(outer[0])
}
