package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
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
	nodetest.Must(t, err)
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
	nodetest.Must(d.t, err)
	defer f.Close()
	info, err := f.Stat()
	nodetest.Must(d.t, err)
	nodetest.Eventually(d.t, "the disk is full", func() bool { // while the node may be making files, too
		free := int64(d.free() - but)
		if free <= 0 {
			return true
		}
		err := unix.Fallocate(int(f.Fd()), 0, info.Size(), free)
		if err != unix.ENOSPC {
			nodetest.Must(d.t, err)
		}
		return err == nil
	})
}

// makeRoom gives back what fill has taken.
func (d *disk) makeRoom() {
	d.t.Helper()
	nodetest.Must(d.t, os.Remove(filepath.Join(d.path, "filler.dat")))
}

func (d *disk) free() int {
	d.t.Helper()
	var s unix.Statfs_t
	nodetest.Must(d.t, unix.Statfs(d.path, &s))
	return int(s.Bfree) * int(s.Bsize)
}

// pushUntilFull pushes numbered records of ever smaller sizes until none is taken any more,
// and returns those that were.
func pushUntilFull(t *testing.T, node *nodetest.Node, channel string) (stored []string) {
	t.Helper()
	c := clients.Legacy(t, node)
	for _, size := range []int{20_000, 2000, 100, 10} {
		for status := legacyclient.Ok; status == legacyclient.Ok; {
			r := clients.Record(len(stored), size)
			var err error
			status, err = c.Do(legacyclient.Request(legacyclient.Push, channel, r))
			c.Must(err)
			switch status {
			case legacyclient.Ok:
				stored = append(stored, r)
			case outOfMemory:
			default:
				t.Fatalf("Push on a full disk: got status %d, want 407", status)
			}
		}
	}
	c.Must(c.Close())
	return stored
}

// pushAgain pushes a record until it is taken: that there is room again is noticed within about
// a second.
func pushAgain(t *testing.T, node *nodetest.Node, channel, r string) {
	t.Helper()
	c := clients.Legacy(t, node)
	nodetest.Eventually(t, "a Push succeeds after there is room again", func() bool {
		status, err := c.Do(legacyclient.Request(legacyclient.Push, channel, r))
		c.Must(err)
		if status != legacyclient.Ok && status != outOfMemory {
			t.Fatalf("Push: got status %d, want 200 or 407", status)
		}
		return status == legacyclient.Ok
	})
	c.Must(c.Close())
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
	clients.SubscribeTo(t, node, "subscribed", "a", "b")
	clients.PushTo(t, node, "other", "in the ring")
	began := time.Now()
	stored := pushUntilFull(t, node, "full")
	wantRefused(t, node, "full", 100)
	if lines, most := errorLines(t, node), 2*int(time.Since(began)/time.Second)+4; lines == 0 || lines > most {
		t.Errorf("%d errors in root.log in %v, want 1 to %d", lines, time.Since(began), most)
	}
	node.WaitLog(`^Error .*no space left on device`)

	clients.PushTo(t, node, "other", "also in the ring") // a ring has its space already
	clients.WantPops(t, node, "other", "in the ring", "also in the ring")
	clients.WantFirst(t, node, "full", stored[:10]...)
	stored = stored[10:]
	node.Kill()
	node.Restart() // on the full disk
	clients.WantFirst(t, node, "full", stored[:10]...)
	clients.WantPops(t, node, "full", stored[10:]...) // makes room
	large := strings.Repeat("x", 3_000_000)           // drained files are deleted after the next sync
	pushAgain(t, node, "full", large)
	clients.WantPops(t, node, "full", large)
	clients.ProduceTo(t, node, "full", 0, 1000)
	clients.ProduceTo(t, node, "subscribed", 0, 1000)
	clients.WantPops(t, node, "full", clients.Numbered(0, 1000, 100)...)
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(0, 1000, 100)...)
	clients.WantQueue(t, node, "subscribed", "b", clients.Numbered(0, 1000, 100)...)
	stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil, "b@subscribed": nil})
}

// wantRefused requires that no request stores a record of 1000 bytes in a channel whose
// ring and disk are full.
func wantRefused(t *testing.T, node *nodetest.Node, channel string, times int) {
	t.Helper()
	value := strings.Repeat("refused ", 125)
	c, neo := clients.Legacy(t, node), clients.Neo(t, node)
	for range times {
		c.MustDo(legacyclient.Request(legacyclient.Push, channel, value), outOfMemory)
		status, err := neo.Push([]byte(value), channel)
		neo.Must(err)
		if status != clients.PushError {
			t.Fatalf("neo Push on a full disk: got status %02x, want 02", status)
		}
		multi := clients.Legacy(t, node)
		multi.MustSend(legacyclient.ListRequest(legacyclient.PushMulti, []string{channel}, value))
		multi.WantEOF()
		multi.Must(multi.Close())
		stream := clients.Legacy(t, node)
		stream.MustProduce(channel)
		stream.MustSend(legacyclient.Records(value))
		stream.WantEOF()
		stream.Must(stream.Close())
	}
	c.Must(c.Close())
	neo.Must(neo.Close())
}

// stopDisk ends a node in order and requires what it leaves on the disk.
func stopDisk(t *testing.T, node *nodetest.Node, d *disk, want map[string][]string) {
	t.Helper()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	datadir.WantStopped(t, d.path, want)
}

