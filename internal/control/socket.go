package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
)

const (
	// acceptPause is how long to wait after a failed accept: the cause, most often a lack of
	// descriptors, will not go away at once, and the waiting clients are safe in the backlog.
	acceptPause = 100 * time.Millisecond
	// logPeriod is the shortest time between two messages about failed accepts.
	logPeriod = 10 * time.Second
	// clientLines and clientPeriod bound what clients that come and go can have logged.
	clientLines  = 20
	clientPeriod = 10 * time.Second
	// maxClients are served at a time; one more takes the place of the one that has been silent
	// for longest.
	maxClients = 64
	// commandPeriod is the shortest time between two commands of a client when it sends many.
	commandPeriod = 10 * time.Millisecond
	// closeTimeout is how long Close waits for a command that hangs, as on a dead file system:
	// the shutdown has records to save.
	closeTimeout = time.Second
)

// Socket is a listening control socket. Use Listen.
type Socket struct {
	path     string
	file     os.FileInfo // what Listen created at the path
	listener net.Listener
	commands Commands
	log      *zap.Logger
	failing  *logging.Limited // accept errors
	coming   *logging.Limited // clients
	going    *logging.Limited

	running sync.WaitGroup // the accepting goroutine and one a client

	mu      sync.Mutex
	closed  bool
	clients map[net.Conn]time.Time // when they were heard of last
}

// Listen creates the socket file, at most 107 bytes of path, and listens with a backlog of
// 32. The mode of the file is 0775 whatever the umask, or mode if that is not 0. A file that
// a dead process left there is removed, with a warning. It is an error, which is also logged,
// if another process serves the path, if something else than a socket is there, or if the
// file can't be created. Clients are not answered until Serve is called.
//
// The logger is ocean.net.server.unixsocket, its messages are those of operations spec §7.5.
func Listen(path string, mode uint32, commands Commands, log *zap.Logger) (*Socket, error) {
	log = log.With(zap.String("path", path))
	listener, file, err := listen(path, mode, log)
	if err != nil {
		log.Error("cannot bind or listen", zap.Error(err))
		return nil, fmt.Errorf("UNIX socket %s: %w", path, err)
	}
	return &Socket{
		path:     path,
		file:     file,
		listener: listener,
		commands: commands,
		log:      log,
		failing:  logging.NewLimited(log, logPeriod),
		coming:   logging.NewLimitedTo(clientLines, log, clientPeriod),
		going:    logging.NewLimitedTo(clientLines, log, clientPeriod),
		clients:  make(map[net.Conn]time.Time),
	}, nil
}

// Serve starts answering clients, those in the backlog too, and returns. It is to be called
// once, before Close, when the node is ready: the original's last start-up message is here.
func (s *Socket) Serve() {
	s.log.Info("listening")
	s.running.Go(s.accept)
}

// Close deletes the socket file, if the path is still that of the file Listen created, and
// ends all connections. When it returns no command is running, but for one that took longer
// than a second; a command must not call it. Whatever goes wrong is logged. Closing again
// does nothing.
func (s *Socket) Close() {
	if !s.close() {
		return
	}
	// The file comes first: its inode number can't be another file's while the socket lives.
	s.deleteFile()
	s.listener.Close()
	s.wait()
}

// close ends what clients wait for; false if that was done before.
func (s *Socket) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.closed = true
	for client := range s.clients {
		client.Close()
	}
	return true
}

func (s *Socket) deleteFile() {
	if err := removeSame(s.path, s.file); err != nil {
		s.log.Error("socket file could not be deleted", zap.Error(err))
		return
	}
	s.log.Info("socket file deleted")
}

func (s *Socket) wait() {
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTimeout):
		s.log.Error("a control command does not end, going on without it")
	}
}

func (s *Socket) accept() {
	for {
		client, err := s.listener.Accept()
		switch {
		case err == nil:
			s.running.Go(func() { s.serve(client) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.pause(err)
		}
	}
}

func (s *Socket) pause(cause error) {
	s.failing.Log(zapcore.ErrorLevel, "cannot accept control clients, trying again",
		zap.Duration("every", acceptPause), zap.Error(cause))
	time.Sleep(acceptPause)
}

// serve answers a client to the end of its connection.
func (s *Socket) serve(client net.Conn) {
	defer client.Close()
	if !s.enter(client) {
		return
	}
	defer s.leave(client)
	s.coming.Log(zapcore.InfoLevel, "control client connected")
	s.answer(heard{client, s})
	s.going.Log(zapcore.InfoLevel, "control client disconnected")
}

// enter makes Close end this connection too; false if that is due now.
func (s *Socket) enter(client net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.clients) >= maxClients {
		s.dropSilent()
	}
	s.clients[client] = time.Now()
	return true
}

// dropSilent ends the connection of the client that has been silent for longest (s.mu is held).
func (s *Socket) dropSilent() {
	var silent net.Conn
	for client, last := range s.clients {
		if silent == nil || last.Before(s.clients[silent]) {
			silent = client
		}
	}
	silent.Close()
	delete(s.clients, silent)
}

// heard is the connection of a client, and notes when it says something.
type heard struct {
	net.Conn
	by *Socket
}

func (h heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.by.mu.Lock()
	defer h.by.mu.Unlock()
	if _, served := h.by.clients[h.Conn]; served {
		h.by.clients[h.Conn] = time.Now()
	}
	return n, err
}

func (s *Socket) leave(client net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, client)
}
