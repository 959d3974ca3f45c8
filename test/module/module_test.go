// Package module has a test of the module as others get it.
package module

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sociomantic-tsunami/dmqnode/v2"

// The original's repository has tags v1.x without a go.mod. A program fetches the module from one
// that has these, and v2.0.0 on top, and builds the example; nothing comes from the network.
func TestModuleIsFetched(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program from a fresh module cache")
	}
	root := output(t, "", nil, "git", "rev-parse", "--show-toplevel")
	cache := output(t, root, nil, "go", "env", "GOMODCACHE")
	repository, program := t.TempDir(), t.TempDir()
	git := func(args ...string) {
		t.Helper()
		output(t, repository, nil, "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "init.defaultBranch=master"}, args...)...)
	}
	git("init", "-q")
	for _, tag := range []string{"v1.9.0", "v1.10.1"} {
		write(t, filepath.Join(repository, "src", "main.d"), "// "+tag+"\n")
		git("add", "-A")
		git("commit", "-q", "-m", tag)
		git("tag", tag)
	}
	os.RemoveAll(filepath.Join(repository, "src"))
	for file := range strings.Lines(output(t, root, nil, "git", "ls-files")) {
		file = strings.TrimSpace(file)
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue // deleted, and not committed yet
		}
		write(t, filepath.Join(repository, file), string(content))
	}
	git("add", "-A")
	git("commit", "-q", "-m", "v2.0.0")
	git("tag", "v2.0.0")

	env := []string{
		"GOFLAGS=-mod=mod -modcacherw", "GOWORK=off", "GOSUMDB=off", "GOTOOLCHAIN=local",
		"GOMODCACHE=" + t.TempDir(),
		"GOPROXY=file://" + filepath.Join(cache, "cache", "download"), "GOPRIVATE=github.com/sociomantic-tsunami/*",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + repository + ".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/sociomantic-tsunami/dmqnode",
		"GIT_ALLOW_PROTOCOL=file",
	}
	example, err := os.ReadFile(filepath.Join(root, "client", "example", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(program, "main.go"), string(example))
	output(t, program, env, "go", "mod", "init", "example.org/program")
	output(t, program, env, "go", "get", module+"/client@latest")
	if got := output(t, program, env, "go", "list", "-m", "-f", "{{.Version}}", module); got != "v2.0.0" {
		t.Errorf("got version %s, want v2.0.0", got)
	}
	output(t, program, env, "go", "build", "-o", "example", ".")
	if used := output(t, program, env, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/client", module+"/client/legacy"); strings.Trim(strings.ReplaceAll(used, module, ""), "\n") != "" {
		t.Errorf("the clients need other modules: %s", used)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o777)
	if err == nil {
		err = os.WriteFile(file, []byte(content), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// output returns what a command prints, without white space around.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s%s", strings.Join(cmd.Args, " "), err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}
