package nodetest

import (
	"os"
	"strings"
	"testing"
	"time"
)

// StatsLine is a line of stats.log.
type StatsLine struct {
	Number int
	Text   string
}

// Want requires an item, KEY:VALUE.
func (l StatsLine) Want(t *testing.T, item string) {
	t.Helper()
	if !strings.Contains(l.Text+" ", " "+item+" ") {
		t.Errorf("no %s in line %d: %s", item, l.Number, l.Text)
	}
}

// WaitStats waits for a line from the number on that has a key with that value.
func WaitStats(t *testing.T, node *Node, from int, item string) StatsLine {
	t.Helper()
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(node.Path("log/stats.log"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i := from; i < len(lines); i++ {
			if strings.Contains(lines[i]+" ", " "+item+" ") {
				return StatsLine{i, lines[i]}
			}
		}
	}
	t.Fatalf("no line of stats.log from line %d on has %s", from, item)
	return StatsLine{}
}