// The disk is full because of others, who then make room.
func TestFullDiskGetsRoom(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	clients.ProduceTo(t, node, "full", 0, 2000)
	want := clients.Numbered(0, 2000, 100)
	for range 3 {
		disk.fill(0)
		want = append(want, pushUntilFull(t, node, "full")...)
		wantRefused(t, node, "full", 1)
		disk.makeRoom()
		r := clients.Record(7, 10_000)
		pushAgain(t, node, "full", r)
		want = append(want, r)
	}
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "full", want...)
}

// A record that the disk has no room for in the queue of one subscriber goes to none of them:
// the client will push it again.
func TestFullDiskAndSeveralQueues(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	clients.SubscribeTo(t, node, "subscribed", "ahead", "behind")
	clients.ProduceTo(t, node, "subscribed", 0, 2000)
	clients.WantQueue(t, node, "subscribed", "ahead", clients.Numbered(0, 2000, 100)...) // its ring is empty
	disk.fill(0)
	stored := pushUntilFull(t, node, "subscribed")
	wantRefused(t, node, "subscribed", 10)
	disk.makeRoom()
	clients.WantQueue(t, node, "subscribed", "ahead", stored...)
	clients.WantQueue(t, node, "subscribed", "behind", append(clients.Numbered(0, 2000, 100), stored...)...)
}

// A new channel, or a new subscriber, on a full disk is refused as soon as there is no file for
// it, of which the log tells; what is acknowledged is in a file. The node lives on, and when there
// is room new channels are as always.
func TestFullDiskAndNewChannels(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	clients.SubscribeTo(t, node, "old", "a")
	disk.fill(0)
	c, neo := clients.Legacy(t, node), clients.Neo(t, node)
	stored, refused := []string{}, 0
	for i := range 200 { // more than the node may have reserved space for
		channel := fmt.Sprintf("new%d", i)
		status, err := c.Do(legacyclient.Request(legacyclient.Push, channel, channel))
		c.Must(err)
		switch status {
		case legacyclient.Ok:
			stored = append(stored, channel)
		case outOfMemory:
			refused++
		default:
			t.Fatalf("Push to a new channel: got status %d, want 200 or 407", status)
		}
		id := neo.MustStart(neoclient.ConsumePayload("old", fmt.Sprintf("s%d", i)))
		reply, err := neo.ReadByteFor(id)
		neo.Must(err)
		if reply != clients.Started && reply != clients.ConsumeError {
			t.Fatalf("Consume of a new subscriber: got %02x, want 01 or 02", reply)
		}
	}
	if refused == 0 {
		t.Error("no channel is refused, so the test proves nothing")
	}
	node.WaitLog(`^Error .*request=Push .*no space left on device`)
	c.Must(c.Close())
	neo.Must(neo.Close())
	node.Kill()
	node.Restart() // on the full disk
	for _, channel := range stored {
		clients.WantPops(t, node, channel, channel)
	}
	c = clients.Legacy(t, node)
	for i := range 200 {
		c.MustRemove(fmt.Sprintf("new%d", i))
	}
	c.MustRemove("old")
	c.Must(c.Close())
	disk.makeRoom()
	pushAgain(t, node, "new0", "with a ring file")
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "new0", "with a ring file")
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
			clients.SubscribeTo(t, node, "subscribed", "a")
			clients.ProduceTo(t, node, "subscribed", 0, 9000)
			clients.ProduceTo(t, node, "big", 0, 9000)
			clients.ProduceTo(t, node, "small", 0, 90)
			clients.ProduceTo(t, node, "small-over", 0, 1000) // also in the overflow
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
			clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(0, 9000, 100)...)
			clients.WantPops(t, node, "big", clients.Numbered(0, 9000, 100)...)
			clients.WantPops(t, node, "small", clients.Numbered(0, 90, 100)...)
			clients.WantPops(t, node, "small-over", clients.Numbered(0, 1000, 100)...)
			stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil})
		})
	}
}

// Dumps, but no room for ring files: whether the node serves or not, the records must not
// depend on it staying alive.
func TestFullDiskAndStartFromDumps(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 4<<20)
	records := clients.Numbered(0, 1000, 100)
	nodetest.Must(t, os.WriteFile(filepath.Join(disk.path, "ch.rq"), []byte(datadir.DumpOf(records...)), 0o644))
	disk.fill(200_000)
	node := nodetest.Prepare(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "1000000"))
	node.Launch()
	serves := node.Serves()
	if serves {
		clients.WantFirst(t, node, "ch", records[:10]...)
		records = records[10:]
		node.Kill()
	} else if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	disk.makeRoom()
	node.Restart()
	clients.WantPops(t, node, "ch", records...)
}

// Some file systems can neither give back a part of a file nor tell how much room they have.
func TestFileSystemThatCannotReserve(t *testing.T) {
	t.Parallel()
	disk := mountMemory(t, "ramfs", func(int) error { return nil })
	node := nodetest.Start(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	clients.SubscribeTo(t, node, "subscribed", "a")
	for _, channel := range []string{"subscribed", "plain"} {
		clients.ProduceTo(t, node, channel, 0, 2000) // most of it to the overflow
	}
	if n := len(ringFiles(t, disk.path)); n < 2 {
		t.Errorf("there are %d ring files, want at least 2", n)
	}
	node.Kill()
	node.Restart()
	clients.WantFirst(t, node, "plain", clients.Numbered(0, 10, 100)...)
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(10, 2000, 100)...)
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(0, 2000, 100)...)
	stopDisk(t, node, disk, map[string][]string{"a@subscribed": nil})
}
