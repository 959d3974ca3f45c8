package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/ini.v1"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// TestMain gives scripts signals that are not ignored: a shell cannot trap one that is, which it
// inherits from nohup, for example. One that this process handles is not. Nor do scripts inherit
// the umask.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	os.Exit(m.Run())
}

// What operators and scripts rely on (operations spec §11.3).
func TestSystemdUnits(t *testing.T) {
	const instance = "/srv/dmqnode/dmqnode-%i"
	tests := []struct{ unit, section, key, want string }{
		{"dmq@.service", "Unit", "AssertPathExists", instance},
		{"dmq@.service", "Unit", "Requires", "network-online.target local-fs.target"},
		{"dmq@.service", "Unit", "After", "network-online.target local-fs.target dmq.service"},
		{"dmq@.service", "Unit", "PartOf", "dmq.service"},
		{"dmq@.service", "Unit", "ReloadPropagatedFrom", "dmq.service"},
		{"dmq@.service", "Service", "Type", "notify"},
		{"dmq@.service", "Service", "TimeoutStartSec", "3600"},
		{"dmq@.service", "Service", "WatchdogSec", "180"},
		{"dmq@.socket", "Socket", "ListenStream", "0.0.0.0:10000 0.0.0.0:10001"},
		{"dmq@.socket", "Install", "WantedBy", "sockets.target"},
		{"dmq@.service", "Service", "User", "dmqnode"},
		{"dmq@.service", "Service", "WorkingDirectory", instance},
		{"dmq@.service", "Service", "ExecStart", "/usr/sbin/dmqnode -c " + instance + "/etc/config.ini"},
		{"dmq@.service", "Service", "ExecReload", "/bin/kill -HUP $MAINPID"},
		{"dmq@.service", "Service", "Restart", "on-failure"},
		{"dmq@.service", "Service", "TimeoutStopSec", "3600"},
		{"dmq@.service", "Service", "OOMScoreAdjust", "-950"},
		{"dmq@.service", "Service", "LimitNOFILE", "100000"},
		{"dmq@.service", "Service", "LimitCORE", "infinity"},
		{"dmq@.service", "Install", "WantedBy", "multi-user.target"},
		{"dmq.service", "Service", "Type", "oneshot"},
		{"dmq.service", "Service", "RemainAfterExit", "yes"},
		{"dmq.service", "Service", "ExecReload", "/bin/true"},
		{"dmq.service", "Install", "WantedBy", "multi-user.target"},
	}
	for _, test := range tests {
		unit, err := ini.ShadowLoad("systemd/" + test.unit) // a key may come twice
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(unit.Section(test.section).Key(test.key).ValueWithShadows(), " ")
		if got != test.want {
			t.Errorf("%s [%s] %s: got %q, want %q", test.unit, test.section, test.key, got, test.want)
		}
	}
}

func TestUpstartJobs(t *testing.T) {
	tests := []struct{ job, want string }{
		{"dmq.conf", "stop on runlevel [016]"},
		{"dmqnode-instance.conf", "instance $INSTANCE"},
		{"dmqnode-instance.conf", "stop on stopping dmq"},
		{"dmqnode-instance.conf", "kill timeout 3600"},
		{"dmqnode-instance.conf", "respawn"},
		{"dmqnode-instance.conf", "limit nofile 100000 100000"},
		{"dmqnode-instance.conf", "limit core unlimited unlimited"},
		{"dmqnode-instance.conf", "oom score -950"},
		{"dmqnode-instance.conf", "setuid dmqnode"},
	}
	for _, test := range tests {
		if lines := strings.Split(read(t, "upstart/"+test.job), "\n"); !slices.Contains(lines, test.want) {
			t.Errorf("%s: got no line %q", test.job, test.want)
		}
	}
}

// A shell reads all scripts, and those within other files, to their end.
func TestShellSyntax(t *testing.T) {
	scripts := make(map[string]string)
	for _, file := range []string{"check", "debian/postinst", "debian/common.postinst", "debian/common.prerm",
		"debian/common.postrm", "debian/stage", "docker/image-root", "sysv/dmq"} {
		scripts[file] = read(t, file)
	}
	for file, block := range map[string]string{
		"upstart/dmq.conf":              `(?ms)^\S*-?start script\n(.*?)^end script$`,
		"upstart/dmqnode-instance.conf": `(?ms)^(?:post-stop )?script\n(.*?)^end script$`,
		"logrotate/dmqnode-logs":        `(?ms)^\tpostrotate\n(.*?)^\tendscript$`,
	} {
		found := regexp.MustCompile(block).FindAllStringSubmatch(read(t, file), -1)
		if len(found) == 0 {
			t.Errorf("%s: no script found", file)
		}
		for i, m := range found {
			scripts[fmt.Sprintf("%s, script %d", file, i+1)] = m[1]
		}
	}
	for name, script := range scripts {
		shell := exec.Command("sh", "-n")
		shell.Stdin = strings.NewReader(script)
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// Every file that a package consists of is there, unless it is made by the build.
func TestPackagedFiles(t *testing.T) {
	for _, file := range []string{"debian/dmqnode.yaml", "debian/dmqnode-common.yaml"} {
		sources := regexp.MustCompile(`(?m)^  (?:- src|postinstall|preremove|postremove): (\S+)$`).
			FindAllStringSubmatch(read(t, file), -1)
		if len(sources) == 0 {
			t.Errorf("%s: no files found", file)
		}
		for _, m := range sources {
			if strings.HasPrefix(m[1], "build/") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// The configuration in the ConfigMap is one that the node accepts, without unknown keys, and
// its ports and paths are those of the manifest.
func TestKubernetesConfiguration(t *testing.T) {
	manifest := read(t, "kubernetes/dmq.yaml")
	found := regexp.MustCompile(`(?m)^  config\.ini: \|\n((?:    .*\n|\n)+)`).FindStringSubmatch(manifest)
	if found == nil {
		t.Fatal("no config.ini found")
	}
	file := filepath.Join(t.TempDir(), "config.ini")
	if err := os.WriteFile(file, []byte(found[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(file, nil, false)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("got error %v, warnings %q", err, warnings)
	}
	for name, port := range map[string]uint16{"legacy": c.Server.Port, "neo": c.Server.NeoPort, "http": uint16(c.HTTP.Port)} {
		for _, want := range []string{
			fmt.Sprintf("{name: %s, port: %d, targetPort: %s}", name, port, name),
			fmt.Sprintf("{name: %s, containerPort: %d}", name, port),
		} {
			if !strings.Contains(manifest, want) {
				t.Errorf("got no %s", want)
			}
		}
	}
	for _, mount := range []string{
		"/srv/dmqnode/dmqnode-0/" + c.Server.DataDir,
		filepath.Dir(c.Server.UnixSocketPath),
	} {
		if !strings.Contains(manifest, "mountPath: "+mount+"}") {
			t.Errorf("nothing is mounted at %s", mount)
		}
	}
}
