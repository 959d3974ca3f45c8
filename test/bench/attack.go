package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attack is traffic of peers that want more than their share, from a process of its own. What it
// does to a well-behaved client is measured on the node; the other figure of its row is what the
// same traffic does beside: it goes to a sink in the process that it comes from, while the client
// asks the ceiling.
type attack struct {
	name        string
	about       string
	connections int
	silent      int // connections that only send this hello, and read nothing
	hello       func() []byte
	shot        func() []byte // what the others send, again and again
	reply       int           // bytes that come back for it
	reconnect   bool          // each shot has a connection of its own
	elsewhere   bool          // the node is one of its own
	settings    []string      // of that node
}

// attackChannel is where attacks store; it is removed when they are over.
const attackChannel = "bench-attack"

var attacks = []attack{
	{name: "attack-swallow", about: "Arrays of 2^63 bytes announced, 1.3 MB sent, closed, 1 connection",
		connections: 1, shot: swallowShot, reconnect: true},
	{name: "attack-names", about: "Names without end, 100 connections",
		connections: 100, shot: namesShot, reconnect: true},
	{name: "attack-unfinished", about: "Pushes of 10 MB without the last byte, 50 connections",
		connections: 50, shot: unfinishedShot, reply: 1},
	{name: "attack-requests", about: "64 Ki requests pipelined, 8 connections",
		connections: 8, shot: requestsShot, reply: statusLen * pipelined},
	{name: "attack-large", about: "Push and Pop of 10 MB, 4 connections",
		connections: 4, shot: largeShot, reply: 2*statusLen + lengthLen + largeSize},
	{name: "attack-unread", about: "50 consumers that do not read, and 2 producers",
		connections: 52, hello: consumeHello, silent: 50, shot: unreadShot, reply: unread * statusLen},
	{name: "attack-spill", about: "50 consumers that do not read, and 2 producers into spill files",
		connections: 52, hello: consumeHello, silent: 50, shot: unreadShot, reply: unread * statusLen,
		elsewhere: true, settings: []string{"Server.channel_size_limit=1000000"}},
	{name: "attack-multi", about: "PushMulti of 8 KB to one channel 4096 times, 1 connection",
		connections: 1, shot: multiShot, reply: 2 * statusLen},
	{name: "attack-same", about: "PushMulti of 4 KB to one channel 65,536 times, 1 connection",
		connections: 1, shot: sameShot, reply: 2 * statusLen, elsewhere: true},
	{name: "attack-same-stream", about: "ProduceMulti of 4 KB to one channel 65,536 times, 1 connection",
		connections: 1, shot: sameStreamShot, reply: 2 * statusLen, elsewhere: true},
	{name: "attack-new", about: "PushMulti to 4000 new channels, then removed, 1 connection",
		connections: 1, shot: newShot, reply: (1 + created) * statusLen, elsewhere: true},
	{name: "attack-too-many", about: "PushMulti to 65,536 new channels, more than there may be, 1 connection",
		connections: 1, shot: tooManyShot, reply: 1, reconnect: true, elsewhere: true},
	{name: "attack-churn", about: "Channels made and removed, 1 connection",
		connections: 1, shot: churnShot, reply: 2 * churns * statusLen},
}

const (
	codePop           = 2
	codePushMulti     = 9
	codeProduceMulti  = 11
	codeRemoveChannel = 12

	pipelined = 64 << 10
	largeSize = 10_000_000
	copies    = 4096
	unread    = 16
	churns    = 8
	created   = 4000
	listed    = 65_536 // about as many names as a request can have
)

func request(code uint32, arrays ...[]byte) []byte {
	b := appendCode(nil, code)
	for _, array := range arrays {
		b = appendArray(b, array)
	}
	return b
}

func swallowShot() []byte {
	announced := []byte{7: 0x80} // 2^63, little-endian
	return slices.Concat(appendCode(nil, codePush), announced, make([]byte, 1_300_000))
}

func namesShot() []byte {
	return append(appendCode(nil, codePushMulti), bytes.Repeat(appendArray(nil, []byte("n")), 60_000)...)
}

func requestsShot() []byte {
	return bytes.Repeat(appendCode(nil, codeGetNumConnections), pipelined)
}

func largeShot() []byte {
	push := request(codePush, []byte(attackChannel), make([]byte, largeSize))
	return append(push, request(codePop, []byte(attackChannel))...)
}

func unfinishedShot() []byte {
	push := request(codePush, []byte(attackChannel), make([]byte, largeSize))
	return push[:len(push)-1]
}

func consumeHello() []byte { return request(codeConsume, []byte(attackChannel)) }

func unreadShot() []byte {
	return bytes.Repeat(request(codePush, []byte(attackChannel), make([]byte, 1000)), unread)
}

func multiShot() []byte {
	names := bytes.Repeat(appendArray(nil, []byte(attackChannel)), copies)
	return append(multi(codePushMulti, names, make([]byte, 8192)), request(codeRemoveChannel, []byte(attackChannel))...)
}

// multi is a PushMulti, or the beginning of a ProduceMulti, with these names in arrays of theirs.
func multi(code uint32, names, record []byte) []byte {
	return slices.Concat(appendCode(nil, code), names, appendArray(nil, nil), appendArray(nil, record))
}

// sameNames is one name that is short enough to be listed so often.
func sameNames() []byte { return bytes.Repeat(appendArray(nil, []byte("m")), listed) }

