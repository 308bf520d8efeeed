package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/internal/wake"
)

// A pipe reads what cannot seek: standard input and FIFOs. mu is held through
// Read, so that Close cannot pull the descriptor from under it.
type pipe struct {
	name   string
	again  func() (int, error) // opens it anew at its end; nil: its end is the end
	wake   *wake.Waker
	once   sync.Once
	closed error // of Close

	mu sync.Mutex
	fd int // -1 once closed
}

// newPipe returns a reader of fd, which it owns from now on.
func newPipe(name string, fd int, again func() (int, error)) (*pipe, error) {
	w, err := wake.New()
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	widen(fd)
	return &pipe{name: name, again: again, wake: w, fd: fd}, nil
}

// pipeBytes is how much the kernel may hold between writer and reader: enough
// that neither of a busy pair waits for the other at every turn.
const pipeBytes = 256 << 10

// widen makes a pipe hold pipeBytes. What is no pipe, and a user who has used up
// the kernel's allowance, stay as they are.
func widen(fd int) {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil && n < pipeBytes {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeBytes)
	}
}

// Read waits for bytes. Its Marks are empty.
func (r *pipe) Read(p []byte) (int, hal.Mark, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fd < 0 {
		return 0, hal.Mark{}, fmt.Errorf("read %s: %w", r.name, os.ErrClosed)
	}
	if len(p) == 0 { // a read of nothing looks like the end
		return 0, hal.Mark{}, nil
	}
	n, err := r.read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read %s: %w", r.name, err)
	}
	return n, hal.Mark{}, err
}

func (r *pipe) read(p []byte) (int, error) {
	for {
		if err := r.wake.Wait(r.fd); err != nil {
			return 0, err
		}
		n, err := unix.Read(r.fd, p)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN: // another process may share standard input
			continue
		case err != nil:
			return 0, err
		case n > 0:
			return n, nil
		case r.again == nil:
			return 0, io.EOF
		}
		if err := r.reopen(); err != nil {
			return 0, err
		}
	}
}

// reopen waits for the next writer on a descriptor that has seen none leave:
// the old one would report its end for ever. The new one is open before the old
// is closed, so that at no moment a writer finds no reader and what it has
// written is thrown away.
func (r *pipe) reopen() error {
	fd, err := r.again()
	if err != nil {
		return err
	}
	widen(fd)
	old := r.fd
	r.fd = fd
	return unix.Close(old)
}

// Close ends a Read that waits, which then returns os.ErrClosed.
func (r *pipe) Close() error {
	r.once.Do(func() {
		r.wake.Wake()
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := errors.Join(unix.Close(r.fd), r.wake.Close()); err != nil {
			r.closed = fmt.Errorf("close %s: %w", r.name, err)
		}
		r.fd = -1
	})
	return r.closed
}
