package memory

import (
	"slices"
	"testing"
)

func TestLimitFiles(t *testing.T) {
	for _, test := range []struct {
		rule, groups, mounts string
		want                 []string
	}{
		{"version 2, a service of systemd", "0::/system.slice/dmq@1.service\n",
			"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			[]string{"/sys/fs/cgroup/system.slice/dmq@1.service/memory.max", "/sys/fs/cgroup/system.slice/memory.max", "/sys/fs/cgroup/memory.max"}},
		{"version 2, a container with a name space", "0::/\n",
			"30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n", []string{"/sys/fs/cgroup/memory.max"}},
		{"version 1, a service of systemd", "9:name=systemd:/x\n4:cpu,memory:/system.slice/dmq@1.service\n",
			"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
				"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
				"35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n",
			[]string{"/sys/fs/cgroup/memory/system.slice/dmq@1.service/memory.limit_in_bytes",
				"/sys/fs/cgroup/memory/system.slice/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"version 1, a container that sees the path of the host", "4:memory:/docker/0123\n",
			"35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			[]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"version 1, below the group of the container", "4:memory:/docker/0123/dmq\n",
			"35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			[]string{"/sys/fs/cgroup/memory/dmq/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"a container whose group is mounted as the root of all", "4:memory:/\n",
			"35 31 0:32 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			[]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes"}},
		{"both", "4:memory:/a\n0::/b\n",
			"35 31 0:32 / /v1 rw - cgroup cgroup rw,memory\n36 31 0:33 / /v2 rw - cgroup2 cgroup2 rw\n",
			[]string{"/v1/a/memory.limit_in_bytes", "/v1/memory.limit_in_bytes", "/v2/b/memory.max", "/v2/memory.max"}},
		{"blanks in the path", "0::/\n", `30 23 0:26 / /mnt/a\040b rw - cgroup2 cgroup2 rw` + "\n", []string{"/mnt/a b/memory.max"}},
		{"no control groups", "", "30 23 0:26 / / rw - ext4 /dev/sda rw\n", nil},
		{"garbage", "x\n:\n", "x\n - \n", nil},
	} {
		if got := limitFiles(test.groups, test.mounts); !slices.Equal(got, test.want) {
			t.Errorf("%s: got  %q\nwant %q", test.rule, got, test.want)
		}
	}
}

func TestRead(t *testing.T) {
	limit, err := Read()
	if err != nil || limit.Machine == 0 || limit.Bytes == 0 || limit.Bytes > limit.Machine ||
		(limit.File == "") != (limit.Bytes == limit.Machine) {
		t.Errorf("got %+v, error %v", limit, err)
	}
}
