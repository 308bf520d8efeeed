package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/hal"
)

const (
	poll   = 250 * time.Millisecond // Source.poll
	linger = 8                      // looks that a file whose path is taken must have nothing new
)

// A regular reads a regular file, and its successors if it is followed. mu
// guards all of it and is held through Read.
type regular struct {
	source *Source
	done   chan struct{} // closed by Close, ends a wait
	once   sync.Once
	closed error // of Close

	mu   sync.Mutex
	f    *os.File // nil once closed
	pos  hal.Position
	lost int64 // what the next Mark reports
	idle int   // looks without news since the path names another file
}

// openRegular finds the file that resume speaks of, or the one to begin with.
func (s *Source) openRegular(resume hal.Position) (hal.Reader, error) {
	f, err := openFile(s.cfg.Path)
	r := &regular{source: s, done: make(chan struct{}), f: f}
	switch {
	case resume.IsZero():
		return r.begun(err)
	case err == nil && is(f, resume.ID):
		r.pos = resume
		if resume.Offset < 0 || size(f) < resume.Offset {
			r.rewind()
		}
		return r, nil
	case s.cfg.Follow:
		if old := s.find(resume); old != nil {
			r.f, r.pos = old, resume
			if err == nil {
				err = f.Close()
			} else {
				err = nil // there is the old one to finish; the next may come in the meantime
			}
			return r.begun(err)
		}
	}
	r.rewind()
	return r.begun(err)
}

// begun returns r, or err and no reader.
func (r *regular) begun(err error) (hal.Reader, error) {
	if err == nil {
		return r, nil
	}
	if r.f != nil {
		err = errors.Join(err, r.f.Close())
	}
	return nil, err
}

// rewind goes to the beginning of the file. What was not read of what was
// there before is lost.
func (r *regular) rewind() { r.pos, r.lost = hal.Position{}, hal.LostUnknown }

// Read returns bytes of one file, with the Position behind them.
func (r *regular) Read(p []byte) (int, hal.Mark, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return 0, hal.Mark{}, r.fail(os.ErrClosed)
	}
	if len(p) == 0 { // a read of nothing looks like the end
		return 0, hal.Mark{}, nil
	}
	for {
		select {
		case <-r.done:
			return 0, hal.Mark{}, r.fail(os.ErrClosed)
		default:
		}
		n, err := r.f.ReadAt(p, r.pos.Offset)
		switch {
		case n > 0:
			m, err := r.mark(p[:n])
			if err != nil {
				return 0, hal.Mark{}, r.fail(err)
			}
			return n, m, nil
		case err != io.EOF:
			return 0, hal.Mark{}, r.fail(err)
		case !r.source.cfg.Follow:
			return 0, hal.Mark{}, io.EOF
		}
		if err := r.atEnd(); err != nil {
			return 0, hal.Mark{}, r.fail(err)
		}
	}
}

// mark moves the position behind b, just read there, and describes b. An error
// moves nothing, so that the bytes come again with the next try.
func (r *regular) mark(b []byte) (hal.Mark, error) {
	if r.pos.ID == 0 { // begun at its beginning, so b begins it
		id, err := identify(r.f, b)
		if err != nil {
			return hal.Mark{}, err
		}
		r.pos.ID = id
	}
	r.pos.Offset += int64(len(b))
	m := hal.Mark{Position: r.pos, Lost: r.lost}
	r.lost, r.idle = 0, 0
	return m, nil
}

// atEnd decides what follows the end of a followed file: more of it after a
// wait, its beginning, or its successor.
func (r *regular) atEnd() error {
	have, err := r.f.Stat()
	if err != nil {
		return err
	}
	if have.Size() < r.pos.Offset {
		r.rewind()
		return nil
	}
	named, err := os.Stat(r.source.cfg.Path)
	if err != nil || os.SameFile(have, named) {
		// Renamed or deleted and nothing there yet: its writer may write on.
		r.idle = 0
		r.wait()
		return nil
	}
	if r.idle < linger {
		r.idle++
		r.wait()
		return nil
	}
	next, err := r.source.successor(have, named)
	if err != nil {
		return err
	}
	old := r.f
	r.f, r.pos, r.idle = next, hal.Position{}, 0
	return old.Close()
}

// wait passes the time to the next look, or to Close.
func (r *regular) wait() {
	t := time.NewTimer(r.source.poll)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.done:
	}
}

func (r *regular) fail(err error) error { return fmt.Errorf("read %s: %w", r.source.Name(), err) }

// Close ends a Read that waits, which then returns os.ErrClosed.
func (r *regular) Close() error {
	r.once.Do(func() {
		close(r.done)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.f.Close(); err != nil {
			r.closed = fmt.Errorf("close %s: %w", r.source.Name(), err)
		}
		r.f = nil
	})
	return r.closed
}

// size returns the size of f in bytes, 0 if it cannot be told.
func size(f *os.File) int64 {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}
