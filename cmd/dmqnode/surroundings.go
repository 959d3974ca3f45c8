package main

import (
	"fmt"
	"os"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/instance"
)

// checkDataDir looks at the data directory before log files are made, which are the sign of an
// earlier run. It prints the warning that it returns, if there is one.
func checkDataDir(cfg *config.Config) (warnings []string, err error) {
	warning, err := instance.CheckDataDir(cfg.Server.DataDir, earlierLogs(cfg)...)
	if warning == "" {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "#### WARNING:", warning)
	return []string{warning}, nil
}
