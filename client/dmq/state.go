package dmq

import (
	"fmt"
	"time"
)

// State is the state of the connection to a node.
type State uint8

// States of the connection to a node.
const (
	Connecting   State = iota // no attempt to connect has ended yet
	Connected                 // requests can be sent
	Disconnected              // the last attempt failed or the connection broke; it is tried again
	Closed                    // the client is closed, or the node is no longer in the nodes file
)

var stateNames = [...]string{"connecting", "connected", "disconnected", "closed"}

// String returns the state as a word.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// NodeState tells how a client is doing with a node.
type NodeState struct {
	Address string
	State   State
	Since   time.Time // when State began
	Err     error     // the last failure of a connection; nil if there was none

	InFlight int    // requests waiting for the node; with legacy also the streams
	Idle     int    // legacy: connections that wait for requests
	Connects uint64 // connections made, those of consumers included
	Pushed   uint64 // records that the node has confirmed, of Push and of producers
	Popped   uint64 // records that Pop has got
	Consumed uint64 // records received by consumers
	Failed   uint64 // requests that failed at this node, ErrEmpty not counted
}
