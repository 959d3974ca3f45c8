package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// sendBuffer is how many bytes the kernel may hold for a node. Were it to hold all of a large
// record, nothing would be seen of its way over a slow link, which looks like a node that
// hangs. At this size a link of 30 kB/s is fast enough for DefaultRequestTimeout.
const sendBuffer = 256 << 10

// suspicion is how long a node may be silent before it is found out whether it speaks the
// legacy protocol: then it waits for more, and would do so for ever.
const suspicion = time.Second

// dial connects to the node and authenticates. Nothing behind the node's verdict is read.
func (l *link) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	nc, err := l.Dial(ctx, func(nc net.Conn) error {
		if !l.speaksNeo.Load() {
			suspect := time.AfterFunc(suspicion, func() {
				if l.speaksLegacy(ctx) {
					cancel(fmt.Errorf("%w: this is the legacy port, the client speaks neo", ErrWrongPort))
				}
			})
			defer suspect.Stop()
		}
		return l.handshake(nc)
	})
	if err != nil {
		return nil, err
	}
	if b, ok := nc.(interface{ SetWriteBuffer(int) error }); ok {
		b.SetWriteBuffer(sendBuffer) // without it, only the judgement of slow links is worse
	}
	return nc, nil
}

// speaksLegacy asks the node for its number of connections, which a legacy node answers with a
// status and nothing else with four bytes.
func (l *link) speaksLegacy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, suspicion)
	defer cancel()
	nc, err := l.Dial(ctx, func(nc net.Conn) error {
		if _, err := nc.Write(legacy.AppendCommand(nil, legacy.GetNumConnections)); err != nil {
			return err
		}
		status := make([]byte, legacy.CodeSize)
		if _, err := io.ReadFull(nc, status); err != nil {
			return err
		}
		if code := binary.LittleEndian.Uint32(status); code < 200 || code > 599 {
			return fmt.Errorf("no status: %d", code)
		}
		return nil
	})
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// handshake is the client's side of neo protocol spec §3. It is strictly half-duplex, and D
// nodes rely on that.
func (l *link) handshake(nc net.Conn) error {
	if _, err := nc.Write([]byte{wire.Version}); err != nil {
		return err
	}
	version := make([]byte, 1)
	if err := receive(nc, version, "protocol version"); err != nil {
		return err
	}
	l.speaksNeo.Store(true)
	if version[0] != wire.Version {
		return fmt.Errorf("the node has protocol version %d, the client %d", version[0], wire.Version)
	}
	now := uint64(time.Now().Unix())
	if _, err := nc.Write(wire.AppendTimestamp(nil, now)); err != nil {
		return err
	}
	frame := make([]byte, wire.NonceFrameSize)
	if err := receive(nc, frame, "nonce"); err != nil {
		return err
	}
	nonce, err := wire.ParseNonce(frame)
	if err != nil {
		return err
	}
	credentials := &l.client.cluster.Options.Credentials
	code := wire.AuthenticationCode(&credentials.Key, now, nonce)
	if _, err := nc.Write(wire.AppendCredentials(nil, credentials.Name, code)); err != nil {
		return err
	}
	frame = make([]byte, wire.VerdictFrameSize)
	if err := receive(nc, frame, "verdict"); err != nil {
		return err
	}
	accepted, err := wire.ParseVerdict(frame)
	if err == nil && !accepted {
		err = ErrRejected
	}
	return err
}

// receive fills b. what names it in the error.
func receive(nc net.Conn, b []byte, what string) error {
	if _, err := io.ReadFull(nc, b); err != nil {
		return fmt.Errorf("waiting for the node's %s: %w", what, core.InWords(err))
	}
	return nil
}
