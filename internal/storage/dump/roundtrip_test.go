package dump

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		payloads := make([]string, random.IntN(2000))
		for i := range payloads {
			limit := 200
			if random.IntN(500) == 0 {
				limit = 2 * bufferSize
			}
			payloads[i] = strings.Repeat(string(rune(random.IntN(128))), random.IntN(limit))
		}
		all := run(payloads...)
		pieces := func(yield func([]byte) bool) { // between records, anywhere
			for rest := all; len(rest) > 0; {
				size, _ := walk(rest, random.IntN(50))
				if !yield(rest[:size:size]) {
					return
				}
				rest = rest[size:]
			}
		}
		dir, path := tempDir(t)
		if err := Write(dir, temporary, uint64(len(payloads)), uint64(len(all)), pieces); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got, _ := os.ReadFile(filepath.Join(path, temporary)); string(got) != string(dumpOf(payloads...)) {
			t.Errorf("seed %d: the file is not as the format says", seed)
		}
		if got, err := readAll(dir, temporary); !slices.Equal(got, payloads) || err != nil {
			t.Errorf("seed %d: got %d records, %v, want the %d that were written", seed, len(got), err, len(payloads))
		}
	}
}
