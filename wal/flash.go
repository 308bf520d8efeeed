package wal

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A flashReader reads a file as flash has it. The page cache may hold more: after
// a sync that failed its bytes can be read, look clean, and are not on flash (A5).
// A run that was killed then tells the next one nothing of it, which would call
// them kept. So what start-up goes on behind is read past the cache (A8), and
// nothing has to be written again to be sure of it.
//
// What was written and never synced is found too: the kernel writes it before
// such a read. The sync that makes it last is the caller's.
type flashReader struct {
	f      *os.File
	window []byte // aligned, as O_DIRECT wants it
	at     int64  // of the window in the file
	have   int    // bytes of it that were read
	end    bool   // and there are no more
}

const flashWindow = 128 << 10

// openFlash opens path, which no other process writes to.
func openFlash(path string) (*flashReader, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) { // not to be had here
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	window, err := unix.Mmap(-1, 0, flashWindow, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &flashReader{f: f, window: window}
	r.forget()
	return r, nil
}

// forget makes the next read ask flash again. Clean pages leave the cache: there
// are file systems that take O_DIRECT and read through the cache all the same.
func (r *flashReader) forget() {
	forget(r.f)
	r.have, r.end = 0, false
}

// askAgain makes the next read of f ask flash.
func askAgain(f io.ReaderAt) {
	switch f := f.(type) {
	case *os.File:
		forget(f)
	case *flashReader:
		f.forget()
	}
}

// forget lets go of the clean pages of f. It is advice: nothing depends on it
// where O_DIRECT is to be had.
func forget(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// ReadAt implements io.ReaderAt.
func (r *flashReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at < r.at || at >= r.at+int64(r.have) {
			if r.end && at >= r.at+int64(r.have) {
				return n, io.EOF
			}
			if err := r.fill(at); err != nil {
				return n, err
			}
			continue
		}
		n += copy(p[n:], r.window[at-r.at:r.have])
	}
	return n, nil
}

// fill reads a window that begins with the block of off.
func (r *flashReader) fill(off int64) error {
	r.at = off / blockSize * blockSize
	err := r.read(len(r.window))
	if err != nil { // of a bad block beside it
		err = r.read(blockSize)
	}
	return err
}

func (r *flashReader) read(size int) error {
	for r.have, r.end = 0, false; r.have < size && !r.end; {
		n, err := unix.Pread(int(r.f.Fd()), r.window[r.have:size], r.at+int64(r.have))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL && r.buffered(): // blocks of another size, or none
			continue
		case err != nil:
			r.have = 0
			return &os.PathError{Op: "read", Path: r.f.Name(), Err: err}
		}
		r.have += n
		r.end = n == 0 || n%blockSize != 0 // a direct read stops short at the end alone
	}
	return nil
}

// buffered gives O_DIRECT up, and says whether it was there.
func (r *flashReader) buffered() bool {
	flags, err := unix.FcntlInt(r.f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		return false
	}
	_, err = unix.FcntlInt(r.f.Fd(), unix.F_SETFL, flags&^unix.O_DIRECT)
	return err == nil
}

// Name is the path that was opened.
func (r *flashReader) Name() string { return r.f.Name() }

// Close lets go of the file.
func (r *flashReader) Close() error {
	return errors.Join(unix.Munmap(r.window), r.f.Close())
}
