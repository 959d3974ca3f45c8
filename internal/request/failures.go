package request

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// failurePeriod is the shortest time between two messages about requests that failed for the same
// reason.
const failurePeriod = time.Second

// Failures logs requests that failed. Each reason has a rate of its own, so that what many clients do
// wrong does not hide why another one is refused.
type Failures [len(stats.Refused{})]*logging.Limited

// NewFailures returns what logs there.
func NewFailures(log *zap.Logger) *Failures {
	var f Failures
	for why := range f {
		f[why] = logging.NewLimited(log, failurePeriod)
	}
	return &f
}

// Log tells of a request that failed, or counts it.
func (f *Failures) Log(err error, about ...zap.Field) {
	f[Refusal(err)].Log(zapcore.ErrorLevel, "request failed", append(about, zap.Error(err))...)
}
