package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// dialNeo connects to a target and authenticates (neo protocol spec §3).
func dialNeo(addr unix.Sockaddr) (conn, error) {
	c, err := dial(addr)
	if err != nil {
		return conn{}, err
	}
	if err := authenticate(c); err != nil {
		c.close()
		return conn{}, fmt.Errorf("authentication: %w", err)
	}
	return c, nil
}

func authenticate(c conn) error {
	if err := c.exchange([]byte{neo.Version}, []byte{neo.Version}); err != nil {
		return err
	}
	now := uint64(time.Now().Unix())
	var reply [neo.NonceFrameSize]byte
	if err := errors.Join(c.write(neo.AppendTimestamp(nil, now)), c.readFull(reply[:])); err != nil {
		return err
	}
	nonce, err := neo.ParseNonce(reply[:])
	if err != nil {
		return err
	}
	code := neo.AuthenticationCode(&clientKey, now, nonce)
	verdict := reply[:neo.VerdictFrameSize]
	if err := errors.Join(c.write(neo.AppendCredentials(nil, clientName, code)), c.readFull(verdict)); err != nil {
		return err
	}
	accepted, err := neo.ParseVerdict(verdict)
	if err == nil && !accepted {
		err = fmt.Errorf("the target does not accept client %q with a key of zeros", clientName)
	}
	return err
}
