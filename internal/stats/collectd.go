package stats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// Collectd sends the figures of stats.log to a collectd daemon over its UNIX socket, in the
// plain text protocol (operations spec §8.7): a command for each group of a line, with the
// values in the order of the keys.
//
//	PUTVAL HOST/dmqnode/channel-orders interval="30" 1763949600:3032:30
//	0 Success: 1 value has been dispatched
//
// It belongs to one goroutine.
type Collectd struct {
	config   config.Stats
	patience time.Duration // for everything that a line says
	conn     net.Conn      // nil while there is none; the next line connects again
	in       *bufio.Reader
}

// collectdPatience is how long the daemon may take, and a stop of the node wait for it.
const collectdPatience = time.Second

// ConnectCollectd connects to the socket of [STATS] socket_path. Without one it returns nil.
func ConnectCollectd(c config.Stats) (*Collectd, error) {
	if c.SocketPath == "" {
		return nil, nil
	}
	if c.Hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("[STATS] hostname is not set, and the name of the system is not known: %w", err)
		}
		c.Hostname = name
	}
	d := &Collectd{config: c, patience: collectdPatience}
	if err := d.connect(); err != nil {
		return nil, fmt.Errorf("[STATS] socket_path: %w (without collectd, remove the key)", err)
	}
	return d, nil
}

func (d *Collectd) connect() (err error) {
	if d.conn, err = net.DialTimeout("unix", d.config.SocketPath, d.patience); err != nil {
		d.conn = nil // not a nil pointer in an interface
		return fmt.Errorf("collectd: %w", err)
	}
	d.in = bufio.NewReader(d.conn)
	return nil
}

// Close ends the connection.
func (d *Collectd) Close() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}

// send sends a line. It returns the first thing that went wrong; what the daemon refuses
// does not keep the other groups from it.
func (d *Collectd) send(at time.Time, l *line) error {
	if d.conn == nil {
		if err := d.connect(); err != nil {
			return err
		}
	}
	d.conn.SetDeadline(time.Now().Add(d.patience))
	var refused error
	var command []byte
	for i, g := range l.groups {
		end := len(l.text)
		if i+1 < len(l.groups) {
			end = l.groups[i+1].start
		}
		command = d.appendCommand(command[:0], at, g, l.text[g.start:end])
		err := d.exchange(command)
		var no *refusal
		switch {
		case errors.As(err, &no):
			if refused == nil {
				refused = err
			}
		case err != nil:
			d.Close() // a reply may be on its way
			return fmt.Errorf("collectd: %w", err)
		}
	}
	return refused
}

// appendCommand appends the command for a group, whose items are NAME:VALUE.
func (d *Collectd) appendCommand(dst []byte, at time.Time, g group, items []byte) []byte {
	kind := g.category
	if kind == "" {
		kind = d.config.DefaultType
	}
	dst = fmt.Appendf(dst, `PUTVAL %s/%s/%s interval="%d" %d`, d.config.Hostname,
		withInstance(d.config.AppName, d.config.AppInstance), withInstance(kind, g.instance),
		d.config.Interval/time.Second, at.Unix())
	for item := range bytes.FieldsSeq(items) {
		value := item[bytes.LastIndexByte(item, ':')+1:]
		if bytes.HasSuffix(value, []byte("nan")) {
			value = []byte("U") // undefined, in the words of the protocol
		}
		dst = append(append(dst, ':'), value...)
	}
	return append(dst, '\n')
}

func withInstance(name, instance string) string {
	if instance == "" {
		return name
	}
	return name + "-" + instance
}

// refusal is the daemon's reply to a command that it does not carry out.
type refusal struct{ command, reply string }

func (r *refusal) Error() string {
	return fmt.Sprintf("collectd answers %q to %q", r.reply, r.command)
}

func (d *Collectd) exchange(command []byte) error {
	if _, err := d.conn.Write(command); err != nil {
		return err
	}
	reply, err := d.in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(reply, "0 Success: ") {
		return &refusal{strings.TrimSpace(string(command)), strings.TrimSpace(reply)}
	}
	return nil
}
