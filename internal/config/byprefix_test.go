package config

import "testing"

// The name of the channel decides about the ring size (operations spec §2.4, [ChannelSizeById]).
func TestChannelSize(t *testing.T) {
	c, _, err := Load(write(t, minimal+"[ChannelSizeById]\norders_ = 10\nlog = 0\norders-x = 20"), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]uint64{
		"orders_eu": 10,
		"orders_":   10,
		"orders-xy": 20,
		"orders":    2000000000,
		"log":       0,
		"logs":      0,
		"lo":        2000000000,
		"Log":       2000000000,
		"xlog":      2000000000,
		"":          2000000000,
	}
	for channel, want := range tests {
		if got := c.ChannelSize.For(channel); got != want {
			t.Errorf("For(%q): got %d, want %d", channel, got, want)
		}
	}
}

// What a queue may have is the number of [Limits], or that of its own beginning.
func TestQueueBytes(t *testing.T) {
	c, _, err := Load(write(t, minimal+"[Limits]\nqueue_bytes = 1000\n[QueueBytesById]\norders_ = 10\nlog = 0"), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]uint64{"orders_eu": 10, "log": 0, "clicks": 1000} {
		if got := c.QueueBytes.For(channel); got != want {
			t.Errorf("For(%q): got %d, want %d", channel, got, want)
		}
	}
}
