package storage

import (
	"os"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }
