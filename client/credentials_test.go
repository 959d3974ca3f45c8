package client_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

func TestCredentials(t *testing.T) {
	digits := strings.Repeat("0a", client.KeySize)
	tests := []struct{ text, name, problem string }{
		{"test:" + digits, "test", ""},
		{" test : " + digits + "\r\n", "test", ""},
		{"", "", "0 clients"},
		{"a:" + digits + "\nb:" + digits, "", "2 clients"},
		{"test", "", "key length"},
		{":" + digits, "", "Empty name"},
		{"test:" + digits[1:] + "x", "", "key letter"},
	}
	file := filepath.Join(t.TempDir(), "credentials")
	for _, test := range tests {
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		parsed, parseErr := client.ParseCredentials(test.text)
		loaded, loadErr := client.LoadCredentials(file)
		if parsed.Name != test.name || loaded != parsed {
			t.Errorf("%.20q: got %v and %v, want %q", test.text, parsed, loaded, test.name)
		}
		if test.problem != "" {
			wantText(t, parseErr, test.problem)
			wantText(t, loadErr, test.problem)
			wantText(t, loadErr, file)
		} else if parseErr != nil || loadErr != nil || parsed.Key[0] != 0x0a || parsed.Key[client.KeySize-1] != 0x0a {
			t.Errorf("%.20q: got errors %v and %v, key % x", test.text, parseErr, loadErr, parsed.Key)
		}
	}
	_, err := client.LoadCredentials(file + "-missing")
	wantText(t, err, "no such file")
}

// No way of printing credentials shows the key.
func TestCredentialsHideTheKey(t *testing.T) {
	secret := client.Credentials{Name: "test", Key: [client.KeySize]byte{0xab, 0xab, 0xab}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format+format, secret, &secret); strings.Contains(text, "ab") || strings.Contains(text, "171") || !strings.Contains(text, "test") {
			t.Errorf("%s: got %.80s", format, text)
		}
	}
}
