// Package power cuts nodes off from a disk, as a power failure does, and starts others on what the
// disk has.
//
// That takes root, a loop device and ext4; without them its tests are skipped. The cut is the one that
// file systems are tested with themselves: from one instant on nothing is written any more.
//
//	go test ./test/power -cuts 200 -timeout 0     (make soak)
package power
