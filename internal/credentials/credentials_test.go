package credentials

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// write makes or replaces a credentials file.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, content string) (s *Store, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "credentials")
	write(t, file, content)
	s, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

func TestReloadReplacesTheWholeTable(t *testing.T) {
	s, file := load(t, "b:"+digits(1)+"\na:"+digits(1)+"\n")
	if got, want := s.Names(), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("loaded: got %v, want %v", got, want)
	}
	write(t, file, "c:"+digits(1)+"\nb:"+digits(2)+"\n")
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Names(), []string{"b", "c"}; !slices.Equal(got, want) {
		t.Errorf("reloaded: got %v, want %v", got, want)
	}
	if _, ok := s.Key([]byte("a")); ok {
		t.Errorf("a is still known, want it gone")
	}
	if key, ok := s.Key([]byte("b")); !ok || key[0] != 2 {
		t.Errorf("b: got %v, %v, want the new key", key, ok)
	}
}

func TestAFailedReloadKeepsTheTable(t *testing.T) {
	for rule, damage := range map[string]func(file string) error{
		"fault behind a good line": func(file string) error {
			return os.WriteFile(file, []byte("c:"+digits(1)+"\nd:\n"), 0o600)
		},
		"file gone":      os.Remove,
		"file too large": func(file string) error { return os.Truncate(file, MaxFile+1) },
		"now a directory": func(file string) error {
			return errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		},
	} {
		s, file := load(t, "a:"+digits(1)+"\n")
		if err := damage(file); err != nil {
			t.Fatal(err)
		}
		if err := s.Reload(); err == nil {
			t.Errorf("%s: got no error", rule)
		}
		if got, want := s.Names(), []string{"a"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", rule, got, want)
		}
	}
}

func TestErrorsNameTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Load(File)
	if got, want := text(err), "open: No such file or directory on etc/credentials"; got != want {
		t.Errorf("missing: got %s, want %s", got, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want it to be %v", err, fs.ErrNotExist)
	}

	write(t, File, "\n\na:\n")
	_, err = Load(File)
	if got, want := text(err), "Invalid key length 0 (should be 256) in registry file etc/credentials at line 3"; got != want {
		t.Errorf("faulty: got %s, want %s", got, want)
	}

	if err := os.Truncate(File, 20_000_000); err != nil {
		t.Fatal(err)
	}
	_, err = Load(File)
	if got, want := text(err), "Key registry file too large: 20000000 bytes"; !strings.HasPrefix(got, want) {
		t.Errorf("too large: got %s, want %s", got, want)
	}

	if err := errors.Join(os.Remove(File), os.Mkdir(File, 0o700)); err != nil {
		t.Fatal(err)
	}
	_, err = Load(File)
	if got, want := text(err), "read: Is a directory on etc/credentials"; got != want {
		t.Errorf("directory: got %s, want %s", got, want)
	}
}

func text(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A file without end tells a size of 0.
func TestAtMostTheAllowedSizeIsRead(t *testing.T) {
	if _, err := Load("/dev/zero"); err == nil || !strings.HasPrefix(err.Error(), "Key registry file too large") {
		t.Errorf("got %v, want it too large", err)
	}
}

// Every reader sees one of the two tables as a whole. The race detector sees the rest.
func TestReadersDuringReloads(t *testing.T) {
	one, two := "a:"+digits(1)+"\nb:"+digits(1)+"\n", "c:"+digits(2)+"\nd:"+digits(2)+"\n"
	s, file := load(t, one)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := strings.Join(s.Names(), ""); got != "ab" && got != "cd" {
					t.Errorf("got names %q, want ab or cd", got)
					return
				}
				s.Key([]byte("a"))
			}
		})
	}
	for i := range 50 {
		write(t, file+".new", []string{two, one}[i%2])
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}

func TestLookingUpAKeyAllocatesNothing(t *testing.T) {
	s, _ := load(t, "client:"+digits(1))
	name := []byte("client")
	if got := testing.AllocsPerRun(100, func() { s.Key(name) }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
