package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// channelSizeSection has free keys: channel name prefixes.
const channelSizeSection = "ChannelSizeById"

// For returns the ring size, in bytes, of the channel's storages. The channel is named without a
// subscriber. At most one prefix matches, because none is the beginning of another.
func (c ChannelSize) For(channel string) uint64 {
	for prefix, size := range c.Prefixes {
		if strings.HasPrefix(channel, prefix) {
			return size
		}
	}
	return c.Default
}

// conflict reports two prefixes of which one is the beginning of the other.
func (c ChannelSize) conflict() error {
	prefixes := slices.Sorted(maps.Keys(c.Prefixes))
	for i := 1; i < len(prefixes); i++ {
		// Whatever begins with a prefix is sorted directly behind it.
		if strings.HasPrefix(prefixes[i], prefixes[i-1]) {
			return fmt.Errorf("Channel size configuration: Conflicting channel id prefixes '%s' and '%s'", prefixes[i-1], prefixes[i])
		}
	}
	return nil
}
