package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Name is the socket's file name.
const Name = "control.sock"

// maxPath is what the kernel takes as the path of a socket, in bytes.
const maxPath = 107

// SocketPath returns where the daemon on stateDir listens: in
// $RUNTIME_DIRECTORY, which systemd sets, else in the state folder. A path that
// the kernel cannot take is an error.
func SocketPath(stateDir string) (string, error) {
	path := filepath.Join(stateDir, Name)
	if runtime, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); runtime != "" {
		path = filepath.Join(runtime, Name)
	}
	if len(path) > maxPath {
		return "", fmt.Errorf("control socket %s: the path has %d bytes, the kernel takes %d; shorten state_dir or set RUNTIME_DIRECTORY",
			path, len(path), maxPath)
	}
	return path, nil
}

// listen makes the socket of the daemon that holds stateDir; a stale one is
// replaced, one that answers is not. If the socket lies elsewhere, a link in
// the state folder leads there, so that clients need to know the state folder only.
func listen(stateDir string) (net.Listener, error) {
	path, err := SocketPath(stateDir)
	if err != nil {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		return nil, errors.Join(fmt.Errorf("control socket %s: another process answers on it; give this dray its own RUNTIME_DIRECTORY", path), c.Close())
	}
	link := filepath.Join(stateDir, Name)
	for _, old := range []string{path, link} {
		if err := removeSocket(old); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	// The mode of the descriptor before bind becomes that of the file: there
	// is no moment at which others could connect, whatever the umask.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var mode error
		err := raw.Control(func(fd uintptr) { mode = syscall.Fchmod(int(fd), 0o600) })
		return errors.Join(err, mode)
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if link != path {
		if err := os.Symlink(path, link); err != nil {
			return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
		}
	}
	return l, nil
}

// removeSocket removes a stale socket, or link to one, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type()&^(fs.ModeSocket|fs.ModeSymlink) != 0 || info.Mode().IsRegular() {
		return fmt.Errorf("%s is in the way and no socket; move it away", path)
	}
	return os.Remove(path)
}

// bounded is a listener with at most cap(slots) connections open.
type bounded struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	close sync.Once
}

func newBounded(l net.Listener, most int) *bounded {
	return &bounded{Listener: l, slots: make(chan struct{}, most), done: make(chan struct{})}
}

// Accept waits until fewer than the most connections are open.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, release: sync.OnceFunc(func() { <-b.slots })}, nil
}

// Close ends Accept.
func (b *bounded) Close() error {
	b.close.Do(func() { close(b.done) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	release func()
}

// Close closes the connection and makes room for another.
func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
