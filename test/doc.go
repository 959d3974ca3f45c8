// Package test has in its folders the black-box tests of the node: they start the built binary and
// speak the node's protocols to it over sockets.
//
//	legacy/, neo/   the protocols: what the specification's vectors can't say, too: several
//	                consumers, slow and dead clients, hostile input, shutdown
//	storage/        what survives stops, kills, full disks and damage
//	budget/         what clients can't use up: memory, connections, channels, time
//	operations/     configuration, log, statistics, status page, control socket, start and stop
//	power/          power failures
//	module/         what others get who use the module
//
// They are helped by
//
//	nodetest/       builds, starts, watches and ends nodes
//	clients/        connections for use by a test: what goes wrong ends it
//	legacyclient/   a client of the legacy protocol that shares no code with the node
//	neoclient/      the same for the neo protocol
//	datadir/        the same for data directories
//	vectors/        reads and plays the specification's test vectors
//	terminal/       a terminal and its screen
//
// and bench/ measures the node.
//
// Every test has a node of its own. That a node survives its test, ends at SIGTERM and
// exits with status 0 is checked by nodetest after each test, not in the tests.
//
//	go test ./test/...               everything
//	go test -short ./test/...        without the tests that take seconds or much memory
//	go test -race ./test/...         the node, too, is built with the race detector
//	go test ./test/neo -seed N       repeats the random input of a failed test
//	go test ./test/storage -run 'TestKillUnderLoad|TestInterruptedStopsAndStarts' -timeout 0 -soak 10m
//	                                 kills and restarts nodes for that long (make soak)
//	go test -race ./test/budget -run TestHostileTraffic -timeout 0 -soak 10m
//	                                 keeps a node under attack for that long (make soak)
//
// DMQNODE_BINARY=PATH makes the tests run that binary instead of building one.
package test
