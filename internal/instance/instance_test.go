package instance

import (
	"os"
	"testing"
)

func write(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func TestDataDir(t *testing.T) {
	t.Chdir(t.TempDir())
	check := func(rule, dir, warning, failure string) {
		t.Helper()
		gotWarning, err := CheckDataDir(dir, "version.log", "root.log")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if gotWarning != warning || got != failure {
			t.Errorf("%s: got warning %q, error %q\nwant %q, %q", rule, gotWarning, got, warning, failure)
		}
	}
	check("a first start", "data", "", "")
	write(t, "root.log", "", 0o600)
	check("a log that is empty", "data", "", "")
	write(t, "root.log", "a line\n", 0o600)
	check("records elsewhere", "data", `data directory "data" is new, but a node has run here before (root.log): it had its records elsewhere`, "")

	for _, dir := range []string{"data", "log", "dumps[1]"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	check("there", "data", "", "")
	write(t, "data/overflow.dat", "", 0o600)
	write(t, "dumps[1]/orders.rq", "", 0o600)
	check("records beside it", "data # x",
		`data directory "data # x" is new, but a node has run here before (root.log): it had its records elsewhere, perhaps in "data" or "dumps[1]"`, "")

	if err := os.Symlink("/nowhere/data", "link"); err != nil {
		t.Fatal(err)
	}
	check("a link that leads nowhere", "link", "", "data directory link is a link to /nowhere/data, which does not exist: is it mounted?")
}

func TestSecret(t *testing.T) {
	t.Chdir(t.TempDir())
	for mode, want := range map[os.FileMode]string{
		0o600: "", 0o640: "",
		0o644: "everybody on this machine can read the keys of clients in credentials, mode 0644: chmod o= credentials",
	} {
		write(t, "credentials", "name:key\n", mode)
		if got := CheckSecret("credentials"); got != want {
			t.Errorf("mode %o: got %q, want %q", mode, got, want)
		}
		write(t, "credentials", "", mode)
		if got := CheckSecret("credentials"); got != "" {
			t.Errorf("no keys, mode %o: got %q, want no warning", mode, got)
		}
	}
	if got := CheckSecret("missing"); got != "" {
		t.Errorf("no file: got %q", got)
	}
}
