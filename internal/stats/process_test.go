package stats

import (
	"os"
	"path/filepath"
	"testing"
)

// What a process has used grows, also while its sizes cannot be read.
func TestCPUTimeWithoutSizes(t *testing.T) {
	before, err := readProcess(sizes)
	if err != nil || before.RSS == 0 || before.Virtual < before.RSS || before.Machine < before.RSS {
		t.Fatalf("got %+v, error %v, want all figures", before, err)
	}
	garbage := filepath.Join(t.TempDir(), "statm")
	if err := os.WriteFile(garbage, []byte("7 many"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{garbage, garbage + ".none"} {
		now, err := readProcess(file)
		if err == nil {
			t.Errorf("%s: got no error", file)
		}
		if now.User+now.System < before.User+before.System || now.User+now.System == 0 {
			t.Errorf("%s: got %+v after %+v, want no less CPU time", file, now, before)
		}
		now.User, now.System = 0, 0
		if now != (Process{}) {
			t.Errorf("%s: got sizes %+v, want none", file, now)
		}
	}
}
