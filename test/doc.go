// Package test holds the black-box tests of the node: they start the built binary and
// speak the node's protocols to it over sockets.
//
//	testdata/legacy.vectors  the specification's test vectors, as data
//	vectors/                 reads and plays them
//	nodetest/                builds, starts, watches and ends nodes
//	legacyclient/            a client of the legacy protocol that shares no code with the node
//	neoclient/               the same for the neo protocol
//	terminal/                a terminal and its screen
//	*_test.go                what the vectors can't say: several consumers, slow and dead
//	                         clients, limits, shutdown, load, hostile input
//
// Every test has a node of its own. That a node survives its test, ends at SIGTERM and
// exits with status 0 is checked by nodetest after each test, not in the tests.
//
//	go test ./test/...               everything
//	go test -short ./test/...        without the tests that take seconds or much memory
//	go test -race ./test/...         the node, too, is built with the race detector
//	go test ./test -seed N           repeats the random input of a failed test
//	go test ./test -run 'TestKillUnderLoad|TestInterruptedStopsAndStarts' -timeout 0 -soak 10m
//	                                 kills and restarts nodes for that long (make soak)
//	go test -race ./test -run TestHostileTraffic -timeout 0 -soak 10m
//	                                 keeps a node under attack for that long (make soak)
//
// DMQNODE_BINARY=PATH makes the tests run that binary instead of building one.
package test
