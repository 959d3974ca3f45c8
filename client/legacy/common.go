package legacy

import "github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"

// What both clients have in common is described in package dmq.
type (
	Options         = dmq.Options
	Producer        = dmq.Producer
	ProducerOptions = dmq.ProducerOptions
	ProducerState   = dmq.ProducerState
	ProduceError    = dmq.ProduceError
	Consumer        = dmq.Consumer
	ConsumeOptions  = dmq.ConsumeOptions
	Record          = dmq.Record
	NodeState       = dmq.NodeState
	State           = dmq.State
	Error           = dmq.Error
)

// States of the connection to a node.
const (
	Connecting   = dmq.Connecting
	Connected    = dmq.Connected
	Disconnected = dmq.Disconnected
	Closed       = dmq.Closed
)

// Why a request failed. Use errors.Is.
var (
	ErrNotConnected    = dmq.ErrNotConnected
	ErrEmpty           = dmq.ErrEmpty
	ErrHasSubscribers  = dmq.ErrHasSubscribers
	ErrChannelRemoved  = dmq.ErrChannelRemoved
	ErrNodeError       = dmq.ErrNodeError
	ErrUnsupported     = dmq.ErrUnsupported
	ErrUncertain       = dmq.ErrUncertain
	ErrDisconnected    = dmq.ErrDisconnected
	ErrBadName         = dmq.ErrBadName
	ErrNoChannels      = dmq.ErrNoChannels
	ErrTooManyChannels = dmq.ErrTooManyChannels
	ErrTooLarge        = dmq.ErrTooLarge
	ErrEmptyRecord     = dmq.ErrEmptyRecord
	ErrWrongPort       = dmq.ErrWrongPort
	ErrClosed          = dmq.ErrClosed
)
