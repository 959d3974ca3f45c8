package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/test/nodetest"
)

// Operations spec §14, check 9: 30 records of 100 bytes in a channel with a ring of 500.
func TestStatsLog(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "500"), nodetest.Set("STATS.interval", "1"))
	c := dial(t, node)
	c.produce("orders")
	records := make([]string, 30)
	for i := range records {
		records[i] = strings.Repeat("x", 100)
	}
	c.send(legacyclient.Records(records...)) // in one piece, so that one line tells of all
	with := waitStats(t, node, 0, "action/pushed/records:30")
	for _, want := range []string{
		"total_bytes:3032", "total_records:30", "channel/orders/bytes:3032", "channel/orders/records:30",
		"channel/orders/bytes_memory:432", "channel/orders/records_memory:4", "channel/orders/bytes_overflow:2600",
		"channel/orders/records_overflow:26", "channel/orders/percent_memory:86",
		"handling_connections:1", "handling_neo_connections:0", "request/Produce/max_active:1", "action/pushed/bytes:3000",
	} {
		if !strings.Contains(with.text+" ", " "+want+" ") {
			t.Errorf("no %s in %s", want, with.text)
		}
	}
	after := waitStats(t, node, with.number+1, "action/pushed/records:0")
	for _, want := range []string{"request/Produce/handled:0", "request/Push/mean_handled_time_micros:-nan", "channel/orders/records:30"} {
		if !strings.Contains(after.text+" ", " "+want+" ") {
			t.Errorf("no %s in the next line: %s", want, after.text)
		}
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,0\d\d cpu_user:`).MatchString(after.text) {
		t.Errorf("the line does not begin with the time of a whole second: %.60s", after.text)
	}
}

type statsLine struct {
	number int
	text   string
}

// waitStats waits for a line from the number on that has a key with that value.
func waitStats(t *testing.T, node *nodetest.Node, from int, item string) statsLine {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(node.Path("log/stats.log"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i := from; i < len(lines); i++ {
			if strings.Contains(lines[i]+" ", " "+item+" ") {
				return statsLine{i, lines[i]}
			}
		}
	}
	t.Fatalf("no line of stats.log from line %d on has %s", from, item)
	return statsLine{}
}
