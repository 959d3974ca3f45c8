package neo

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
)

// Describe implements connpool.Described.
func (s *Session) Describe() (client string, active []connpool.Activity) {
	for _, c := range s.consumes {
		active = append(active, request.Activity(requestName(wire.CodeConsume), c.name, c.runs))
	}
	return s.client, active
}
