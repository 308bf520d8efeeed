package haltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/hal"
)

// A Script is a hal.Source that plays its Steps. Behind the last step it is
// silent, as a quiet line is, until its Reader is closed. The fields must not
// change once it is open; the methods may be called from any goroutine.
type Script struct {
	Label   string // what Name returns; "script" if empty
	CanWait bool   // what Waits returns
	// Seeks makes it a file: Marks carry Positions, and Open goes on behind the
	// one that it is given. Steps without bytes are still played only once.
	Seeks bool
	Steps []Step

	mu       sync.Mutex
	open     *reader
	next     int   // index of the step to play
	off      int   // bytes of it that were read
	at       int64 // bytes of all steps before it
	reached  int   // steps before this one were played
	lost     int64 // of a Lost step, for the next bytes
	finished chan struct{}
	resumed  []hal.Position
	wrong    []string
}

// A Step is one thing that a peripheral does. Make it with Bytes, Pause, Lost,
// Unplug, Absent or EOF.
type Step struct {
	what  string
	bytes string
	pause time.Duration
	lost  int64
	err   error
}

// Bytes are what the peripheral sends. Each Read returns bytes of one step.
func Bytes(s string) Step { return Step{what: fmt.Sprintf("bytes %.40q", s), bytes: s} }

// Pause is silence for d.
func Pause(d time.Duration) Step { return Step{what: fmt.Sprint("pause ", d), pause: d} }

// Lost says that n bytes, or hal.LostUnknown, are missing here. It comes with
// the bytes that follow, or by itself if none do.
func Lost(n int64) Step { return Step{what: fmt.Sprint("lost ", n), lost: n} }

// Unplug ends the Reader with err; what follows is for the next one.
func Unplug(err error) Step { return Step{what: fmt.Sprint("unplug: ", err), err: err} }

// Absent makes one Open fail with err.
func Absent(err error) Step { return Step{what: fmt.Sprint("absent: ", err), err: absent{err}} }

// EOF ends the source for good.
func EOF() Step { return Step{what: "EOF", err: io.EOF} }

// absent marks the error of an Open.
type absent struct{ error }

// Name returns Label.
func (s *Script) Name() string {
	if s.Label == "" {
		return "script"
	}
	return s.Label
}

// Waits returns CanWait.
func (s *Script) Waits() bool { return s.CanWait }

// Open returns a Reader of the steps to come, or the error of an Absent step.
func (s *Script) Open(ctx context.Context, resume hal.Position) (hal.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumed = append(s.resumed, resume)
	if s.open != nil {
		s.wrong = append(s.wrong, "Open while a Reader is open")
		return nil, fmt.Errorf("open %s: a Reader is open", s.Name())
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Name(), err)
	}
	if s.Seeks {
		s.seek(resume)
	}
	if s.next < len(s.Steps) {
		if err, ok := s.Steps[s.next].err.(absent); ok {
			s.step()
			return nil, fmt.Errorf("open %s: %w", s.Name(), err.error)
		}
	}
	s.open = &reader{s: s, done: make(chan struct{})}
	return s.open, nil
}

// seek goes to the byte behind p, or to the first.
func (s *Script) seek(p hal.Position) {
	s.next, s.off, s.at = 0, 0, 0
	for s.next < len(s.Steps) {
		left := p.Offset - s.at
		if n := int64(len(s.Steps[s.next].bytes)); n > left {
			s.off = int(max(left, 0))
			return
		} else if n == 0 && s.next >= s.reached {
			return
		}
		s.step()
	}
}

// step goes to the next step.
func (s *Script) step() {
	s.at += int64(len(s.Steps[s.next].bytes))
	s.next++
	s.off = 0
	s.reached = max(s.reached, s.next)
	s.check()
}

// check closes Finished when the last step has been played.
func (s *Script) check() {
	if s.finished == nil {
		s.finished = make(chan struct{})
	}
	if s.reached < len(s.Steps) {
		return
	}
	select {
	case <-s.finished:
	default:
		close(s.finished)
	}
}

// Finished returns a channel that is closed when the last step has been played.
func (s *Script) Finished() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	return s.finished
}

// Resumed returns what each Open so far was told to go on behind.
func (s *Script) Resumed() []hal.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]hal.Position(nil), s.resumed...)
}

// Done fails the test if a step was not played, a Reader is still open, or the
// contract of hal.Source was broken. Call it when all has stopped.
func (s *Script) Done(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.wrong {
		t.Errorf("%s: %s", s.Name(), w)
	}
	if s.open != nil {
		t.Errorf("%s: a Reader was left open", s.Name())
	}
	if s.reached < len(s.Steps) {
		t.Errorf("%s: step %d of %d was not read to its end: %s", s.Name(), s.reached+1, len(s.Steps), s.Steps[s.reached].what)
	}
}

// A reader plays steps until one ends it.
type reader struct {
	s    *Script
	done chan struct{} // closed by Close
	busy bool          // a Read is going on
	over error         // what Read returned last, if that was its end
}

// Read plays steps up to one that has something to tell.
func (r *reader) Read(p []byte) (int, hal.Mark, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.busy {
		s.wrong = append(s.wrong, "Read while another Read is going on")
	}
	if r.over != nil {
		s.wrong = append(s.wrong, "Read after an error")
		return 0, hal.Mark{}, r.over
	}
	r.busy = true
	defer func() { r.busy = false }()
	for {
		switch {
		case r.isClosed():
			return 0, hal.Mark{}, fmt.Errorf("read %s: %w", s.Name(), os.ErrClosed)
		case s.next == len(s.Steps):
			if s.lost != 0 {
				return 0, s.mark(), nil
			}
			r.wait(nil)
			continue
		}
		step := s.Steps[s.next]
		switch {
		case s.next < s.reached && step.bytes == "": // played before a seek
			s.step()
		case step.pause > 0:
			t := time.NewTimer(step.pause)
			if r.wait(t.C) {
				s.step()
			}
			t.Stop()
		case step.lost != 0:
			if s.lost != 0 {
				return 0, s.mark(), nil
			}
			s.lost = step.lost
			s.step()
		case step.err != nil:
			if s.lost != 0 {
				return 0, s.mark(), nil
			}
			if _, ok := step.err.(absent); ok { // for the Open after this Reader
				r.wait(nil)
				continue
			}
			s.step()
			r.over = step.err
			if errors.Is(step.err, io.EOF) {
				return 0, hal.Mark{}, io.EOF
			}
			return 0, hal.Mark{}, fmt.Errorf("read %s: %w", s.Name(), step.err)
		case s.off == len(step.bytes):
			s.step()
		case len(p) == 0:
			return 0, hal.Mark{}, nil
		default:
			n := copy(p, step.bytes[s.off:])
			s.off += n
			m := s.mark()
			if s.off == len(step.bytes) {
				s.step()
			}
			return n, m, nil
		}
	}
}

// mark returns the Mark of bytes that end here.
func (s *Script) mark() hal.Mark {
	m := hal.Mark{Lost: s.lost}
	s.lost = 0
	if s.Seeks {
		m.Position = hal.Position{ID: 1, Offset: s.at + int64(s.off)}
	}
	return m
}

// wait lets others in until c or Close, and reports whether it was c.
func (r *reader) wait(c <-chan time.Time) bool {
	r.s.mu.Unlock()
	defer r.s.mu.Lock()
	select {
	case <-c:
		return true
	case <-r.done:
		return false
	}
}

func (r *reader) isClosed() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Close ends a Read that waits.
func (r *reader) Close() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.isClosed() {
		close(r.done)
		r.s.open = nil
	}
	return nil
}
