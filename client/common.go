package client

import "github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"

// What both clients have in common is described in package dmq.
type (
	Options         = dmq.Options
	Credentials     = dmq.Credentials
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

// KeySize is the size of a key in bytes.
const KeySize = dmq.KeySize

// LoadCredentials reads a file in the format of a node's etc/credentials, with one line.
func LoadCredentials(file string) (Credentials, error) { return dmq.LoadCredentials(file) }

// ParseCredentials decodes "NAME:KEY", where KEY is 256 hexadecimal digits.
func ParseCredentials(text string) (Credentials, error) { return dmq.ParseCredentials(text) }

// Why a request failed. Use errors.Is.
var (
	ErrNotConnected    = dmq.ErrNotConnected
	ErrEmpty           = dmq.ErrEmpty
	ErrHasSubscribers  = dmq.ErrHasSubscribers
	ErrChannelRemoved  = dmq.ErrChannelRemoved
	ErrNodeError       = dmq.ErrNodeError
	ErrUnsupported     = dmq.ErrUnsupported
	ErrDenied          = dmq.ErrDenied
	ErrNotFound        = dmq.ErrNotFound
	ErrInUse           = dmq.ErrInUse
	ErrMalformed       = dmq.ErrMalformed
	ErrUncertain       = dmq.ErrUncertain
	ErrDisconnected    = dmq.ErrDisconnected
	ErrBadName         = dmq.ErrBadName
	ErrNoChannels      = dmq.ErrNoChannels
	ErrTooManyChannels = dmq.ErrTooManyChannels
	ErrTooLarge        = dmq.ErrTooLarge
	ErrRejected        = dmq.ErrRejected
	ErrWrongPort       = dmq.ErrWrongPort
	ErrClosed          = dmq.ErrClosed
)
