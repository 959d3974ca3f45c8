package names

import (
	"fmt"
	"strings"
)

// FailedChannel names the channels that records are moved to which nobody can handle: a channel
// name in which "{channel}" stands for that of the channel they come from.
type FailedChannel string

const ofChannel = "{channel}"

// Of returns the failed channel of a channel.
func (f FailedChannel) Of(channel string) string {
	return strings.ReplaceAll(string(f), ofChannel, channel)
}

// Is reports whether a channel is the failed channel of some channel. Its records stay in it.
func (f FailedChannel) Is(channel string) bool {
	before, behind, varies := strings.Cut(string(f), ofChannel)
	if !varies {
		return channel == string(f)
	}
	return len(channel) > len(before)+len(behind) && strings.HasPrefix(channel, before) && strings.HasSuffix(channel, behind)
}

// Check returns an error unless there are channels that have a failed channel.
func (f FailedChannel) Check() error {
	name := f.Of("x")
	switch {
	case !ValidChannel([]byte(name)):
		return fmt.Errorf("%q: a channel name has 1 to %d of the characters A-Z a-z 0-9 _ -, and may have %s for "+
			"the name of the channel that the records come from", string(f), MaxChannel, ofChannel)
	case strings.Count(string(f), ofChannel) > 1:
		return fmt.Errorf("%q: %s may be in it once", string(f), ofChannel)
	case string(f) == ofChannel:
		return fmt.Errorf("%q: that is the channel itself", string(f))
	}
	return nil
}
