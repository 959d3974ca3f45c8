package client

import "time"

// Queue is what a node tells of a queue.
type Queue struct {
	Name       string `json:"queue"` // "channel" or "subscriber@channel"
	Channel    string `json:"channel"`
	Subscriber string `json:"subscriber"`
	Subscribed bool   `json:"subscribed"` // it belongs to a subscriber, whose name may be empty

	Records  uint64 `json:"records"`  // that are not delivered
	Bytes    uint64 `json:"bytes"`    // of their payload
	InRing   Amount `json:"in_ring"`  // of these
	Spilled  Amount `json:"spilled"`  // of these
	Capacity uint64 `json:"capacity"` // of the ring in bytes, where a record takes 8 more than its payload
	Used     uint64 `json:"used"`     // of that

	Unconfirmed        Amount  `json:"unconfirmed"`         // that clients have, and have not confirmed
	UnconfirmedSeconds float64 `json:"unconfirmed_seconds"` // since the oldest of these was handed out
	OldestSeconds      float64 `json:"oldest_seconds"`      // since the oldest record was first seen

	Paused    bool `json:"paused"`
	Consumers int  `json:"consumers"`
	Waiting   int  `json:"waiting"` // those of them that wait for a record

	// Since the node was started.
	Pushed      Amount `json:"pushed"`
	Delivered   Amount `json:"delivered"`
	Redelivered Amount `json:"redelivered"`
	Overflowed  Amount `json:"overflowed"` // of the pushed ones
	Cleared     Amount `json:"cleared"`
	Failed      Amount `json:"failed"` // moved to the failed channel

	Delayed Amount `json:"delayed"` // returned, to be delivered later
}

// Amount is a number of records, and of the bytes of their payload.
type Amount struct {
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// QueueInfo is a queue with those who consume it.
type QueueInfo struct {
	Queue
	Connections []Connection `json:"clients"`
}

// Connection is a connection that a node has.
type Connection struct {
	ID       uint64    `json:"id"` // for Disconnect
	Address  string    `json:"address"`
	Protocol string    `json:"protocol"` // "neo" or "legacy"
	Name     string    `json:"name"`     // of the credentials; empty with legacy
	Since    time.Time `json:"since"`

	BytesIn     uint64              `json:"bytes_in"`
	BytesOut    uint64              `json:"bytes_out"`
	BytesUnsent int                 `json:"bytes_unsent"` // that wait for the client to read
	Requests    []ConnectionRequest `json:"requests"`     // that last
}

// ConnectionRequest is a request that lasts, such as a Consume.
type ConnectionRequest struct {
	Request            string  `json:"request"`
	Queue              string  `json:"queue"`
	UnconfirmedRecords int     `json:"unconfirmed_records"`
	UnconfirmedBytes   int     `json:"unconfirmed_bytes"`
	UnconfirmedSeconds float64 `json:"unconfirmed_seconds"` // since the oldest of them was handed out
}

// Peeked is a record that was looked at and not taken.
type Peeked struct {
	Bytes       []byte // all of it, or its beginning
	Size        uint64 // of all of it
	Unconfirmed bool   // a client has it, and has not confirmed it
	Returned    bool   // a client has had it before
}
