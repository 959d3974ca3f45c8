package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// outOfMemory is what a Push is answered that can't be stored (legacy protocol spec §2.6).
const outOfMemory legacyclient.Status = 407

// disk is a file system in memory that a test can fill.
type disk struct {
	t    *testing.T
	path string
}

// newDisk makes a file system of that many bytes.
func newDisk(t *testing.T, bytes int) *disk {
	t.Helper()
	return mountMemory(t, "tmpfs", func(fs int) error {
		return unix.FsconfigSetString(fs, "size", fmt.Sprint(bytes))
	})
}

// mountMemory makes a file system that is attached nowhere, but reached through the
// descriptor of this process, and so is gone with it.
func mountMemory(t *testing.T, kind string, configure func(fs int) error) *disk {
	t.Helper()
	fd, err := mount(kind, configure)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skipf("a file system of its own cannot be made: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return &disk{t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)}
}

func mount(kind string, configure func(fs int) error) (fd int, err error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := configure(fs); err != nil {
		return -1, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// dataOn makes the disk the data directory of a node, which may fill it.
func dataOn(d *disk) nodetest.Option {
	return nodetest.All(nodetest.Set("Server.data_dir", d.path), nodetest.Set("Storage.min_free", "0"))
}

// fill takes all but some bytes of the free space.
func (d *disk) fill(but int) {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(d.path, "filler.dat"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(d.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(d.t, err)
	eventually(d.t, "the disk is full", func() bool { // while the node may be making files, too
		free := int64(d.free() - but)
		if free <= 0 {
			return true
		}
		err := unix.Fallocate(int(f.Fd()), 0, info.Size(), free)
		if err != unix.ENOSPC {
			must(d.t, err)
		}
		return err == nil
	})
}

// makeRoom gives back what fill has taken.
func (d *disk) makeRoom() {
	d.t.Helper()
	must(d.t, os.Remove(filepath.Join(d.path, "filler.dat")))
}

func (d *disk) free() int {
	d.t.Helper()
	var s unix.Statfs_t
	must(d.t, unix.Statfs(d.path, &s))
	return int(s.Bfree) * int(s.Bsize)
}

// pushUntilFull pushes numbered records of ever smaller sizes until none is taken any more,
// and returns those that were.
func pushUntilFull(t *testing.T, node *nodetest.Node, channel string) (stored []string) {
	t.Helper()
	c := dial(t, node)
	for _, size := range []int{20_000, 2000, 100, 10} {
		for status := legacyclient.Ok; status == legacyclient.Ok; {
			r := record(len(stored), size)
			var err error
			status, err = c.Do(legacyclient.Request(legacyclient.Push, channel, r))
			c.must(err)
			switch status {
			case legacyclient.Ok:
				stored = append(stored, r)
			case outOfMemory:
			default:
				t.Fatalf("Push on a full disk: got status %d, want 407", status)
			}
		}
	}
	c.must(c.Close())
	return stored
}

// pushAgain pushes a record until it is taken: that there is room again is noticed within about
// a second.
func pushAgain(t *testing.T, node *nodetest.Node, channel, r string) {
	t.Helper()
	c := dial(t, node)
	eventually(t, "a Push succeeds after there is room again", func() bool {
		status, err := c.Do(legacyclient.Request(legacyclient.Push, channel, r))
		c.must(err)
		if status != legacyclient.Ok && status != outOfMemory {
			t.Fatalf("Push: got status %d, want 200 or 407", status)
		}
		return status == legacyclient.Ok
	})
	c.must(c.Close())
}

// errorLines counts the errors in root.log that tell of refused requests.
func errorLines(t *testing.T, node *nodetest.Node) int {
	t.Helper()
	return strings.Count(node.Log(), " Error ")
}

// On a full disk each push is refused in the way that its client understands, the records
// that are there stay readable, the log tells it without a line for each, and when there is
// room again the node goes on as if nothing had been.
func TestFullDiskRefusesPushes(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	subscribeTo(t, node, "subscribed", "a", "b")
	pushTo(t, node, "other", "in the ring")
	began := time.Now()
	stored := pushUntilFull(t, node, "full")
	wantRefused(t, node, "full", 100)
	if lines, most := errorLines(t, node), 2*int(time.Since(began)/time.Second)+4; lines == 0 || lines > most {
		t.Errorf("%d errors in root.log in %v, want 1 to %d", lines, time.Since(began), most)
	}
	node.WaitLog(`^Error .*no space left on device`)

	pushTo(t, node, "other", "also in the ring") // a ring has its space already
	wantPops(t, node, "other", "in the ring", "also in the ring")
	wantFirst(t, node, "full", stored[:10]...)
	stored = stored[10:]
	node.Kill()
	node.Restart() // on the full disk
	wantFirst(t, node, "full", stored[:10]...)
	wantPops(t, node, "full", stored[10:]...) // makes room
	large := strings.Repeat("x", 3_000_000)   // drained files are deleted after the next sync
	pushAgain(t, node, "full", large)
	wantPops(t, node, "full", large)
	produceTo(t, node, "full", 0, 1000)
	produceTo(t, node, "subscribed", 0, 1000)
	wantPops(t, node, "full", numbered(0, 1000, 100)...)
	wantQueue(t, node, "subscribed", "a", numbered(0, 1000, 100)...)
	wantQueue(t, node, "subscribed", "b", numbered(0, 1000, 100)...)
	stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil, "b@subscribed": nil})
}

// wantRefused requires that no request stores a record of 1000 bytes in a channel whose
// ring and disk are full.
func wantRefused(t *testing.T, node *nodetest.Node, channel string, times int) {
	t.Helper()
	value := strings.Repeat("refused ", 125)
	c, neo := dial(t, node), connect(t, node)
	for range times {
		c.do(legacyclient.Request(legacyclient.Push, channel, value), outOfMemory)
		status, err := neo.Push([]byte(value), channel)
		neo.must(err)
		if status != pushError {
			t.Fatalf("neo Push on a full disk: got status %02x, want 02", status)
		}
		multi := dial(t, node)
		multi.send(legacyclient.ListRequest(legacyclient.PushMulti, []string{channel}, value))
		multi.wantEOF()
		multi.must(multi.Close())
		stream := dial(t, node)
		stream.produce(channel)
		stream.send(legacyclient.Records(value))
		stream.wantEOF()
		stream.must(stream.Close())
	}
	c.must(c.Close())
	neo.must(neo.Close())
}

// stopDisk ends a node in order and requires what it leaves on the disk.
func stopDisk(t *testing.T, node *nodetest.Node, d *disk, want map[string][]string) {
	t.Helper()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	wantStopped(t, d.path, want)
}

// The disk is full because of others, who then make room.
func TestFullDiskGetsRoom(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	produceTo(t, node, "full", 0, 2000)
	want := numbered(0, 2000, 100)
	for range 3 {
		disk.fill(0)
		want = append(want, pushUntilFull(t, node, "full")...)
		wantRefused(t, node, "full", 1)
		disk.makeRoom()
		r := record(7, 10_000)
		pushAgain(t, node, "full", r)
		want = append(want, r)
	}
	node.Kill()
	node.Restart()
	wantPops(t, node, "full", want...)
}

// A record that the disk has no room for in the queue of one subscriber goes to none of them:
// the client will push it again.
func TestFullDiskAndSeveralQueues(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	subscribeTo(t, node, "subscribed", "ahead", "behind")
	produceTo(t, node, "subscribed", 0, 2000)
	wantQueue(t, node, "subscribed", "ahead", numbered(0, 2000, 100)...) // its ring is empty
	disk.fill(0)
	stored := pushUntilFull(t, node, "subscribed")
	wantRefused(t, node, "subscribed", 10)
	disk.makeRoom()
	wantQueue(t, node, "subscribed", "ahead", stored...)
	wantQueue(t, node, "subscribed", "behind", append(numbered(0, 2000, 100), stored...)...)
}

// A new channel, or a new subscriber, on a full disk is refused as soon as there is no file for
// it, of which the log tells; what is acknowledged is in a file. The node lives on, and when there
// is room new channels are as always.
func TestFullDiskAndNewChannels(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	subscribeTo(t, node, "old", "a")
	disk.fill(0)
	c, neo := dial(t, node), connect(t, node)
	stored, refused := []string{}, 0
	for i := range 200 { // more than the node may have reserved space for
		channel := fmt.Sprintf("new%d", i)
		status, err := c.Do(legacyclient.Request(legacyclient.Push, channel, channel))
		c.must(err)
		switch status {
		case legacyclient.Ok:
			stored = append(stored, channel)
		case outOfMemory:
			refused++
		default:
			t.Fatalf("Push to a new channel: got status %d, want 200 or 407", status)
		}
		id := neo.start(neoclient.ConsumePayload("old", fmt.Sprintf("s%d", i)))
		reply, err := neo.ReadByteFor(id)
		neo.must(err)
		if reply != started && reply != consumeError {
			t.Fatalf("Consume of a new subscriber: got %02x, want 01 or 02", reply)
		}
	}
	if refused == 0 {
		t.Error("no channel is refused, so the test proves nothing")
	}
	node.WaitLog(`^Error .*request=Push .*no space left on device`)
	c.must(c.Close())
	neo.must(neo.Close())
	node.Kill()
	node.Restart() // on the full disk
	for _, channel := range stored {
		wantPops(t, node, channel, channel)
	}
	c = dial(t, node)
	for i := range 200 {
		c.remove(fmt.Sprintf("new%d", i))
	}
	c.remove("old")
	c.must(c.Close())
	disk.makeRoom()
	pushAgain(t, node, "new0", "with a ring file")
	node.Kill()
	node.Restart()
	wantPops(t, node, "new0", "with a ring file")
	stopDisk(t, node, disk, nil)
}

// The records of a ring can't be dumped, and then neither can others: the exit status tells,
// and the next start, after room was made or without, has every record once.
func TestFullDiskAndCleanStop(t *testing.T) {
	for _, room := range []bool{true, false} {
		t.Run(fmt.Sprintf("room=%t", room), func(t *testing.T) {
			t.Parallel()
			disk := newDisk(t, 8<<20)
			node := nodetest.Start(t, dataOn(disk),
				nodetest.Set("Server.channel_size_limit", "1000000"), nodetest.Set("ChannelSizeById.small", "10000"))
			subscribeTo(t, node, "subscribed", "a")
			produceTo(t, node, "subscribed", 0, 9000)
			produceTo(t, node, "big", 0, 9000)
			produceTo(t, node, "small", 0, 90)
			produceTo(t, node, "small-over", 0, 1000) // also in the overflow
			disk.fill(20_000)
			if status := node.Stop(); status != 1 {
				t.Errorf("got exit status %d after a stop on a full disk, want 1", status)
			}
			if n := len(ringFiles(t, disk.path)); n == 0 {
				t.Error("no ring file has stayed")
			}
			node.WaitLog(`^Error \[dmqnode\.storage\] .*stay in ring files.*need \d+ bytes of disk space`)
			if room {
				disk.makeRoom()
			}
			node.Restart()
			node.Kill()
			node.Restart()
			if !room {
				disk.makeRoom()
			}
			wantQueue(t, node, "subscribed", "a", numbered(0, 9000, 100)...)
			wantPops(t, node, "big", numbered(0, 9000, 100)...)
			wantPops(t, node, "small", numbered(0, 90, 100)...)
			wantPops(t, node, "small-over", numbered(0, 1000, 100)...)
			stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil})
		})
	}
}

// Dumps, but no room for ring files: whether the node serves or not, the records must not
// depend on it staying alive.
func TestFullDiskAndStartFromDumps(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	records := numbered(0, 1000, 100)
	must(t, os.WriteFile(filepath.Join(disk.path, "ch.rq"), []byte(dumpOf(records...)), 0o644))
	disk.fill(200_000)
	node := nodetest.Prepare(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "1000000"))
	node.Launch()
	serves := node.Serves()
	if serves {
		wantFirst(t, node, "ch", records[:10]...)
		records = records[10:]
		node.Kill()
	} else if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	disk.makeRoom()
	node.Restart()
	wantPops(t, node, "ch", records...)
}

// Some file systems can neither give back a part of a file nor tell how much room they have.
func TestFileSystemThatCannotReserve(t *testing.T) {
	t.Parallel()
	disk := mountMemory(t, "ramfs", func(int) error { return nil })
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	subscribeTo(t, node, "subscribed", "a")
	for _, channel := range []string{"subscribed", "plain"} {
		produceTo(t, node, channel, 0, 2000) // most of it to the overflow
	}
	if n := len(ringFiles(t, disk.path)); n < 2 {
		t.Errorf("there are %d ring files, want at least 2", n)
	}
	node.Kill()
	node.Restart()
	wantFirst(t, node, "plain", numbered(0, 10, 100)...)
	node.Kill()
	node.Restart()
	wantPops(t, node, "plain", numbered(10, 2000, 100)...)
	wantQueue(t, node, "subscribed", "a", numbered(0, 2000, 100)...)
	stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil})
}
