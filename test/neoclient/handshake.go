package neoclient

import (
	"crypto/hmac"
	"crypto/sha512"
	"errors"
	"fmt"
	"time"
)

// ErrRejected means that the node has kept to the protocol and not let the client in.
var ErrRejected = errors.New("the node has rejected the client")

// Login is what a client authenticates with.
type Login struct {
	Name string
	Key  [128]byte
	Time uint64 // the client's clock in Unix seconds
}

// Now returns a login with the real clock.
func Now(name string, key [128]byte) Login {
	return Login{name, key, uint64(time.Now().Unix())}
}

// Authenticate goes through the whole handshake (neo protocol spec §3), never sending before it is its turn.
// If it returns nil, requests may follow; if [ErrRejected], the node closes the connection.
func (c *Client) Authenticate(login Login) error {
	nonce, err := c.Introduce(login.Time)
	if err != nil {
		return err
	}
	return c.Answer(login.Name, Code(login.Key, login.Time, nonce))
}

// Introduce does the first half: it exchanges the version bytes, sends the timestamp, and
// returns the nonce.
func (c *Client) Introduce(timestamp uint64) (nonce []byte, err error) {
	if err := c.Write([]byte{1}); err != nil {
		return nil, err
	}
	version, err := c.ReadBytes(1)
	if err != nil {
		return nil, fmt.Errorf("waiting for the version byte: %w", err)
	}
	if version[0] != 1 {
		return nil, fmt.Errorf("the node has protocol version %d, want 1", version[0])
	}
	if err := c.Write(AuthenticationFrame(Number(timestamp))); err != nil {
		return nil, err
	}
	nonce, err = c.readFrame(Authentication)
	if err != nil {
		return nil, fmt.Errorf("waiting for the nonce: %w", err)
	}
	if len(nonce) != 4 {
		return nil, fmt.Errorf("got nonce % x, want 4 bytes", nonce)
	}
	return nonce, nil
}

// Answer does the second half: it sends name and code and waits for the verdict.
func (c *Client) Answer(name string, code []byte) error {
	if err := c.Write(Credentials(name, code)); err != nil {
		return err
	}
	verdict, err := c.readFrame(Authentication)
	if err != nil {
		return fmt.Errorf("waiting for the verdict: %w", err)
	}
	switch string(verdict) {
	case "\x01":
		return nil
	case "\x00":
		return ErrRejected
	}
	return fmt.Errorf("got verdict % x, want 00 or 01", verdict)
}

// Credentials encodes the frame of name and code.
func Credentials(name string, code []byte) []byte {
	return AuthenticationFrame(append(Array(name), code...))
}

// Code computes the HMAC-SHA-512 of timestamp and nonce (neo protocol spec §3.2).
func Code(key [128]byte, timestamp uint64, nonce []byte) []byte {
	mac := hmac.New(sha512.New, key[:])
	mac.Write(Number(timestamp))
	mac.Write(nonce)
	return mac.Sum(nil)
}
