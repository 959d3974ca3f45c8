package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/credentials"
)

// registry is a set of credentials whose file is what a test says.
type registry struct {
	names   []string
	failure error
	reloads int
}

func (r *registry) Reload() error   { r.reloads++; return r.failure }
func (r *registry) Names() []string { return r.names }

func TestNodeCommands(t *testing.T) {
	const noArguments = "Error: No command arguments expected\n"
	failure := errors.New("open: No such file or directory on etc/credentials")
	for _, test := range []struct {
		rule    string
		input   string
		names   []string
		failure error
		want    string
		reloads int
	}{
		{rule: "update", input: "update-credentials\n", want: "Credentials updated.\n", reloads: 1},
		{rule: "update twice", input: "update-credentials\nupdate-credentials\n", want: "Credentials updated.\nCredentials updated.\n", reloads: 2},
		{rule: "update fails", input: "update-credentials\n", failure: failure,
			want: "Error updating credentials: open: No such file or directory on etc/credentials\n", reloads: 1},
		{rule: "update with argument", input: "update-credentials x\n", want: noArguments},
		{rule: "update with two blanks and an argument", input: "update-credentials  x\n", want: noArguments},
		{rule: "update and blanks", input: "update-credentials  \n", want: "Credentials updated.\n", reloads: 1},
		{rule: "list", input: "list-credentials\n", names: []string{"anna", "test"}, want: "Registered credentials:\nanna\ntest\n"},
		{rule: "list without names", input: "list-credentials\n", want: "Registered credentials:\n"},
		{rule: "list with argument", input: "list-credentials x\n", names: []string{"test"}, want: noArguments},
		{rule: "commands of the other socket", input: "show_version\nreopen_files\n", want: "Command not found\nCommand not found\n"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			r := &registry{names: test.names, failure: test.failure}
			path, s := serve(t, NodeCommands(r))
			if got := exchange(t, path, test.input); got != test.want {
				t.Errorf("%q: got %q, want %q", test.input, got, test.want)
			}
			s.Close() // the commands have ended
			if r.reloads != test.reloads {
				t.Errorf("%q: got %d reloads, want %d", test.input, r.reloads, test.reloads)
			}
		})
	}
}

// TestAcceptanceCheck7 is check 7 of operations spec §14.
func TestAcceptanceCheck7(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	zeros := strings.Repeat("0", 256)
	write("test:" + zeros + "\n")
	store, err := credentials.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := serve(t, NodeCommands(store))
	expect := func(input, want string) {
		t.Helper()
		if got := exchange(t, path, input); got != want {
			t.Errorf("%q: got %q, want %q", input, got, want)
		}
	}
	const list = "Registered credentials:\ntest\n"

	expect("list-credentials\n", list)
	expect("update-credentials x\n", "Error: No command arguments expected\n")
	expect("unknown\n", "Command not found\n")
	expect("list-credentials\nupdate-credentials\n", list+"Credentials updated.\n")

	write("other:" + zeros + "\nbroken:00\n")
	expect("update-credentials\nlist-credentials\n",
		"Error updating credentials: Invalid key length 2 (should be 256) in registry file "+file+" at line 2\n"+list)

	os.Remove(file)
	expect("update-credentials\nlist-credentials\n",
		"Error updating credentials: open: No such file or directory on "+file+"\n"+list)

	write("other:" + zeros + "\ntest:" + zeros + "\n")
	expect("list-credentials\nupdate-credentials\nlist-credentials\n",
		list+"Credentials updated.\nRegistered credentials:\nother\ntest\n")
}
