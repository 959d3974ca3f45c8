package neo

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
)

// Describe implements connpool.Described.
func (s *Session) Describe() (client string, active []connpool.Activity) {
	for _, a := range s.active {
		active = append(active, request.Activity(requestName(a.code()), a.String(), a.unconfirmed()))
	}
	return s.client, active
}
