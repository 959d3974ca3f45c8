package overflow

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Recover checks the files of a directory for which there are no States: one that a D node
// has left, or a clean stop. It returns the storages that have records, and makes sure
// that [Open] with a zero Global and Attach can work with them.
//
// The data file is read from start to end and decides; the index names the chains and says
// how far they were consumed. An index that is older than the file is corrected as far as
// the file proves it. If there are records of which neither file can tell whether they are
// still to be delivered, or to whom, both files are set aside under names that a D node
// ignores, and are written anew with what is certain. That is logged as an error with what
// an operator can do. Being killed meanwhile does no harm: the next call goes on.
func Recover(dir disk.Dir, logs Logs) ([]Entry, error) {
	log := logs(loggerName)
	if err := finishAside(dir); err != nil {
		return nil, err
	}
	f, err := examine(dir)
	if err != nil {
		return nil, err
	}
	if len(f.doubts) > 0 {
		if err := f.setAside(dir, log); err != nil {
			return nil, err
		}
		if f, err = examine(dir); err != nil {
			return nil, err
		}
		if len(f.doubts) > 0 {
			return nil, fmt.Errorf("%s has just been written anew, but: %s", dir.Path(dataName), f.doubts[0])
		}
	}
	f.report(log)
	return f.live, nil
}

// report logs how the index was corrected, and what lies in the file beside the records of
// the storages.
func (f *findings) report(log *zap.Logger) {
	for _, s := range f.stale {
		log.Warn("the overflow index was out of date: " + s)
	}
	for _, c := range f.nameless {
		log.Info("overflow records that were consumed before", zap.Uint32("id", c.ID),
			zap.Uint64("records", c.Records), zap.Uint64("bytes", c.Bytes))
	}
}