func sameShot() []byte {
	return append(multi(codePushMulti, sameNames(), make([]byte, 4000)), request(codeRemoveChannel, []byte("m"))...)
}

func sameStreamShot() []byte {
	stream := appendArray(multi(codeProduceMulti, sameNames(), make([]byte, 4000)), nil)
	return append(stream, request(codeRemoveChannel, []byte("m"))...)
}

func newNames(count int) (names []byte) {
	for i := range count {
		names = appendArray(names, newName(i))
	}
	return names
}

func newName(i int) []byte { return fmt.Appendf(nil, "n%05d", i) }

func newShot() []byte {
	shot := multi(codePushMulti, newNames(created), []byte("value"))
	for i := range created {
		shot = append(shot, request(codeRemoveChannel, newName(i))...)
	}
	return shot
}

func tooManyShot() []byte { return multi(codePushMulti, newNames(listed), []byte("value")) }

func churnShot() (shot []byte) {
	for range churns {
		shot = append(shot, request(codePush, []byte(attackChannel), []byte("value"))...)
		shot = append(shot, request(codeRemoveChannel, []byte(attackChannel))...)
	}
	return shot
}

func attackWorkloads() (list []workload) {
	for _, a := range attacks {
		list = append(list, workload{a.name, "Push beside: " + a.about, attackGoals, func(s *session) ([]float64, error) {
			if a.elsewhere && !s.target.isCeiling {
				return s.elsewhere(s.load.size, func(other *session) ([]float64, error) { return other.underAttack(a) }, a.settings...)
			}
			return s.underAttack(a)
		}})
	}
	return list
}

// attackGoals are how much later than beside the node's ceiling a push may be done: half of all
// take at most twice as long, and those that take longest at most 5 ms more.
var attackGoals = []metric{{name: "p50", unit: microseconds, goal: 2}, {name: "p99", unit: microseconds, above: 5000}}

// underAttack measures pushes of a well-behaved client, one at a time.
func (s *session) underAttack(a attack) ([]float64, error) {
	client, err := dial(s.target.legacy)
	if err != nil {
		return nil, err
	}
	defer client.close()
	port := 0 // the sink's
	if !s.target.isCeiling {
		port = s.target.legacy.(*unix.SockaddrInet4).Port
	}
	attackers, err := startAttack(a.name, port)
	if err != nil {
		return nil, err
	}
	pushed := int64(0)
	values, err := s.latencies(func() (time.Duration, error) {
		start := time.Now()
		pushed++
		err := client.request(s.load.push, statusOk)
		return time.Since(start), err
	})
	attackers.Process.Kill()
	attackers.Wait() // it was killed
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	if !s.target.isCeiling {
		if err := client.request(request(codeRemoveChannel, []byte(attackChannel)), statusOk); err != nil {
			return nil, err
		}
	}
	return values, s.drain(pushed, unmeasured)
}

// startAttack runs this program again as the attackers of that port, or of a sink of their own if
// it is 0, and waits until they have begun.
func startAttack(name string, port int) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	command := exec.Command(program, "--attack="+name, fmt.Sprintf("--port=%d", port))
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		command.Process.Kill()
		return nil, errors.Join(fmt.Errorf("attack: %w", err), command.Wait())
	}
	return command, nil
}

// runAttack is the process of the attackers. It ends when it is killed.
func runAttack(name string, port int) error {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
	if i < 0 {
		return fmt.Errorf("there is no attack %q", name)
	}
	a := attacks[i]
	shot := a.shot()
	if port == 0 {
		sink, err := startSink(len(shot), a.reply)
		if err != nil {
			return err
		}
		port = sink.Addr().(*net.TCPAddr).Port
	}
	// As far as possible they cost the machine no more than if they came from another one.
	runtime.GOMAXPROCS(1)
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19); err != nil {
		return fmt.Errorf("nice: %w", err)
	}
	var running sync.WaitGroup
	for i := range a.connections {
		running.Go(func() { a.run(fmt.Sprintf("127.0.0.1:%d", port), shot, i < a.silent) })
	}
	fmt.Println("attacking")
	running.Wait()
	return nil
}

// run attacks as long as the target lets it connect. Whatever else the target does is fine.
func (a attack) run(address string, shot []byte, silent bool) {
	for {
		c, err := net.Dial("tcp4", address)
		if err != nil {
			return
		}
		if silent {
			c.Write(a.hello()) // if that fails, it is one less
			select {}
		}
		for first := true; err == nil && (first || !a.reconnect); first = false {
			err = a.shoot(c, shot)
		}
		c.Close()
	}
}

// shoot sends a shot and receives what comes back, which may be before all is sent.
func (a attack) shoot(c net.Conn, shot []byte) error {
	if a.reply == 0 {
		_, err := c.Write(shot)
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(shot)
		sent <- err
	}()
	_, err := io.CopyN(struct{ io.Writer }{io.Discard}, c, int64(a.reply))
	if err != nil {
		c.Close()
	}
	return errors.Join(err, <-sent)
}

// startSink listens and answers every shot with zeros.
func startSink(shot, reply int) (net.Listener, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer, buffer := make([]byte, reply), make([]byte, 256<<10)
				for {
					if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(c, int64(shot))}, buffer); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
					if reply == 0 {
						io.Copy(io.Discard, c)
						return
					}
				}
			}()
		}
	}()
	return listener, nil
}
