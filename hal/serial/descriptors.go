package serial

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// maxSelect is FD_SETSIZE: the library waits with select, which panics in a
// Read on a descriptor beyond it.
const maxSelect = 1024

// opening keeps two openings from taking each other's descriptors for their own.
var opening sync.Mutex

// openLibrary opens the port once more through the library, and makes its three
// descriptors (the port, both ends of a pipe) close-on-exec, which the library
// does not: a child process that inherits them would keep the port open and
// locked. The library does not tell their numbers; they are those that appear
// and would be inherited. own is our descriptor of the same device.
func openLibrary(path string, own int, mode *serial.Mode) (serial.Port, error) {
	var dev unix.Stat_t
	if err := unix.Fstat(own, &dev); err != nil {
		return nil, fmt.Errorf("look at the device: %w", err)
	}
	opening.Lock()
	defer opening.Unlock()
	// No child is started before the descriptors are marked. The opening
	// itself does not wait for a carrier.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	before := inheritable()
	lib, err := serial.Open(path, mode)
	if err != nil {
		return nil, err
	}
	var ports, pipes int
	for fd := range inheritable() {
		var st unix.Stat_t
		if before[fd] || unix.Fstat(fd, &st) != nil {
			continue
		}
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == dev.Rdev:
			ports++
		case st.Mode&unix.S_IFMT == unix.S_IFIFO:
			pipes++
		default:
			continue
		}
		unix.CloseOnExec(fd)
	}
	// Those that were not found have numbers beyond maxSelect, or are of
	// another device that has taken the path in between.
	if ports < 1 || pipes < 2 {
		return nil, errors.Join(fmt.Errorf("the port has changed, or this process has %d files open, too many to wait for one more; it is tried again", maxSelect), lib.Close())
	}
	return lib, nil
}

// inheritable returns the descriptors below maxSelect that a child process
// would inherit.
func inheritable() map[int]bool {
	fds := make(map[int]bool)
	for fd := range maxSelect {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds[fd] = true
		}
	}
	return fds
}
