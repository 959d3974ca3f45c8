package nodes

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct{ address, want, problem string }{
		{"127.0.0.1:4000", "127.0.0.1:4000", ""},
		{"queue-1.example.org:10001", "queue-1.example.org:10001", ""},
		{"localhost:1", "localhost:1", ""},
		{"[::1]:65535", "[::1]:65535", ""},
		{" a:007\t", "a:7", ""},
		{"127.0.0.1: 4000", "127.0.0.1:4000", ""},
		{"127.0.0.1 :4000", "127.0.0.1:4000", ""},
		{"", "", "want HOST:PORT"},
		{"127.0.0.1", "", "want HOST:PORT"},
		{"::1:4000", "", "want HOST:PORT"},
		{"a:1:2", "", "want HOST:PORT"},
		{":4000", "", "no host"},
		{"a:", "", "no port"},
		{"a:0", "", "from 1 to 65535"},
		{"a:65536", "", "from 1 to 65535"},
		{"a:99999999999999999999", "", "from 1 to 65535"},
		{"a:-1", "", "decimal"},
		{"a:+1", "", "decimal"},
		{"a:0x10", "", "decimal"},
		{"a:http", "", "decimal"},
		{"a b:1", "", "character"},
		{"a,b:1", "", "character"},
		{"a\x00b:1", "", "character"},
		{"//a:1", "", "character"},
		{strings.Repeat("a", maxHost) + ":1", strings.Repeat("a", maxHost) + ":1", ""},
		{strings.Repeat("a", maxHost+1) + ":1", "", "254 bytes"},
	}
	for _, test := range tests {
		got, err := Parse(test.address)
		if got != test.want || !matches(err, test.problem) {
			t.Errorf("Parse(%q): got %q, error %v, want %q, error %q", test.address, got, err, test.want, test.problem)
		}
	}
}

// The rows of legacy protocol spec §11.9 that concern whole files.
func TestParseFile(t *testing.T) {
	tests := []struct {
		content string
		want    []string
		problem string
	}{
		{"", nil, ""},
		{"\n\n  \t\n# nothing\n  # nothing either\r\n", nil, ""},
		{"127.0.0.1:4000", []string{"127.0.0.1:4000"}, ""},
		{"127.0.0.1:4000 # here\r\n\tb:1 \nc:2", []string{"127.0.0.1:4000", "b:1", "c:2"}, ""},
		{"a:1\nb:1\na:01\n", []string{"a:1", "b:1"}, ""},
		{"a:1\n\nb\n", nil, "some.nodes, line 3: node \"b\": want HOST:PORT"},
		{"a:70000\n", nil, "line 1"},
	}
	for _, test := range tests {
		got, err := ParseFile("some.nodes", []byte(test.content))
		if !slices.Equal(got, test.want) || !matches(err, test.problem) {
			t.Errorf("ParseFile(%q): got %q, error %v, want %q, error %q", test.content, got, err, test.want, test.problem)
		}
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b:1\nc:1\n")
	if got, err := Load([]string{"a:1", "b:1", "a:1"}, file); err != nil || !slices.Equal(got, []string{"a:1", "b:1", "c:1"}) {
		t.Errorf("list and file: got %q, error %v", got, err)
	}
	if _, err := Load([]string{"a"}, file); !matches(err, "want HOST:PORT") {
		t.Errorf("bad address in the list: got error %v", err)
	}
	if _, err := Load(nil, file+"-missing"); !matches(err, "no such file") {
		t.Errorf("missing file: got error %v", err)
	}
	if _, err := Load(nil, ""); !matches(err, "no nodes") {
		t.Errorf("nothing given: got error %v", err)
	}
	write("# all gone\n")
	if _, err := Load(nil, file); !matches(err, "no nodes") {
		t.Errorf("file without nodes: got error %v", err)
	}
}

func matches(err error, problem string) bool {
	if problem == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), problem)
}

func TestRotation(t *testing.T) {
	r := NewRotation()
	first := r.Start(3)
	for i := 1; i < 9; i++ {
		if got, want := r.Start(3), (first+i)%3; got != want {
			t.Errorf("request %d: got start %d, want %d", i, got, want)
		}
	}
	if got := r.Start(0); got != 0 {
		t.Errorf("without nodes: got %d, want 0", got)
	}
}

// Not all of 64 rotations begin at the same of 2^20 nodes.
func TestRotationStartsAtRandom(t *testing.T) {
	first := NewRotation().Start(1 << 20)
	for range 64 {
		if NewRotation().Start(1<<20) != first {
			return
		}
	}
	t.Errorf("64 new rotations all start at %d", first)
}

// The delays of neo protocol spec §14.2, in ms, each plus up to a fifth.
func TestBackoff(t *testing.T) {
	schedule := []float64{0, 19.53, 39.06, 78.12, 156.25, 312.5, 625, 1250, 2500, 2500, 2500}
	check := func(name string, b *Backoff, took time.Duration, schedule []float64) {
		t.Helper()
		for i, base := range schedule {
			got := b.Failed(took).Seconds() * 1000
			if got < base-0.01 || got > base*1.2+0.01 || math.IsNaN(got) {
				t.Errorf("%s, failure %d: got a delay of %v ms, want %v to %v", name, i+1, got, base, base*1.2)
			}
		}
	}
	var b Backoff
	check("fast failures", &b, time.Millisecond, schedule)
	b.Succeeded()
	check("after a success", &b, 0, schedule)
	check("an attempt of 100 ms", new(Backoff), 100*time.Millisecond, []float64{0, 156.25, 312.5})
	check("an attempt of a minute", new(Backoff), time.Minute, []float64{0, 2500, 2500})
}
