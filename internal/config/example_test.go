package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// example is the configuration file that operators start from.
const example = "../../etc/config.ini"

func TestExampleFile(t *testing.T) {
	got, _, err := Load(example, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	want := wantMinimal()
	want.Server.Address = "0.0.0.0"
	want.Server.ChannelSizeLimit = 100000000
	want.ChannelSize.Default = 100000000
	want.PidLock.Path = "dmqnode.pid"
	want.Log.Loggers = []Logger{{
		Level: LevelInfo, Propagate: true, File: "log/root.log", HasOutputs: true,
		ConsoleLayout: LayoutSimple, FileLayout: LayoutDate, CollectStats: true,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// commentedKey is a key that is written with its default.
var commentedKey = regexp.MustCompile(`(?m)^#(\w+ =)`)

func TestExampleFileCommentsShowDefaults(t *testing.T) {
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	all := commentedKey.ReplaceAllString(string(content), "$1")
	got, _, err := Load(write(t, all), []string{"ChannelSizeById.orders_=", "QueueBytesById.clicks_="}, false)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := Load(example, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with the comments removed: got %+v\nwant %+v", got, want)
	}
}

// Every key of the node is in the example, every key of the example is one of the node, and each
// has a comment above.
func TestExampleFileIsComplete(t *testing.T) {
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	current, explained := "", false
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		key, _, isKey := strings.Cut(strings.TrimPrefix(line, "#"), " =")
		switch {
		case strings.HasPrefix(line, "["):
			current = strings.Trim(line, "[]")
			documented[current] = nil
		case strings.HasPrefix(line, "# "):
			explained = true
		case isKey && !explained:
			t.Errorf("[%s] %s: no comment above", current, key)
		case isKey:
			documented[current] = append(documented[current], key)
		default:
			explained = false
		}
	}
	known := append(sections(defaults()),
		section{name: rootSection, keys: loggerKeys(&Logger{})},
		section{name: channelSizeSection, keys: []key{{name: "orders_"}}},
		section{name: queueBytesSection, keys: []key{{name: "clicks_"}}})
	for _, s := range known {
		var want []string
		for _, k := range s.keys {
			want = append(want, k.name)
		}
		if s.name == "Stats" { // its other keys have no effect
			want = []string{"console_stats_enabled"}
		}
		got := slices.Clone(documented[s.name])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("[%s]: documented %q, known %q", s.name, got, want)
		}
		delete(documented, s.name)
	}
	for name := range documented {
		t.Errorf("[%s]: documented, but not known", name)
	}
}
