package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sections with free keys: channel name prefixes.
const (
	channelSizeSection = "ChannelSizeById"
	queueBytesSection  = "QueueBytesById"
)

func freeKeys(section string) bool {
	return section == channelSizeSection || section == queueBytesSection
}

// For returns the bytes of the channel, which is named without a subscriber. At most one prefix
// matches, because none is the beginning of another.
func (c ByPrefix) For(channel string) uint64 {
	for prefix, size := range c.Prefixes {
		if strings.HasPrefix(channel, prefix) {
			return size
		}
	}
	return c.Default
}

// conflict reports two prefixes of which one is the beginning of the other.
func (c ByPrefix) conflict() error {
	prefixes := slices.Sorted(maps.Keys(c.Prefixes))
	for i := 1; i < len(prefixes); i++ {
		// Whatever begins with a prefix is sorted directly behind it.
		if strings.HasPrefix(prefixes[i], prefixes[i-1]) {
			return fmt.Errorf("Conflicting channel id prefixes '%s' and '%s'", prefixes[i-1], prefixes[i])
		}
	}
	return nil
}
