package config

import (
	"reflect"
	"strings"
	"testing"
)

// The rules of operations spec §2.6.
func TestLoggers(t *testing.T) {
	root := Logger{Console: true, HasOutputs: true, ConsoleLayout: LayoutSimple, FileLayout: LayoutDate, CollectStats: true}
	named := Logger{Name: "x", ConsoleLayout: LayoutSimple, FileLayout: LayoutDate, CollectStats: true}
	change := func(l Logger, set func(l *Logger)) []Logger {
		set(&l)
		return []Logger{l}
	}
	tests := []struct {
		rule, text string
		want       []Logger
	}{
		{"no section, no logger", "", nil},
		{"a section without keys is none", "[LOG.Root]", nil},
		{"Root writes to the console by default", "[LOG.Root]\nlevel = info",
			change(root, func(l *Logger) { l.Level = LevelInfo })},
		{"Root with a file and no console key", "[LOG.Root]\nfile = f",
			change(root, func(l *Logger) { l.File = "f" })},
		{"Root without console", "[LOG.Root]\nconsole = false\nfile = f\npropagate = true",
			change(root, func(l *Logger) { l.Console, l.File, l.Propagate = false, "f", true })},
		{"others inherit outputs", "[LOG.x]\nlevel = warn",
			change(named, func(l *Logger) { l.Level = LevelWarn })},
		{"console key replaces the inherited outputs", "[LOG.x]\nconsole = true",
			change(named, func(l *Logger) { l.Console, l.HasOutputs = true, true })},
		{"even if false", "[LOG.x]\nconsole = false",
			change(named, func(l *Logger) { l.HasOutputs = true })},
		{"file key replaces the inherited outputs", "[LOG.x]\nfile = f",
			change(named, func(l *Logger) { l.File, l.HasOutputs = "f", true })},
		{"syslog key replaces the inherited outputs", "[LOG.x]\nsyslog = true",
			change(named, func(l *Logger) { l.Syslog, l.HasOutputs = true, true })},
		{"an output key without a value is absent", "[LOG.x]\nlevel = info\nfile =",
			change(named, func(l *Logger) { l.Level = LevelInfo })},
		{"other keys", "[LOG.x]\nadditive = on\ncollect_stats = off\nbuffer_size = 5",
			change(named, func(l *Logger) { l.Additive, l.CollectStats, l.BufferSize = true, false, 5 })},
		{"Root first, then by name, nothing carries over",
			"[LOG.b]\nlevel = error\n[LOG.a.b]\nlevel = info\nadditive = true\n[LOG.A]\nfile_layout = simple\n[LOG.ROOT]\nlevel = fatal\n[LOG.a]\nlevel = none\ncollect_stats = false",
			[]Logger{
				change(root, func(l *Logger) { l.Level = LevelFatal })[0],
				change(named, func(l *Logger) { l.Name, l.FileLayout = "A", LayoutSimple })[0],
				change(named, func(l *Logger) { l.Name, l.Level, l.CollectStats = "a", LevelNone, false })[0],
				change(named, func(l *Logger) { l.Name, l.Level, l.Additive = "a.b", LevelInfo, true })[0],
				change(named, func(l *Logger) { l.Name, l.Level = "b", LevelError })[0],
			}},
		{"a layout that no output uses may have any name", "[LOG.x]\nconsole_layout = a\nfile_layout = b\nlevel = info",
			change(named, func(l *Logger) { l.Level = LevelInfo })},
		{"names are not split", "[LOG.data/overflow.dat]\nlevel = info",
			change(named, func(l *Logger) { l.Name, l.Level = "data/overflow.dat", LevelInfo })},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			c, _, err := Load(write(t, minimal+test.text), nil, false)
			if err != nil || !reflect.DeepEqual(c.Log.Loggers, test.want) {
				t.Errorf("%q: got %+v, error %v\nwant %+v", test.text, c, err, test.want)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	tests := map[Level][]string{
		LevelTrace: {"trace", "debug", "Trace", "DEBUG"},
		LevelInfo:  {"info", "INFO"},
		LevelWarn:  {"warn", "Warn"},
		LevelError: {"error", "eRRor"},
		LevelFatal: {"fatal", "Fatal"},
		LevelNone:  {"none", "off", "disabled", "None", "OFF", "Disabled"},
	}
	for want, names := range tests {
		for _, name := range names {
			c, _, err := Load(write(t, minimal+"[LOG.Root]\nlevel = "+name), nil, false)
			if err != nil || c.Log.Loggers[0].Level != want {
				t.Errorf("%s: got %+v, error %v, want %v", name, c, err, want)
			}
		}
	}
}

func TestLayouts(t *testing.T) {
	tests := map[Layout][]string{
		LayoutDate:        {"date", "DATE", "LayoutDate", "datelayout", "layoutdatelayout"},
		LayoutSimple:      {"simple", "Simple", "LayoutSimple"},
		LayoutMessageOnly: {"messageonly", "MessageOnly", "LayoutMessageOnly"},
		LayoutStats:       {"stats", "statslog", "LayoutStatsLog", "Stats"},
	}
	for want, names := range tests {
		for _, name := range names {
			c, _, err := Load(write(t, minimal+"[LOG.Root]\nfile_layout = "+name+"\nconsole_layout = "+name), nil, false)
			if err != nil || c.Log.Loggers[0].FileLayout != want || c.Log.Loggers[0].ConsoleLayout != want {
				t.Errorf("%s: got %+v, error %v, want %v", name, c, err, want)
			}
		}
	}
}

func TestRejectedLoggers(t *testing.T) {
	tests := []struct{ text, want string }{
		{"[LOG.Root]\nlevel = loud", "Invalid log level 'loud' requested for logger ''"},
		{"[LOG.x.y]\nlevel = warning", "Invalid log level 'warning' requested for logger 'x.y'"},
		{"[LOG.x]\nfile_layout = xml\nfile = f", "Invalid layout requested : xml"},
		{"[LOG.x]\nconsole = true\nconsole_layout = layout",
			"Invalid layout requested : layout"},
		{"[LOG.Root]\nconsole_layout = layout", "Invalid layout requested : layout"},
		{"[LOG.x]\nconsole = maybe", "Critical Error: Configuration key 'LOG.x:console' appears not to be of type 'bool'"},
		{"[LOG.x]\nbuffer_size = big", "Critical Error: Configuration key 'LOG.x:buffer_size' appears not to be of type 'ulong'"},
		{"[LOG.]\nlevel = info", "Invalid section [LOG.]"},
	}
	for _, test := range tests {
		_, _, err := Load(write(t, minimal+test.text), nil, false)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got error %v, want %s…", test.text, err, test.want)
		}
	}
}
