package dmq

import (
	"errors"
	"fmt"
	"os"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/credentials"
)

// KeySize is the size of a key in bytes.
const KeySize = credentials.KeySize

// Credentials are the name and secret by which nodes know a client. The key is not part of
// the text form of this type, so that it does not end up in logs.
type Credentials struct {
	Name string        // 1 to 100 bytes of graphic ASCII, no colon
	Key  [KeySize]byte // the secret
}

// String returns the name.
func (c Credentials) String() string { return c.Name }

// GoString returns the name, so that %#v does not show the key either.
func (c Credentials) GoString() string { return fmt.Sprintf("dmq.Credentials{Name: %q}", c.Name) }

// LoadCredentials reads a file in the format of a node's etc/credentials, with exactly
// one line NAME:KEY, where KEY is 256 hexadecimal digits (neo protocol spec §4.1).
func LoadCredentials(file string) (Credentials, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Credentials{}, fmt.Errorf("reading credentials: %w", err)
	}
	return parseCredentials(file, content)
}

// ParseCredentials decodes "NAME:KEY", where KEY is 256 hexadecimal digits.
func ParseCredentials(text string) (Credentials, error) {
	return parseCredentials("", []byte(text))
}

// parseCredentials decodes a text that names one client. file is its name, if it has one.
func parseCredentials(file string, text []byte) (Credentials, error) {
	where := "credentials"
	if file != "" {
		where = "credentials in " + file
	}
	table, err := credentials.Parse(file, text)
	if err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", where, err)
	}
	names := table.Names()
	if len(names) != 1 {
		return Credentials{}, fmt.Errorf("%s: %d clients, must be one", where, len(names))
	}
	key, _ := table.Key([]byte(names[0]))
	return Credentials{names[0], *key}, nil
}

// Check finds names that no node knows.
func (c Credentials) Check() error {
	if c.Name == "" {
		return errors.New("no credentials given")
	}
	if len(c.Name) > credentials.MaxName {
		return fmt.Errorf("credentials: a name of %d bytes, the maximum is %d", len(c.Name), credentials.MaxName)
	}
	for i := range len(c.Name) {
		if b := c.Name[i]; b < 0x21 || b > 0x7e || b == ':' {
			return fmt.Errorf("credentials: the name %q has a byte that is no graphic ASCII or a colon", c.Name)
		}
	}
	return nil
}
