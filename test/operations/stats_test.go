package operations

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// 30 records of 100 bytes in a channel with a ring of 500.
func TestCheck09Stats(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "500"), nodetest.Set("STATS.interval", "2"))
	c := clients.Legacy(t, node)
	c.MustProduce("orders")
	records := make([]string, 30)
	for i := range records {
		records[i] = strings.Repeat("x", 100)
	}
	c.MustSend(legacyclient.Records(records...)) // in one piece, so that one line tells of all
	with := nodetest.WaitStats(t, node, 0, "action/pushed/records:30")
	for _, want := range []string{
		"total_bytes:3032", "total_records:30", "channel/orders/bytes:3032", "channel/orders/records:30",
		"channel/orders/bytes_memory:432", "channel/orders/records_memory:4", "channel/orders/bytes_overflow:2600",
		"channel/orders/records_overflow:26", "channel/orders/percent_memory:86",
		"handling_connections:1", "handling_neo_connections:0", "request/Produce/max_active:1", "action/pushed/bytes:3000",
	} {
		with.Want(t, want)
	}
	after := nodetest.WaitStats(t, node, with.Number+1, "action/pushed/records:0")
	for _, want := range []string{
		"request/Produce/handled:0", "request/Produce/max_active:1", "request/Push/mean_handled_time_micros:-nan",
		"channel/orders/records:30", "action/pushed/bytes:0", "logged_info:1", // the line before
	} {
		after.Want(t, want)
	}
	nodetest.Eventually(t, "two lines, each at the start of an even second, two seconds apart", func() bool {
		var before time.Time
		for line := range strings.Lines(readFile(t, node, "log/stats.log")) {
			at, err := time.ParseInLocation("2006-01-02 15:04:05,000", line[:min(23, len(line))], time.Local)
			if err != nil {
				t.Fatalf("a line begins without a time: %.60s", line)
			}
			second := at.Truncate(time.Second)
			if at.Second()%2 == 0 && at.Sub(second) < 100*time.Millisecond && second.Sub(before) == 2*time.Second {
				return true
			}
			before = second
		}
		return false
	})
}

// The limit is that of each listener.
func TestCheck10ConnectionLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "2"), nodetest.Set("Limits.peer_connections", "0"), nodetest.Set("STATS.interval", "1"))
	clients.Legacy(t, node).Alive()
	clients.Legacy(t, node).Alive()
	clients.Legacy(t, node).WantEOF()
	clients.Neo(t, node).Alive()
	clients.Neo(t, node).Alive()
	line := nodetest.WaitStats(t, node, 0, "handling_neo_connections:2")
	for _, want := range []string{"handling_connections:2", "handling_connections_pcnt:100", "handling_neo_connections_pcnt:100"} {
		line.Want(t, want)
	}
	node.WaitLog(`^Warn \[dmqnode\.main\] - connection closed at once, the connection limit is reached protocol=legacy limit=2`)
}

// A request counts whether it succeeds or not; a stream has no duration, and a Push that waits
// for its own second half takes that long (operations spec §8.3).
func TestStatsOfRequests(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("STATS.interval", "2"))
	slowly := legacyclient.Request(legacyclient.Push, "slow", "value")
	c, d := clients.Legacy(t, node), clients.Legacy(t, node)
	c.MustSend(slowly[:7])
	time.Sleep(110 * time.Millisecond) // what is measured
	c.MustSend(slowly[7:])
	if status, err := c.Status(); status != legacyclient.Ok || err != nil {
		t.Fatalf("got status %d, error %v; want 200", status, err)
	}
	d.MustDo(legacyclient.Request(legacyclient.Pop, "bad name"), legacyclient.BadChannelName)
	d.MustDo(legacyclient.Request(legacyclient.Consume, "bad name"), legacyclient.BadChannelName)
	d.MustDo(legacyclient.Request(legacyclient.Produce, "bad name"), legacyclient.BadChannelName)
	d.MustConsume("stream")
	n := clients.Neo(t, node)
	n.MustPush(strings.Repeat("x", 5000), "neo")
	n.Close() // before the line: its bytes count nevertheless

	wantSums(t, node, map[string]int{
		"request/Push/handled": 1, "request/Push/handled_over_100_ms": 1, "request/Pop/handled": 1,
		"request/Consume/handled": 1, "request/Consume/handled_10_micros": 0, "request/Produce/handled": 1,
		"request/PushMulti/handled": 0, "neo_request/push/handled": 1,
		"action/pushed/records": 2, "action/pushed/bytes": 5005,
	})
	if got := statsSums(t, node, "bytes_received")["bytes_received"]; got < 5000 {
		t.Errorf("got %d bytes_received in all lines, want more than 5000", got)
	}
	line := nodetest.WaitStats(t, node, 0, "request/Consume/max_active:1")
	line.Want(t, "handling_connections:2")
}

// wantSums waits until the values of keys in all lines add up to sums.
func wantSums(t *testing.T, node *nodetest.Node, want map[string]int) {
	t.Helper()
	keys := slices.Collect(maps.Keys(want))
	nodetest.Eventually(t, fmt.Sprint("the sums ", want), func() bool { return maps.Equal(statsSums(t, node, keys...), want) })
}

// statsSums adds up the values of keys in all lines.
func statsSums(t *testing.T, node *nodetest.Node, keys ...string) map[string]int {
	t.Helper()
	sums := map[string]int{}
	for _, item := range strings.Fields(readFile(t, node, "log/stats.log")) {
		key, value, _ := strings.Cut(item, ":")
		if slices.Contains(keys, key) {
			n, _ := strconv.Atoi(value)
			sums[key] += n
		}
	}
	return sums
}

// With [STATS] socket_path, collectd gets what a line says (operations spec §8.7).
func TestStatsForCollectd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "collectd.sock")
	options := []nodetest.Option{
		nodetest.Set("STATS.interval", "1"), nodetest.Set("STATS.socket_path", path),
		nodetest.Set("STATS.hostname", "host"), nodetest.Set("STATS.app_instance", "7"),
	}
	node := nodetest.Prepare(t, options...)
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("without collectd: got exit status %d, want 1", status)
	}
	if text := node.Console(); !strings.Contains(text, "[STATS] socket_path: collectd: dial unix "+path) {
		t.Errorf("without collectd: got\n%s\nwant the key and the path", text)
	}

	daemon, err := net.Listen("unix", path)
	nodetest.Must(t, err)
	defer daemon.Close()
	node.Restart()
	conn, err := daemon.Accept()
	nodetest.Must(t, err)
	defer conn.Close()
	clients.PushTo(t, node, "orders", "record")
	conn.SetDeadline(time.Now().Add(nodetest.Patience))
	for in := bufio.NewScanner(conn); ; {
		if !in.Scan() {
			t.Fatalf("no command about the channel: %v", in.Err())
		}
		if regexp.MustCompile(`^PUTVAL host/dmqnode-7/channel-orders interval="1" \d+:14:0:1:0:0$`).MatchString(in.Text()) {
			break
		}
		if !strings.HasPrefix(in.Text(), "PUTVAL host/dmqnode-7/") {
			t.Errorf("got the command %q", in.Text())
		}
		io.WriteString(conn, "0 Success: 1 value has been dispatched\n")
	}
	conn.Close() // in the middle of a line
	node.WaitLog(`^Error \[ocean\.util\.log\.Stats\.StatsLog\] - sending to collectd failed .*`)
	conn, err = daemon.Accept()
	nodetest.Must(t, err)
	conn.Close()
}
