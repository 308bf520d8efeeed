package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/hal"
)

// Config says what to read.
type Config struct {
	Type   string // "stdin", "fifo" or "file"
	Path   string // absolute path; empty for stdin
	Follow bool   // file: go on as it grows and is rotated, instead of ending at its end
}

func (c Config) check() error {
	switch c.Type {
	case "stdin":
		if c.Path != "" {
			return errors.New("stdin has no path; use type file or fifo to read a path")
		}
	case "fifo", "file":
		if c.Path == "" {
			return fmt.Errorf("type %s needs a path", c.Type)
		}
		if !filepath.IsAbs(c.Path) {
			return fmt.Errorf("path %q is not absolute", c.Path)
		}
	default:
		return fmt.Errorf("type is %q; use stdin, fifo or file", c.Type)
	}
	if c.Follow && c.Type != "file" {
		return fmt.Errorf("follow is only for type file; %s goes on by itself", c.Type)
	}
	return nil
}

// A Source is a file. It is a hal.Source; see New.
type Source struct {
	cfg   Config
	stdin int           // the descriptor that is standard input
	poll  time.Duration // between two looks at a file that has nothing new
}

// New returns the file that cfg describes. It opens nothing: a file that is
// not there is an error of Open.
func New(cfg Config) (*Source, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("file source: %w", err)
	}
	if cfg.Path != "" {
		cfg.Path = filepath.Clean(cfg.Path)
	}
	return &Source{cfg: cfg, poll: poll}, nil
}

// Name returns "stdin", or "fifo" or "file" and the path.
func (s *Source) Name() string {
	if s.cfg.Type == "stdin" {
		return "stdin"
	}
	return s.cfg.Type + " " + s.cfg.Path
}

// Waits returns true: a pipe makes its writer wait, a file stays where it is.
func (s *Source) Waits() bool { return true }

// Open starts reading and never waits. Regular files go on behind resume. If the file
// that resume speaks of is not to be found, or has become shorter, reading
// starts with the first byte of the file now under the path, and the first Mark
// has Lost set to hal.LostUnknown.
func (s *Source) Open(ctx context.Context, resume hal.Position) (hal.Reader, error) {
	r, err := s.open(ctx, resume)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Name(), err)
	}
	return r, nil
}

func (s *Source) open(ctx context.Context, resume hal.Position) (hal.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch s.cfg.Type {
	case "stdin":
		// A descriptor of our own, so that Close closes that and no other.
		fd, err := unix.FcntlInt(uintptr(s.stdin), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("%w; is standard input closed?", err)
		}
		return newPipe(s.Name(), fd, nil)
	case "fifo":
		fd, err := openFIFO(s.cfg.Path)
		if err != nil {
			return nil, err
		}
		return newPipe(s.Name(), fd, func() (int, error) { return openFIFO(s.cfg.Path) })
	default:
		return s.openRegular(resume)
	}
}

// openFIFO opens the reading end without waiting for a writer.
func openFIFO(path string) (int, error) {
	st, err := os.Stat(path)
	if err != nil {
		return -1, waiting(err, "; waiting for it to be made (mkfifo)")
	}
	if st.Mode()&fs.ModeNamedPipe == 0 {
		return -1, errors.New("this is not a FIFO; use type file for a regular file, serial for a port")
	}
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
			continue
		}
		return -1, waiting(err, "")
	}
}

// openFile opens a regular file, and nothing else.
func openFile(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, waiting(err, "; waiting for it to appear")
	}
	switch mode := st.Mode(); {
	case mode.IsDir():
		return nil, errors.New("this is a folder; give the path of a file in it")
	case mode&fs.ModeNamedPipe != 0:
		return nil, errors.New("this is a FIFO; use type fifo")
	case !mode.IsRegular():
		return nil, errors.New("this is not a regular file; use type serial for a port")
	}
	// O_NONBLOCK: should a FIFO have taken the name by now, do not wait in it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, waiting(err, "; waiting for it to appear")
	}
	return f, nil
}

// waiting adds to the errors of opening what is waited for, or can be done.
func waiting(err error, absent string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w%s", err, absent)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; let the user that dray runs as read it", err)
	}
	return err
}
