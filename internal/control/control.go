// Package control is the line protocol of the node's two UNIX stream sockets and their
// commands (operations spec §6, neo protocol spec §5): the node control socket of
// [Server] unix_socket_path, and the application socket of [UNIX_SOCKET] path.
//
//	Listen ─▶ probe, bind, chmod, listen      the path is ours; clients wait in the backlog
//	Serve  ─▶ accept ─▶ a goroutine a client: line ─▶ Command ─▶ reply ─▶ line …
//	Close  ─▶ the file is deleted, clients are closed, commands have ended
//
// A client sends lines that end with LF. White space at both ends of a line is dropped, so
// CR LF works and a blank line is nothing; the command is the text up to the first blank
// and the rest its arguments. Replies are text, come in the order of the lines, and are
// written one at a time before the next line is looked at: a client that does not read them
// stops being served and costs nothing more. What follows the last LF is discarded. The node
// closes a connection only after its client did, or for a line that is too long.
//
// Whoever has write permission for the socket file may use every command. That is all the
// authentication there is. There is no idle time-out, but a bound on clients: one too many takes
// the place of the one that has been silent for longest. A client that sends many commands has
// them run at a bounded rate.
//
// A file at the path is removed only if it is a socket that nobody listens on any more. Two
// processes that start in the same moment could both find it stale, or see the other's
// socket in the instant between bind and listen; what keeps them apart is the lock that a
// node takes before it gets here (pid file, data directory).
//
// These connections are rare and none of them is on the path of a record, so they are served
// by ordinary goroutines and not by the event loops.
package control

import "io"

// Command does what a control command asks for and writes its reply, which should end with
// LF. The arguments are what follows the first blank, with white space dropped at the end of
// the line only; empty if there are none. Writes to reply are gathered in memory: they never
// block or fail, and are sent when the command returns. Commands of several clients run at
// the same time. A panic ends the command, not the process.
type Command func(arguments string, reply io.Writer)

// Commands are the commands of a socket by their names, which are case-sensitive and have no
// blanks. They are not to be changed once a socket has them.
type Commands map[string]Command
