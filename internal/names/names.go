// Package names holds the rules for channel and subscriber names and for the name of the
// storage the two make up. Both protocols and the data directory follow the same rules.
//
//	channel     one or more of 0-9 A-Z a-z _ -
//	subscriber  any number of the same, also none
//	storage     channel             a channel without subscribers
//	            subscriber@channel  the queue of one subscriber; the empty subscriber
//	                                keeps the @, as in @channel
//
// Lengths are bounded by the file a storage is dumped to, its name plus ".rq", because a
// directory entry has at most 255 bytes. A legacy Consume subscribes with the empty name,
// so every channel must leave room for the @ too: that is [MaxChannel]. A subscriber
// shares that room with its channel: [Fits].
//
// The rules are those of the storage spec §2.4 and §5.8. Nothing here
// allocates except [Storage].
package names

import "strings"

// MaxChannel is the longest channel name in bytes: "@" + channel + ".rq" makes 255.
const MaxChannel = 251

// MaxSubscriber is the longest subscriber name in bytes, beside a channel of one byte.
const MaxSubscriber = MaxChannel - 1

// separator stands between subscriber and channel in the name of a storage. It can be in
// neither of them.
const separator = '@'

// legal tells the bytes a name may consist of.
var legal = func() (table [256]bool) {
	for _, c := range []byte("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-") {
		table[c] = true
	}
	return table
}()

// ValidChannel reports whether name may name a channel: 1 to [MaxChannel] legal bytes.
func ValidChannel(name []byte) bool {
	return len(name) >= 1 && len(name) <= MaxChannel && allLegal(name)
}

// ValidSubscriber reports whether name may name a subscriber of some channel: 0 to
// [MaxSubscriber] legal bytes. Whether it may be one of a given channel, [Fits] tells.
func ValidSubscriber(name []byte) bool {
	return len(name) <= MaxSubscriber && allLegal(name)
}

// Fits reports whether subscriber and channel, both valid, are short enough together for
// their storage to have a dump file.
func Fits(subscriber, channel []byte) bool {
	return len(subscriber)+len(channel) <= MaxChannel
}

// Storage returns the name of a storage: channel itself if it has no subscribers, else
// that of the queue of subscriber, which may be empty. It does not check the names.
func Storage(subscriber, channel string, subscribed bool) string {
	if !subscribed {
		return channel
	}
	return subscriber + string(separator) + channel
}

// ParseStorage is the inverse of [Storage]. ok is false unless the parts consist of legal
// bytes and the channel is not empty. Lengths are not checked: what is in a data
// directory has fitted there.
func ParseStorage(storage string) (subscriber, channel string, subscribed, ok bool) {
	subscriber, channel, subscribed = strings.Cut(storage, string(separator))
	if !subscribed {
		subscriber, channel = "", storage
	}
	ok = channel != "" && allLegal(channel) && allLegal(subscriber)
	return subscriber, channel, subscribed, ok
}

// allLegal reports whether name consists of nothing but legal bytes.
func allLegal[T string | []byte](name T) bool {
	for i := 0; i < len(name); i++ {
		if !legal[name[i]] {
			return false
		}
	}
	return true
}
