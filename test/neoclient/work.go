package neoclient

import (
	"encoding/binary"
	"fmt"
)

// What a client says of a batch of a Work (docs/protocol.md).
const (
	Confirm = 0xf1
	Return  = 0xf2
	Release = 0xf3

	Cancel = 0xf4 // of a PopWait
)

// Worker is a Work that has started.
type Worker struct {
	ID     uint64
	client *Client
}

// Job is a batch of a Work.
type Job struct {
	Number, Tries uint64
	Records       [][]byte
}

// Work starts a Work and waits for Started.
func (c *Client) Work(channel, subscriber string, records, bytes, batches uint64) (*Worker, error) {
	id := c.NextID()
	if err := c.Start(id, Ours(139, channel, subscriber, records, bytes, batches)); err != nil {
		return nil, err
	}
	status, err := c.ReadByteFor(id)
	if err != nil {
		return nil, err
	}
	if status != 1 {
		return nil, fmt.Errorf("got Work status %02x, want 01", status)
	}
	return &Worker{id, c}, nil
}

// Next returns the next message of the node: [Records] with a job, [Stopped] or [ChannelRemoved].
func (w *Worker) Next() (message byte, job Job, err error) {
	payload, err := w.client.ReadFor(w.ID)
	if err != nil {
		return 0, Job{}, err
	}
	switch {
	case len(payload) > 17 && payload[0] == Records:
		job.Number = binary.LittleEndian.Uint64(payload[1:])
		job.Tries = binary.LittleEndian.Uint64(payload[9:])
		job.Records, err = Batch(append([]byte{Records}, payload[17:]...))
		return Records, job, err
	case len(payload) == 1 && (payload[0] == Stopped || payload[0] == ChannelRemoved):
		return payload[0], Job{}, nil
	}
	return 0, Job{}, fmt.Errorf("got Work message %v, want Records, Stopped or ChannelRemoved", Frame{w.ID, payload})
}

// Job returns the next batch. Another message is an error.
func (w *Worker) Job() (Job, error) {
	message, job, err := w.Next()
	if err == nil && message != Records {
		err = fmt.Errorf("got Work message %02x, want Records", message)
	}
	return job, err
}

// Settle says something of a batch: the number of it, and of a Return the milliseconds.
func (w *Worker) Settle(what byte, numbers ...uint64) error {
	b := []byte{what}
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return w.client.Send(w.ID, b)
}

// Stop sends Stop.
func (w *Worker) Stop() error { return w.client.Send(w.ID, []byte{Stop}) }
