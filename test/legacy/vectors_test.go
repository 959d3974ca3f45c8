package legacy

import (
	"os"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/vectors"
)

// TestVectors plays every vector of the specification against a node of its own, with
// the clients' input cut in three ways (legacy protocol spec §12, §3.3).
func TestVectors(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../vectors/testdata/legacy.vectors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	all, err := vectors.Parse(file)
	if err != nil {
		t.Fatalf("%s, %v", file.Name(), err)
	}
	ways := []struct {
		name string
		vary func(vectors.Vector) vectors.Vector
	}{
		{"as written", func(v vectors.Vector) vectors.Vector { return v }},
		{"split", vectors.Vector.Split},
		{"joined", vectors.Vector.Joined},
	}
	for _, v := range all {
		t.Run(v.ID+" "+v.Name, func(t *testing.T) {
			t.Parallel()
			if v.Skip != "" {
				t.Skip(v.Skip)
			}
			for _, way := range ways {
				t.Run(way.name, func(t *testing.T) {
					t.Parallel()
					playVector(t, way.vary(v))
				})
			}
		})
	}
}

// playVector plays a vector. What a machine with other work has not done within the usual time of a
// NONE it has to do within a longer one.
func playVector(t *testing.T, v vectors.Vector) {
	err := playVectorOnce(t, v, 250*time.Millisecond)
	if err != nil && v.Waits() {
		t.Logf("%v; again with more time", err)
		err = playVectorOnce(t, v, 4*time.Second)
	}
	if err != nil {
		t.Error(err)
	}
}

func playVectorOnce(t *testing.T, v vectors.Vector, none time.Duration) error {
	options := []nodetest.Option{nodetest.Set("Performance.write_flush_ms", "250")}
	for key, value := range v.Settings {
		options = append(options, nodetest.Set(key, value))
	}
	node := nodetest.Start(t, options...)
	return vectors.Run(v, node.Legacy(), none)
}
