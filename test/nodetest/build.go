package nodetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const mainPackage = "github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmqnode"

// BinaryVariable names the environment variable that makes the tests run an existing
// binary, for example the one of an installed package, instead of building the node.
const BinaryVariable = "DMQNODE_BINARY"

// build is the one build of this test process.
var build struct {
	sync.Once
	dir    string
	binary string
	err    error
}

// Main runs the tests of a package that starts nodes and removes the built binary
// afterwards. It is to be called from the package's TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }
func Main(m *testing.M) int {
	status := m.Run()
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
	return status
}

// Binary returns the path of the node's binary, built at the first call.
func Binary(t testing.TB) string {
	t.Helper()
	build.Do(func() {
		if build.binary = os.Getenv(BinaryVariable); build.binary == "" {
			build.err = buildNode()
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.binary
}

func buildNode() (err error) {
	if build.dir, err = os.MkdirTemp("", "dmqnode-test-"); err != nil {
		return err
	}
	build.binary = filepath.Join(build.dir, "dmqnode")
	args := []string{"build", "-o", build.binary}
	if RaceEnabled {
		args = append(args, "-race")
	}
	output, err := exec.Command("go", append(args, mainPackage)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %v\n%s", mainPackage, err, output)
	}
	return nil
}
