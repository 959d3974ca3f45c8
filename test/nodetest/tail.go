package nodetest

import (
	"io"
	"os"
	"time"
)

// tail reads what is appended to a file from now on, until a process has ended.
type tail struct {
	path   string
	offset int64
	ended  <-chan struct{}
}

func newTail(path string, ended <-chan struct{}) *tail {
	t := &tail{path: path, ended: ended}
	if info, err := os.Stat(path); err == nil {
		t.offset = info.Size()
	}
	return t
}

// Read implements io.Reader.
func (t *tail) Read(b []byte) (int, error) {
	for over := false; ; {
		if n := t.more(b); n > 0 || over {
			t.offset += int64(n)
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		select {
		case <-t.ended:
			over = true
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// more reads what is there; nothing if the file is not there yet.
func (t *tail) more(b []byte) int {
	file, err := os.Open(t.path)
	if err != nil {
		return 0
	}
	defer file.Close()
	n, _ := file.ReadAt(b, t.offset)
	return n
}
