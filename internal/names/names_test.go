package names

import (
	"strings"
	"testing"
)

func TestChannelsAndSubscribersConsistOfLettersDigitsUnderscoreAndDash(t *testing.T) {
	for c := range 256 {
		want := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-'
		name := []byte{'a', byte(c), 'b'}
		if got := ValidChannel(name); got != want {
			t.Errorf("ValidChannel(%q): got %v, want %v", name, got, want)
		}
		if got := ValidSubscriber(name); got != want {
			t.Errorf("ValidSubscriber(%q): got %v, want %v", name, got, want)
		}
	}
}

func TestNameLengths(t *testing.T) {
	for _, c := range []struct {
		rule                string
		length              int
		channel, subscriber bool
	}{
		{"only a subscriber may be empty", 0, false, true},
		{"one byte is enough", 1, true, true},
		{"a subscriber leaves its channel one byte", 250, true, true},
		{"a channel leaves room for @ and .rq", 251, true, false},
		{"a channel the empty subscriber's file has no room for", 252, false, false},
	} {
		name := []byte(strings.Repeat("x", c.length))
		if got := ValidChannel(name); got != c.channel {
			t.Errorf("%s: ValidChannel of %d bytes: got %v, want %v", c.rule, c.length, got, c.channel)
		}
		if got := ValidSubscriber(name); got != c.subscriber {
			t.Errorf("%s: ValidSubscriber of %d bytes: got %v, want %v", c.rule, c.length, got, c.subscriber)
		}
	}
}

func TestFitsMeansTheDumpFileHasAtMost255Bytes(t *testing.T) {
	for _, c := range []struct {
		subscriber, channel int
		want                bool
	}{
		{0, 251, true},
		{1, 250, true},
		{1, 251, false},
		{250, 1, true},
		{125, 126, true},
		{126, 126, false},
	} {
		s, ch := strings.Repeat("s", c.subscriber), strings.Repeat("c", c.channel)
		if got := Fits([]byte(s), []byte(ch)); got != c.want {
			t.Errorf("Fits(%d bytes, %d bytes): got %v, want %v", c.subscriber, c.channel, got, c.want)
		}
		if file := Storage(s, ch, true) + ".rq"; (len(file) <= 255) != c.want {
			t.Errorf("dump file of %d + %d bytes has %d bytes, want at most 255: %v",
				c.subscriber, c.channel, len(file), c.want)
		}
	}
}

func TestStorageNames(t *testing.T) {
	for _, c := range []struct {
		subscriber, channel string
		subscribed          bool
		want                string
	}{
		{"", "orders", false, "orders"},
		{"", "orders", true, "@orders"},
		{"billing", "orders", true, "billing@orders"},
		{"A-_9", "-c", true, "A-_9@-c"},
	} {
		got := Storage(c.subscriber, c.channel, c.subscribed)
		if got != c.want {
			t.Errorf("Storage(%q, %q, %v): got %q, want %q", c.subscriber, c.channel, c.subscribed, got, c.want)
		}
		subscriber, channel, subscribed, ok := ParseStorage(got)
		if subscriber != c.subscriber || channel != c.channel || subscribed != c.subscribed || !ok {
			t.Errorf("ParseStorage(%q): got %q, %q, %v, %v, want %q, %q, %v, true",
				got, subscriber, channel, subscribed, ok, c.subscriber, c.channel, c.subscribed)
		}
	}
}

// The names are the rows "ignored" of the storage spec §2.4, and a few of storage spec §5.8.
func TestParseStorageRefusesWhatIsNoStorage(t *testing.T) {
	for _, name := range []string{"", "@", "c@", "@a@b", "a@b@c", "a.b", "a:b", "a/b", "s@a/b", "s/t@a", "a b", "a\x00"} {
		if _, _, _, ok := ParseStorage(name); ok {
			t.Errorf("ParseStorage(%q): got ok, want refused", name)
		}
	}
}

func FuzzParseStorage(f *testing.F) {
	for _, name := range []string{"world", "s@c", "@c", "c@", "@a@b", "\x00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		subscriber, channel, subscribed, ok := ParseStorage(name)
		if !ok {
			return
		}
		if got := Storage(subscriber, channel, subscribed); got != name {
			t.Errorf("Storage of the parsed %q: got %q", name, got)
		}
	})
}

func BenchmarkValidChannel(b *testing.B) {
	name := []byte("orders-of-2024_europe")
	b.ReportAllocs()
	for b.Loop() {
		if !ValidChannel(name) {
			b.Fatal("not valid")
		}
	}
}
