// Package wake waits for a file descriptor to become readable, in a way that
// another goroutine can end. It exists because a read that sits in the kernel
// cannot be called back: so readers wait here, and read only when there is
// something. It must never close or read the descriptor that it waits for.
package wake

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Waker ends waits. One goroutine at a time may Wait.
type Waker struct {
	fd int // an eventfd; readable for ever once Wake was called
}

// New returns a Waker, which holds one descriptor until Close.
func New() (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make eventfd: %w", err)
	}
	return &Waker{fd}, nil
}

// Wait returns nil when a read of fd would not block: there are bytes, the end,
// or an error. It returns os.ErrClosed once Wake has been called.
func (w *Waker) Wait(fd int) error {
	fds := [2]unix.PollFd{
		{Fd: int32(fd), Events: unix.POLLIN},
		{Fd: int32(w.fd), Events: unix.POLLIN},
	}
	for {
		switch _, err := unix.Poll(fds[:], -1); {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case fds[1].Revents != 0:
			return os.ErrClosed
		case fds[0].Revents&unix.POLLNVAL != 0:
			return fmt.Errorf("poll: %w", unix.EBADF)
		}
		return nil
	}
}

// Wake ends the Wait now going on and all that come. It never blocks; any
// goroutine may call it, as often as it likes, before Close.
func (w *Waker) Wake() {
	// The only failure of a write of 1 to an open eventfd is that its counter
	// is full, and then it is readable, which is all that is wanted.
	_, _ = unix.Write(w.fd, []byte{0, 0, 0, 0, 0, 0, 0, 1})
}

// Close releases the descriptor. No Wait may be going on.
func (w *Waker) Close() error { return unix.Close(w.fd) }
