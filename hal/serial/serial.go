package serial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"go.bug.st/serial"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/internal/wake"
)

// A Source is a serial port. It is a hal.Source; see New.
type Source struct {
	cfg Config
	// heard: some Reader has returned bytes. What the device sends while none
	// is open is lost, and how much that is nobody knows.
	heard atomic.Bool
}

// New returns the port that cfg describes. It opens nothing: a device that is
// not there is an error of Open.
func New(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("serial: %w", err)
	}
	return &Source{cfg: cfg}, nil
}

// Name returns "serial" and the port's path as configured.
func (s *Source) Name() string { return "serial " + s.cfg.Port }

// Waits returns false, with flow control too: a device that is told to wait has
// buffers that run over out of our sight.
func (s *Source) Waits() bool { return false }

// Open opens, locks and sets the port, and proves the settings; resume is
// ignored. A second Reader of one device is refused, whichever program asks.
// If an earlier Reader of s returned bytes, the first Mark of this one has
// Lost set to hal.LostUnknown. ctx is looked at once; opening a port is quick.
func (s *Source) Open(ctx context.Context, _ hal.Position) (hal.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Name(), err)
	}
	p, err := openPort(s.cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Name(), err)
	}
	w, err := wake.New()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.Name(), errors.Join(err, p.close()))
	}
	r := &reader{source: s, port: p, wake: w, missed: s.heard.Load()}
	// A driver that has no counters says so here, once.
	if r.counted, err = readCounters(p.fd); err == nil {
		r.counts = true
	}
	return r, nil
}

// A reader is one opening of the port. mu guards all of it and is held through
// Read, so that Close cannot pull a descriptor from under a Read (which might
// then read another file, opened under the same number).
type reader struct {
	source *Source
	wake   *wake.Waker
	once   sync.Once
	closed error // of Close

	mu      sync.Mutex
	port    *port // nil once closed
	missed  bool  // the next Mark reports an unknown loss
	counts  bool  // the driver has counters
	counted counters
}

// Read waits for bytes. A loss that the driver counted is reported with the
// bytes that were read when it was noticed; its place is only as exact as that.
func (r *reader) Read(p []byte) (int, hal.Mark, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.port == nil {
		return 0, hal.Mark{}, r.fail(os.ErrClosed)
	}
	if len(p) == 0 { // the library takes a read of nothing for a hang-up
		return 0, hal.Mark{}, nil
	}
	for {
		if err := r.wake.Wait(r.port.fd); err != nil {
			return 0, hal.Mark{}, r.fail(err)
		}
		n, err := r.port.lib.Read(p)
		if n == 0 && err == nil {
			continue
		}
		var gone *serial.PortError
		if errors.As(err, &gone) && gone.Code() == serial.PortClosed {
			err = fmt.Errorf("the device hung up or was unplugged: %w", err)
		}
		if n == 0 {
			return 0, hal.Mark{}, r.fail(err)
		}
		m := hal.Mark{Lost: r.lost()}
		r.source.heard.Store(true)
		if err != nil {
			err = r.fail(err)
		}
		return n, m, err
	}
}

// lost returns what has been lost since it was last asked.
func (r *reader) lost() int64 {
	var n int64
	if r.counts {
		// A driver that no longer answers is about to fail the next Read.
		if now, err := readCounters(r.port.fd); err == nil {
			n = now.lostSince(r.counted)
			r.counted = now
		}
	}
	if r.missed {
		r.missed = false
		return hal.LostUnknown
	}
	return n
}

func (r *reader) fail(err error) error { return fmt.Errorf("read %s: %w", r.source.Name(), err) }

// Close ends a Read that waits, which then returns os.ErrClosed, and releases
// the port for others.
func (r *reader) Close() error {
	r.once.Do(func() {
		r.wake.Wake()
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := errors.Join(r.port.close(), r.wake.Close()); err != nil {
			r.closed = fmt.Errorf("close %s: %w", r.source.Name(), err)
		}
		r.port = nil
	})
	return r.closed
}
