package logging

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

func TestCountsAreMessagesThatReachedAnOutput(t *testing.T) {
	quiet := config.Logger{Name: "quiet", File: "log/quiet.log", HasOutputs: true}
	noOutput := config.Logger{Name: "none", HasOutputs: true, CollectStats: true}
	full := config.Logger{Name: "full", File: "/dev/full", HasOutputs: true, CollectStats: true}
	twice := config.Logger{Name: "twice", File: "log/twice.log", HasOutputs: true, Additive: true, CollectStats: true}
	tests := []struct {
		rule string
		log  func(*Logs)
		want Counts
	}{
		{"one of each level", func(l *Logs) {
			log := l.Logger("x")
			log.Debug("")
			log.Info("")
			log.Warn("")
			log.Error("")
			log.DPanic("")
		}, Counts{Trace: 1, Info: 1, Warn: 1, Error: 1, Fatal: 1}},
		{"one message, two outputs", func(l *Logs) { l.Logger("twice").Info("") }, Counts{Info: 1}},
		{"collect_stats = false, and below", func(l *Logs) {
			l.Logger("quiet").Info("")
			l.Logger("quiet.child").Info("")
		}, Counts{}},
		{"no output", func(l *Logs) { l.Logger("none").Info("") }, Counts{}},
		{"output failed, only the report of it counts", func(l *Logs) { l.Logger("full").Info("") }, Counts{Error: 1}},
		{"the version line", func(l *Logs) { l.Version("v") }, Counts{Info: 1}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			l := start(t, new(screen), rootFile(config.LevelTrace), full, noOutput, quiet, twice)
			test.log(l)
			if got := l.counted(); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestLevelThatIsOffIsNotCounted(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelError))
	l.Logger("x").Warn("")
	if got := l.counted(); got != (Counts{}) {
		t.Errorf("got %+v, want none", got)
	}
}

// The stats file is a logger named like its path (operations spec §7.3).
func TestStatsLineIsAnInfoMessageOfItsFile(t *testing.T) {
	for _, collect := range []bool{true, false} {
		section := config.Logger{Name: "log/stats.log", CollectStats: collect}
		l := start(t, new(screen), rootFile(config.LevelNone), section)
		stats, err := l.OpenFile("log/stats.log", config.LayoutStats)
		if err != nil {
			t.Fatal(err)
		}
		stats.WriteLine(at, "cpu_user:0.13 channel/orders/bytes:340092")
		expect(t, "stats.log", content(t, "log/stats.log"),
			"2026-11-23 02:01:00,009 cpu_user:0.13 channel/orders/bytes:340092\n")
		expect(t, "root.log", content(t, "log/root.log"), "")
		want := Counts{}
		if collect {
			want.Info = 1
		}
		if got := l.counted(); got != want {
			t.Errorf("collect_stats %v: got %+v, want %+v", collect, got, want)
		}
	}
}
