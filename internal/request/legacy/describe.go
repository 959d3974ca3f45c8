package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
)

// Describe implements connpool.Described. A legacy client has no name.
func (s *Session) Describe() (client string, active []connpool.Activity) {
	switch s.state {
	case records:
		active = append(active, connpool.Activity{Request: "produce"})
	case consuming:
		active = append(active, request.Activity("consume", s.consume.consumer.Queue(), s.consume.runs))
	}
	return "", active
}
