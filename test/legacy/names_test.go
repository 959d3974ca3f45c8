package legacy

import (
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// named are the requests that carry channel names. Each builder makes one whose fixed
// data is otherwise good, with the status that a good name gets on a fresh node.
var named = []struct {
	name    string
	request func(channel string) []byte
	good    legacyclient.Status
}{
	{"Push", func(channel string) []byte { return legacyclient.Request(legacyclient.Push, channel, "value") }, legacyclient.Ok},
	{"Pop", func(channel string) []byte { return legacyclient.Request(legacyclient.Pop, channel) }, legacyclient.Error},
	{"Consume", func(channel string) []byte { return legacyclient.Request(legacyclient.Consume, channel) }, legacyclient.Ok},
	{"PushMulti", func(channel string) []byte {
		return legacyclient.ListRequest(legacyclient.PushMulti, []string{"first", channel, "last"}, "value")
	}, legacyclient.Ok},
	{"Produce", func(channel string) []byte { return legacyclient.Request(legacyclient.Produce, channel) }, legacyclient.Ok},
	{"ProduceMulti", func(channel string) []byte {
		return legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"first", channel, "last"})
	}, legacyclient.Ok},
	{"RemoveChannel", func(channel string) []byte { return legacyclient.Request(legacyclient.RemoveChannel, channel) }, legacyclient.Ok},
}

// A bad name is answered with 409 by every request, and the connection stays usable
// (legacy protocol spec §2.7, §3.1).
func TestBadNamesAreRefused(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	bad := []struct{ why, name string }{
		{"dot", "a.b"}, {"slash", "a/b"}, {"subscriber", "sub@channel"}, {"subscriber without a name", "@channel"},
		{"blank", "a b"}, {"leading blank", " a"}, {"trailing newline", "a\n"}, {"NUL", "a\x00"},
		{"UTF-8", "\xc3\xa4"}, {"byte over 0x7f", "a\xff"}, {"colon", "a:b"}, {"bracket", "a[b"}, {"backquote", "`"},
		{"252 bytes", strings.Repeat("n", 252)}, {"300 bytes", strings.Repeat("n", 300)},
		{"100,000 bytes", strings.Repeat("n", 100_000)}, {"10 MiB", strings.Repeat("n", legacyclient.MaxArray)},
	}
	for _, request := range named {
		c := clients.Legacy(t, node)
		for _, test := range bad {
			c.MustSend(request.request(test.name))
			if got, err := c.Status(); got != legacyclient.BadChannelName {
				t.Fatalf("%s with a bad name (%s): got status %d, error %v; want 409", request.name, test.why, got, err)
			}
			c.Alive()
		}
	}
}

func TestGoodNamesAreAccepted(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	names := []string{
		"a", "-", "_", "0", "CamelCase", "with-dash_and_underscore", "all0123456789",
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", strings.Repeat("n", 251),
	}
	cleaner := clients.Legacy(t, node)
	for _, request := range named {
		for _, name := range names {
			for _, channel := range []string{"first", name, "last"} {
				cleaner.MustRemove(channel)
			}
			c := clients.Legacy(t, node)
			c.MustSend(request.request(name))
			if got, err := c.Status(); got != request.good {
				t.Errorf("%s with name %s: got status %d, error %v; want %d", request.name, clients.Excerpt(name), got, err, request.good)
			}
			c.Close()
		}
	}
}

func TestNamesAreCaseSensitive(t *testing.T) {
	t.Parallel()
	c := clients.Legacy(t, nodetest.Start(t))
	c.MustPush("Name", "upper")
	c.MustPush("name", "lower")
	c.WantPop("name", "lower")
	c.WantPop("Name", "upper")
}

// maxNames and maxNameBytes are the limits of a channel list (legacy protocol spec §2.3).
const (
	maxNames     = 65_536
	maxNameBytes = 16 << 20
)

func TestChannelListWithinLimits(t *testing.T) {
	t.Parallel()
	c := clients.Legacy(t, nodetest.Start(t))
	// With an empty value nothing is stored, so the list may be as long as it likes.
	c.MustDo(legacyclient.ListRequest(legacyclient.PushMulti, repeated("n", maxNames), ""), legacyclient.EmptyValue)
	c.Alive()
	// 16 MB of names, bad ones, because good ones are short.
	c.MustDo(legacyclient.ListRequest(legacyclient.PushMulti, repeated(strings.Repeat("n", 1_000_000), 16), "value"), legacyclient.BadChannelName)
	c.Alive()
}

func TestChannelListBeyondLimitsClosesConnection(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	longName := strings.Repeat("n", 1<<20)
	tests := []struct {
		name  string
		names []string
	}{
		{"one name too many", repeated("n", maxNames+1)},
		{"many names too many", repeated("n", 10*maxNames)},
		{"too many bytes", repeated(longName, maxNameBytes/len(longName)+1)},
	}
	for _, test := range tests {
		for _, command := range []legacyclient.Command{legacyclient.PushMulti, legacyclient.ProduceMulti} {
			c := clients.Legacy(t, node)
			go c.Send(legacyclient.ListRequest(command, test.names, "")) // fails where the node closes
			if _, err := c.End(); err != nil {
				t.Errorf("%s, command %d: %v", test.name, command, err)
			}
		}
	}
	clients.Legacy(t, node).MustDo(legacyclient.Request(legacyclient.Pop, "n"), legacyclient.Error)
}

// A client that never ends its list does not make the node grow.
func TestEndlessChannelListCostsNoMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	before := node.ResetPeakRSS()
	nodetest.Together(t, 4, func(int) error {
		c, err := legacyclient.Dial(node.Legacy())
		if err != nil {
			return err
		}
		defer c.Close()
		names := legacyclient.Records(repeated("name", 10_000)...)
		if err := c.Send(legacyclient.Request(legacyclient.PushMulti)); err != nil {
			return err
		}
		for range 1000 {
			if c.Send(names) != nil {
				return nil // the node has closed, as it has to
			}
		}
		return nil
	})
	nodetest.WantGrowth(t, node, before, 32<<20)
	clients.Legacy(t, node).Alive()
}

func repeated(text string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = text
	}
	return all
}
