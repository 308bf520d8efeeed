package serial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// readTimeout bounds one Read of the library. Reads are begun only when there
// is something to read, so it passes only if the bytes went elsewhere.
const readTimeout = 100 * time.Millisecond

// A port is one opened device. The library's descriptor reads; our own holds
// the lock, sets and asks what the library cannot, and is waited on.
type port struct {
	fd  int
	lib serial.Port
	cfg Config
}

// openPort opens, locks and sets the device that cfg.Port now leads to. Its
// errors name no path but say what to do.
func openPort(cfg Config) (_ *port, err error) {
	// Resolved once for both descriptors, and again at each opening: behind
	// /dev/serial/by-id there may by now be another ttyUSB.
	path, err := filepath.EvalSymlinks(cfg.Port)
	if err != nil {
		return nil, hint(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, hint(err)
	}
	switch mode := st.Mode(); {
	case mode.IsRegular():
		return nil, errors.New("this is a regular file, not a serial port; read it with a source of type file")
	case mode&fs.ModeNamedPipe != 0:
		return nil, errors.New("this is a FIFO, not a serial port; read it with a source of type fifo")
	case mode&fs.ModeCharDevice == 0:
		return nil, errors.New("this is not a character device; give the path of a serial port, such as /dev/ttyUSB0")
	}
	fd, err := openOwn(path)
	if err != nil {
		return nil, hint(err)
	}
	p := &port{fd: fd, cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	// The library marks the port exclusive, which root and whoever has it open
	// already are not bound by; the lock holds among all who ask for it.
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, hint(err)
	}
	before, err := getTermios(fd)
	if err != nil {
		return nil, fmt.Errorf("this device has no line settings, so it is no serial port (or nothing is wired to it): %w", err)
	}
	if p.lib, err = openLibrary(path, fd, cfg.mode()); err != nil {
		return nil, hint(err)
	}
	if err := p.set(before); err != nil {
		return nil, err
	}
	return p, nil
}

// openOwn opens the device without waiting for a carrier and without becoming
// its session's terminal.
func openOwn(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// set completes the settings, proves them, and throws away what came in under
// settings that may have altered it. before is how the port was found.
func (p *port) set(before *unix.Termios) error {
	t, err := getTermios(p.fd)
	if err != nil {
		return fmt.Errorf("get line settings: %w", err)
	}
	p.cfg.shape(t)
	if err := setTermios(p.fd, t); err != nil {
		return fmt.Errorf("set line settings: %w", err)
	}
	if t, err = getTermios(p.fd); err != nil {
		return fmt.Errorf("read line settings back: %w", err)
	}
	if err := p.cfg.accepted(t); err != nil {
		return err
	}
	// What waits in a pseudo-terminal was written by a program, at no line speed
	// and before anyone could have read it: throwing it away would be the loss.
	if p.cfg.altering(before) && !pseudo(p.fd) {
		if err := unix.IoctlSetInt(p.fd, unix.TCFLSH, unix.TCIFLUSH); err != nil {
			return fmt.Errorf("flush input: %w", err)
		}
	}
	if err := p.lib.SetReadTimeout(readTimeout); err != nil {
		return fmt.Errorf("set read timeout: %w", err)
	}
	return nil
}

// pseudo says whether fd is a pseudo-terminal: on Linux, majors 136 to 143.
func pseudo(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && unix.Major(uint64(st.Rdev)) >= 136 && unix.Major(uint64(st.Rdev)) <= 143
}

func (p *port) close() error {
	var err error
	if p.lib != nil {
		err = p.lib.Close()
	}
	return errors.Join(err, unix.Close(p.fd))
}

// hint adds to the errors of opening what the operator can do about them.
func hint(err error) error {
	var lib *serial.PortError
	busy := errors.As(err, &lib) && lib.Code() == serial.PortBusy
	denied := errors.As(err, &lib) && lib.Code() == serial.PermissionDenied
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w; waiting for the device to be plugged in", err)
	case busy, errors.Is(err, unix.EBUSY), errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%w: another program reads this port; find it with fuser", err)
	case denied, errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; add the user to the group that owns the device, often dialout", err)
	}
	return err
}
