package power

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

var cuts = flag.Int("cuts", 1, "how often the power fails")

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// disk is a file system of its own in a loop device.
type disk struct {
	t      *testing.T
	device string
	path   string
}

// newDisk makes one. Without what it takes, the test is skipped.
func newDisk(t *testing.T, path string) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 96<<20); err != nil {
		t.Fatal(err)
	}
	try := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Skipf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	try("unshare", "--mount", "true")
	try("mkfs.ext4", "-q", image)
	d := &disk{t: t, device: try("losetup", "--find", "--show", image), path: path}
	t.Cleanup(func() {
		unix.Unmount(path, unix.MNT_DETACH)
		exec.Command("losetup", "--detach", d.device).Run()
	})
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		t.Skipf("mount %s: %v", d.device, err)
	}
	return d
}

func (d *disk) mount() error { return unix.Mount(d.device, d.path, "ext4", 0, "") }

// cut writes nothing any more to the device, from one instant on.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutdown, withoutLog = 0x8004587d, uint32(2) // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	how := withoutLog
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Skipf("the file system can't be cut off: %v", errno)
	}
}

// again mounts what is on the device.
func (d *disk) again() {
	d.t.Helper()
	if err := unix.Unmount(d.path, 0); err != nil {
		d.t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// channel is one that a producer pushes to, and perhaps a reader pops from.
type channel struct {
	name         string
	mu           sync.Mutex
	sent         int          // records that may be there
	acknowledged int          // answered, the first so many
	refused      map[int]bool // of these
	popped       map[int]bool // arrived at the reader
}

// record is the one of that number. Its size and its bytes follow from the number.
func (c *channel) record(number int) []byte {
	rng := rand.New(rand.NewPCG(uint64(number), uint64(c.name[1])))
	b := binary.LittleEndian.AppendUint64(nil, uint64(number))
	for range rng.IntN(300) {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b
}

// number is that of a record which is whole.
func (c *channel) number(record []byte) (number int, err error) {
	if len(record) >= 8 {
		number = int(binary.LittleEndian.Uint64(record))
	}
	if number >= c.sent || !slices.Equal(record, c.record(number)) {
		return 0, fmt.Errorf("channel %s: a record of %d bytes that nobody has pushed", c.name, len(record))
	}
	return number, nil
}

// produce pushes until the connection ends.
func (c *channel) produce(address string) {
	conn, err := legacyclient.Dial(address)
	for err == nil {
		c.mu.Lock()
		number := c.sent
		c.sent++
		c.mu.Unlock()
		var status legacyclient.Status
		if status, err = conn.Do(legacyclient.Request(legacyclient.Push, c.name, string(c.record(number)))); err == nil {
			c.mu.Lock()
			c.acknowledged = number + 1
			c.refused[number] = status != legacyclient.Ok
			c.mu.Unlock()
		}
	}
}

// pop takes one record. There is none if it is empty.
func (c *channel) pop(conn *legacyclient.Conn) ([]byte, error) {
	status, err := conn.Do(legacyclient.Request(legacyclient.Pop, c.name))
	if err != nil {
		return nil, err
	}
	if status != legacyclient.Ok {
		return nil, fmt.Errorf("pop: status %v", status)
	}
	record, err := conn.Array()
	return []byte(record), err
}

// consume pops until the connection ends.
func (c *channel) consume(address string) {
	conn, err := legacyclient.Dial(address)
	for err == nil {
		var record []byte
		switch record, err = c.pop(conn); {
		case err != nil:
		case len(record) == 0:
			time.Sleep(time.Millisecond) // leave the machine to others
		default:
			c.mu.Lock()
			c.popped[int(binary.LittleEndian.Uint64(record))] = true
			c.mu.Unlock()
		}
	}
}

// With acknowledge = synced, no record that was acknowledged is missing after a power failure, none
// is there that nobody has pushed, and they are in order.
func TestAcknowledgedRecordsSurviveAPowerFailure(t *testing.T) {
	node := nodetest.Prepare(t,
		nodetest.Set("Storage.acknowledge", "synced"),
		nodetest.Set("Server.channel_size_limit", "200000"), // so that they spill
		nodetest.Set("EventLoop.count", "2"))
	d := newDisk(t, node.Path("data"))
	total := 0
	for cut := range *cuts {
		boot := func(suffix string) {
			node.Configure(nodetest.Boot(fmt.Sprintf("%d-%s", cut, suffix)))
			node.Restart()
		}
		boot("before")
		var channels []*channel
		var users sync.WaitGroup
		var acknowledged atomic.Int64
		for i := range 4 {
			c := &channel{name: fmt.Sprintf("c%d-%d", i, cut), refused: make(map[int]bool), popped: make(map[int]bool)}
			channels = append(channels, c)
			address := node.Legacy()
			users.Go(func() { c.produce(address) })
			if i%2 == 0 {
				users.Go(func() { c.consume(address) })
			}
		}
		wait(t, channels, 20+rand.IntN(200))
		node.Signal(syscall.SIGSTOP) // or it would end of the first page that it can't read
		for _, c := range channels {
			c.mu.Lock()
		}
		d.cut()
		due := make([]int, len(channels))
		for i, c := range channels {
			due[i] = c.acknowledged
			acknowledged.Add(int64(c.acknowledged))
			c.mu.Unlock()
		}
		node.Kill()
		users.Wait()
		d.again()
		boot("after")
		for i, c := range channels {
			total += c.check(t, node.Legacy(), due[i])
		}
		node.Kill()
		d.again()
	}
	t.Logf("%d power failures, %d records were due", *cuts, total)
}

// With acknowledge = synced, what an operator has done to queues is done after a power failure, too.
func TestAnsweredChangesSurviveAPowerFailure(t *testing.T) {
	node := nodetest.Prepare(t, nodetest.Set("Storage.acknowledge", "synced"))
	d := newDisk(t, node.Path("data"))
	for cut := range *cuts {
		boot := func(suffix string) {
			node.Configure(nodetest.Boot(fmt.Sprintf("%d-%s", cut, suffix)))
			node.Restart()
		}
		queue := func(name string) string { return fmt.Sprint(name, cut) }
		boot("before")
		c, operator := clients.Legacy(t, node), clients.Control(t, node)
		for _, name := range []string{"cleared", "removed", "paused"} {
			c.MustPush(queue(name), "value")
		}
		operator.Do("pause "+queue("paused"), "OK")
		operator.Do("remove-channel "+queue("removed"), "OK")
		operator.Do("clear "+queue("cleared"), `{"records":1,"bytes":5}`, "OK")
		node.Signal(syscall.SIGSTOP)
		d.cut()
		node.Kill()
		d.again()
		boot("after")
		for command, want := range map[string]string{
			"queue-info " + queue("cleared"): `"records":0`,
			"queue-info " + queue("paused"):  `"paused":true`,
			"queue-info " + queue("removed"): "no such queue",
		} {
			if got := clients.Control(t, node).Ask(command); !strings.Contains(got, want) {
				t.Errorf("%s after a power failure: %q, want %q", command, got, want)
			}
		}
		node.Kill()
		d.again()
	}
}

// wait waits until each channel has so many records.
func wait(t *testing.T, channels []*channel, records int) {
	t.Helper()
	for deadline := time.Now().Add(nodetest.Patience); ; time.Sleep(time.Millisecond) {
		least := records
		for _, c := range channels {
			c.mu.Lock()
			least = min(least, c.acknowledged)
			c.mu.Unlock()
		}
		if least == records {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d records were pushed within %v", least, nodetest.Patience)
		}
	}
}

// check pops what there is, and returns how many records had to be.
func (c *channel) check(t *testing.T, address string, acknowledged int) (due int) {
	t.Helper()
	conn, err := legacyclient.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	there, last := make(map[int]bool), -1
	for {
		record, err := c.pop(conn)
		if err != nil {
			t.Fatal(err)
		}
		if len(record) == 0 {
			break
		}
		number, err := c.number(record)
		if err != nil {
			t.Fatal(err)
		}
		if number <= last {
			t.Errorf("channel %s: record %d comes behind %d", c.name, number, last)
		}
		there[number], last = true, number
	}
	missing := 0
	for number := range acknowledged {
		if !c.popped[number] && !c.refused[number] {
			due++
			if !there[number] {
				missing++
			}
		}
	}
	if missing > 0 {
		t.Errorf("channel %s: of %d records that are acknowledged and were not popped, %d are missing", c.name, due, missing)
	}
	if status, err := conn.Do(legacyclient.Request(legacyclient.RemoveChannel, c.name)); err != nil || status != legacyclient.Ok {
		t.Errorf("removing %s: status %v, %v", c.name, status, err) // the disk has no room for those of all power failures
	}
	return due
}
