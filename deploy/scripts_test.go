package deploy_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// root is a directory that stands in for the machine: scripts find instances and commands
// there instead of those of the machine.
type root struct {
	t         *testing.T
	dir       string
	instances string // for /srv/dmqnode
	commands  string // first in PATH
}

func newRoot(t *testing.T) root {
	dir := t.TempDir()
	r := root{t, dir, dir + "/srv", dir + "/bin"}
	r.mkdir(r.instances, 0o755)
	r.mkdir(r.commands, 0o755)
	return r
}

func (r root) mkdir(path string, mode fs.FileMode) {
	r.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		r.t.Fatal(err)
	}
}

// program makes a command of the shell script.
func (r root) program(path, script string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// script is a command that runs the shell script in the root.
func (r root) script(text string, args ...string) *exec.Cmd {
	text = strings.ReplaceAll(text, "/srv/dmqnode", r.instances)
	cmd := exec.Command("sh", append([]string{"-e", "-c", text, "sh"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "PATH="+r.commands+":"+os.Getenv("PATH"))
	return cmd
}

// tree lists what is below the instances, as MODE NAME.
func (r root) tree() (entries []string) {
	r.t.Helper()
	err := filepath.WalkDir(r.instances, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == r.instances {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			entries = append(entries, fmt.Sprintf("%v %s", info.Mode(), path[len(r.instances)+1:]))
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return entries
}

// The post-install script prepares none, one or many instances, any number of times
// (operations spec §11.2).
func TestPostInstall(t *testing.T) {
	prepared := func(name string) []string {
		const mode = "drwxr-xr-x "
		return []string{mode + name, mode + name + "/data", mode + name + "/etc", mode + name + "/log"}
	}
	tests := []struct {
		rule string
		make func(r root)
		want []string
	}{
		{"no instance", func(root) {}, nil},
		{"one", func(r root) { r.mkdir(r.instances+"/dmqnode-1", 0o755) }, prepared("dmqnode-1")},
		{"many", func(r root) {
			r.mkdir(r.instances+"/dmqnode-1", 0o755)
			r.mkdir(r.instances+"/dmqnode-12", 0o755)
		}, append(prepared("dmqnode-1"), prepared("dmqnode-12")...)},
		{"what others may write to is closed for logrotate only", func(r root) {
			r.mkdir(r.instances+"/dmqnode-1/log", 0o777)
			r.mkdir(r.instances+"/dmqnode-1/data", 0o775)
		}, []string{"drwxr-xr-x dmqnode-1", "drwxrwxr-x dmqnode-1/data", "drwxr-xr-x dmqnode-1/etc", "drwxr-xr-x dmqnode-1/log"}},
		{"links are left alone", func(r root) {
			r.mkdir(r.dir+"/elsewhere", 0o777)
			r.mkdir(r.instances+"/dmqnode-1", 0o755)
			for name, target := range map[string]string{"data": "/nowhere", "etc": "/elsewhere", "log": "/elsewhere"} {
				if err := os.Symlink(r.dir+target, r.instances+"/dmqnode-1/"+name); err != nil {
					r.t.Fatal(err)
				}
			}
		}, []string{"drwxr-xr-x dmqnode-1", "Lrwxrwxrwx dmqnode-1/data", "Lrwxrwxrwx dmqnode-1/etc", "Lrwxrwxrwx dmqnode-1/log"}},
		{"other directories are left alone", func(r root) { r.mkdir(r.instances+"/dmqnode-old", 0o755) }, []string{"drwxr-xr-x dmqnode-old"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			r := newRoot(t)
			for _, command := range []string{"getent", "addgroup", "adduser"} {
				r.program(r.commands+"/"+command, "exit 0")
			}
			r.program(r.commands+"/install", `for last; do :; done; mkdir -m 0755 "$last"`) // the user is not there
			test.make(r)
			for range 2 {
				if out, err := r.script(read(t, "debian/postinst"), "configure").CombinedOutput(); err != nil || len(out) > 0 {
					t.Fatalf("got %v and %q, want silent success", err, out)
				}
				if got := r.tree(); !slices.Equal(got, test.want) {
					t.Errorf("got  %q\nwant %q", got, test.want)
				}
				if info, err := os.Stat(r.dir + "/elsewhere"); err == nil && info.Mode().Perm() != 0o777 {
					t.Errorf("the mode of a directory behind a link is changed to %v", info.Mode())
				}
			}
		})
	}
}

// The upstart job passes signals on to the node, and ends when the node has ended.
func TestUpstartSignals(t *testing.T) {
	r := newRoot(t)
	instance := r.instances + "/dmqnode-7"
	r.mkdir(instance+"/log", 0o755)
	r.program(r.commands+"/setsid", `exec "$@"`)
	r.program(r.commands+"/screen", `while [ "$1" != sh ]; do shift; done; "$@"`)
	r.program(instance+"/dmqnode", `
		echo "$@" > arguments
		echo "to standard error" >&2
		trap 'echo HUP >> signals' HUP
		trap 'echo TERM >> signals; exit 0' TERM
		: > ready
		while :; do sleep 0.01; done`)

	job := regexp.MustCompile(`(?ms)^script\n(.*?)^end script$`).FindStringSubmatch(read(t, "upstart/dmqnode-instance.conf"))
	if job == nil {
		t.Fatal("no script found")
	}
	cmd := r.script(job[1])
	cmd.Env = append(cmd.Env, "INSTANCE=7", "CONFIG=the configuration")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // whatever a failed test has left
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	r.await(instance+"/ready", "")
	cmd.Process.Signal(syscall.SIGHUP)
	r.await(instance+"/signals", "HUP\n")
	cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("the job ends with %v, want success", err)
	}
	for file, want := range map[string]string{
		"signals":    "HUP\nTERM\n",
		"arguments":  "--config=the configuration\n",
		"log/stderr": "to standard error\n",
	} {
		if got := read(t, instance+"/"+file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	if _, err := os.Stat(instance + "/log/screen.pid"); err == nil {
		t.Error("log/screen.pid is left behind")
	}
}

// The init script starts every instance that has a configuration, passes signals on, tells what
// runs and what cannot be started, and stops all.
func TestInitScript(t *testing.T) {
	r := newRoot(t)
	const node = `
		[ ! -e broken ] || exit 1
		echo "$@" > arguments
		trap 'echo HUP >> signals' HUP
		trap 'echo TERM >> signals; exit 0' TERM
		: > ready
		while :; do sleep 0.01; done`
	for _, name := range []string{"1", "second"} {
		r.mkdir(r.instances+"/dmqnode-"+name+"/log", 0o755)
		r.mkdir(r.instances+"/dmqnode-"+name+"/etc", 0o755)
		r.program(r.instances+"/dmqnode-"+name+"/etc/config.ini", "")
		r.program(r.instances+"/dmqnode-"+name+"/dmqnode", node)
	}
	r.mkdir(r.instances+"/dmqnode-empty", 0o755)
	r.program(r.commands+"/screen", `while [ "$1" != sh ]; do shift; done; "$@" > /dev/null 2>&1 &`)
	r.program(r.commands+"/start-stop-daemon", `
		echo "$@" >> "`+r.dir+`/started"
		while [ "$1" != --exec ]; do shift; done; shift
		program=$1; shift 2; exec "$program" "$@"`)
	// It takes no longer than until each node is ready, or is not to be.
	r.program(r.commands+"/sleep", `
		if [ "$1" = 2 ]; then
			for node in "`+r.instances+`"/dmqnode-[1s]*; do
				while [ ! -e "$node/ready" ] && [ ! -e "$node/broken" ]; do /bin/sleep 0.01; done
			done
		fi
		exec /bin/sleep 0.01`)
	text := regexp.MustCompile(`(?m)^(PATH=|.*/lib/lsb/).*\n`).ReplaceAllString(read(t, "sysv/dmq"), "")
	run := func(status int, args ...string) string {
		t.Helper()
		cmd := r.script(text, args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != status {
			t.Errorf("%q: got exit status %d, want %d:\n%s", args, got, status, out)
		}
		return string(out)
	}
	want := func(got string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(got) {
				t.Errorf("no line %q in\n%s", line, got)
			}
		}
	}
	t.Cleanup(func() { // whatever a failed test has left
		for _, name := range []string{"1", "second"} {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(first(os.ReadFile(r.instances + "/dmqnode-" + name + "/log/screen.pid"))))); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})

	want(run(3, "status"), "dmqnode-1 does not run", "dmqnode-second does not run")
	want(run(0, "start"), "dmqnode-1 runs, process [0-9]+", "dmqnode-second runs, process [0-9]+")
	want(run(0, "status"), "dmqnode-1 runs, process [0-9]+", "dmqnode-second runs, process [0-9]+")
	run(0, "reload", "second")
	r.await(r.instances+"/dmqnode-second/signals", "HUP\n")
	run(0, "start") // again: nothing happens
	started := read(t, r.dir+"/started")
	if strings.Count(started, "--chuid dmqnode:dmqnode ") != 2 || strings.Count(started, " -d -m -S dmqnode-") != 2 {
		t.Errorf("got started %q, want two sessions of the user dmqnode", started)
	}
	want(run(0, "stop"), "dmqnode-1 stopped", "dmqnode-second stopped")
	for name, signals := range map[string]string{"1": "TERM\n", "second": "HUP\nTERM\n"} {
		instance := r.instances + "/dmqnode-" + name
		if got := read(t, instance+"/signals"); got != signals {
			t.Errorf("%s: got signals %q, want %q", name, got, signals)
		}
		if got, want := read(t, instance+"/arguments"), "--config="+instance+"/etc/config.ini\n"; got != want {
			t.Errorf("%s: got arguments %q, want %q", name, got, want)
		}
		if err := os.Remove(instance + "/ready"); err != nil {
			t.Error(err)
		}
	}
	r.program(r.instances+"/dmqnode-1/broken", "")
	want(run(1, "start"), "dmqnode-1 cannot be started: see .*/dmqnode-1/log/stderr", "dmqnode-second runs, process [0-9]+")
	want(run(0, "stop", "second"), "dmqnode-second stopped")
	run(2, "dance")
}

func first[T any](value T, _ error) T { return value }

// await waits until the file has the content.
func (r root) await(file, content string) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got, err := os.ReadFile(file); err == nil && string(got) == content {
			return
		}
	}
	r.t.Fatalf("%s: waited in vain for %q", file, content)
}
