//go:build !race

package nodetest

// RaceEnabled tells whether the node is built with the race detector: it then needs
// several times the memory and time.
const RaceEnabled = false
