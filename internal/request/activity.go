package request

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Activity tells of a request that consumes a queue and has these runs, oldest first.
func Activity(request, queue string, runs []*storage.Run) connpool.Activity {
	a := connpool.Activity{Request: request, Queue: queue}
	for _, r := range runs {
		a.Unconfirmed += r.Records()
		a.UnconfirmedBytes += len(r.Bytes()) - r.Records()*storage.Size(0)
	}
	if len(runs) > 0 {
		a.UnconfirmedSince = runs[0].Since()
	}
	return a
}
