package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// stream is one configured stream: its place in the store, and when to sync and
// to seal it.
type stream struct {
	cfg    Stream
	engine *Engine
	wal    *wal.Stream
	key    keyTemplate
	kick   chan struct{} // of keep; capacity 1
	pack   *pack         // nil: bytes are kept as they come

	plain, packed atomic.Int64 // bytes compressed since start-up, and what they became
	torn          atomic.Bool  // what was read last could not be kept at shutdown
	endKept       atomic.Bool  // the open object holds slots that others wait for: keep ends it
	bound         atomic.Int64 // of an object's bytes: as configured, or less where the link carries less

	mu        sync.Mutex
	dirty     time.Time // when the oldest byte not kept was appended; zero: none
	pending   int64     // bytes appended since the last sync began
	last      time.Time // of the last record
	malformed int64
	state     string // of the source
	losing    int64  // bytes lost for want of room since the last record that was taken in
	lostAt    time.Time
	err       error // of the last sync

	carrying sync.Mutex // held while the stream is told of a loss; before mu
}

// memoryBytes is how much may wait for its sync, over all streams.
const memoryBytes = 2 << 20

// gapSpacing bounds how often losses end objects: one that follows sooner goes
// into the same object, and its count into the gap of the next.
const gapSpacing = time.Minute

func (e *Engine) newStream(c Stream) (*stream, error) {
	key, err := parseKey(c.Key)
	if err != nil {
		return nil, err
	}
	w, err := e.store.Stream(c.Name)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", c.Name, err)
	}
	// Half of the memory is for what comes in while flash is slow. The other half
	// must not fill up with bytes of which no stream has enough to sync them.
	c.Sync.Bytes = min(c.Sync.Bytes, memoryBytes/2/int64(len(e.cfg.Streams)))
	st := &stream{cfg: c, engine: e, wal: w, key: key, kick: make(chan struct{}, 1), state: "embedded"}
	if c.Source != nil {
		st.state = "starting"
	}
	if c.Compress != Plain {
		st.pack = &pack{compress: c.Compress}
	}
	st.lay()
	return st, nil
}

// lay has objects that begin from now on laid out as fits the link, and bounds
// the one that is open.
func (st *stream) lay() {
	dest, o := st.engine.dests[st.cfg.Destination], st.cfg.Object
	f := dest.fitting()
	part := f.part(dest.limits, o.PartSize)
	st.bound.Store(f.object(dest.limits, part, o.MaxBytes))
	st.wal.SetLayout(wal.Layout{PartSize: part, Destination: st.cfg.Destination, Hash: dest.limits.Hash, Encoding: st.cfg.Compress.encoding()})
}

// append adds one record.
func (st *stream) append(rec []byte, m wal.Mark) error {
	add := st.place
	if st.pack != nil {
		add = func(rec []byte, m wal.Mark) error { return st.pack.add(st, rec, m) }
	}
	if err := add(rec, m); err != nil {
		return err
	}
	st.touch(int64(len(rec)))
	return nil
}

// place adds what is kept as one: a record, or several that are compressed. It
// ends the open object first if they do not fit, or if bytes were lost before them.
func (st *stream) place(rec []byte, m wal.Mark) error {
	p := st.wal.Progress()
	if p.Object >= 0 {
		full := p.Appended-p.Object+int64(len(rec)) > st.bound.Load()
		lost := (m.Lost > 0 || m.LostUnknown) && time.Since(p.Opened) >= gapSpacing
		if full || lost {
			st.wal.Seal()
		}
	}
	return st.wal.Append(rec, m)
}

// touch notes that n bytes were added, and wakes keep if it has to know.
func (st *stream) touch(n int64) {
	st.mu.Lock()
	now := time.Now()
	st.last = now
	poke := false
	if st.dirty.IsZero() {
		st.dirty, poke = now, true
	}
	before := st.pending
	st.pending += n
	poke = poke || before < st.cfg.Sync.Bytes && st.pending >= st.cfg.Sync.Bytes
	st.mu.Unlock()
	if poke {
		st.poke()
	}
}

// persist makes what was added durable, also what waits to be compressed.
func (st *stream) persist() error {
	busy := st.flush()
	err := st.wal.Sync()
	if err == nil && busy != nil { // by now there is memory again
		if err = st.flush(); err == nil {
			err = st.wal.Sync()
		}
	}
	return err
}

// flush hands on what waits to be compressed.
func (st *stream) flush() error {
	if st.pack == nil {
		return nil
	}
	return st.pack.flush(st)
}

// seal ends the open object behind what was added.
func (st *stream) seal() {
	_ = st.flush() // without memory what waits begins the next object
	st.wal.Seal()
}

// end makes what was added durable, and lets nothing be added any more.
func (st *stream) end() error {
	if st.pack != nil {
		st.pack.end()
	}
	err := st.persist()
	st.wal.End()
	return errors.Join(err, st.wal.Sync())
}

func (st *stream) poke() {
	select {
	case st.kick <- struct{}{}:
	default:
	}
}

// sync makes all that was appended durable.
func (st *stream) sync(ctx context.Context) error {
	st.mu.Lock()
	dirty, pending := st.dirty, st.pending
	st.dirty, st.pending = time.Time{}, 0
	st.mu.Unlock()
	err := st.persist()
	st.mu.Lock()
	st.err = err
	st.mu.Unlock()
	if err == nil {
		return nil
	}
	if errors.Is(err, wal.ErrFull) {
		st.engine.full.Store(true)
		st.engine.poke()
	}
	if errors.Is(err, wal.ErrFull) && st.engine.cfg.Spool.WhenFull == DropNewest {
		n := st.wal.Discard()
		st.engine.log.Warn("spool is full: dropped what arrived", "stream", st.cfg.Name, "bytes", n)
		return st.persist()
	}
	st.mu.Lock()
	if st.dirty.IsZero() || dirty.Before(st.dirty) && !dirty.IsZero() {
		st.dirty = dirty
	}
	st.pending += pending
	st.mu.Unlock()
	st.poke() // keep may have looked meanwhile, and seen nothing that is due
	return err
}

// keep syncs the stream when its interval or its bytes say so, and seals its
// object when that is old or idle, until ctx is done.
func (st *stream) keep(ctx context.Context) {
	retry := time.Time{} // after a failed sync
	failing := false
	for {
		st.lay()
		if st.endKept.Swap(false) {
			st.wal.SealKept()
		}
		now := time.Now()
		st.settleQuiet(now)
		due := st.due(now)
		if now.Before(retry) && due.Before(retry) {
			due = retry
		}
		if now.Before(due) {
			t := time.NewTimer(due.Sub(now))
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-st.kick:
			case <-t.C:
			}
			t.Stop()
			continue
		}
		err := st.sync(ctx)
		switch {
		case err == nil && failing:
			st.engine.log.Info("flash takes bytes again", "stream", st.cfg.Name)
		case err != nil && !failing:
			st.engine.log.Error("bytes cannot be kept yet; they wait in memory", "stream", st.cfg.Name, "err", err)
		}
		failing = err != nil
		retry = time.Time{}
		if failing {
			retry = time.Now().Add(250 * time.Millisecond)
		} else {
			st.engine.wantSpare()
		}
	}
}

// due says when the stream next needs its sync, sealing its object if that is due.
func (st *stream) due(now time.Time) time.Time {
	const never = 24 * time.Hour
	p := st.wal.Progress()
	st.mu.Lock()
	defer st.mu.Unlock()
	due := now.Add(never)
	sooner := func(t time.Time) {
		if t.Before(due) {
			due = t
		}
	}
	if p.Object >= 0 {
		ends := p.Opened.Add(st.cfg.Object.MaxAge)
		if idle := st.cfg.Object.MaxIdle; idle > 0 && !st.last.IsZero() && st.last.Add(idle).Before(ends) {
			ends = st.last.Add(idle)
		}
		if !now.Before(ends) || p.Appended-p.Object > st.bound.Load() {
			st.seal()
			return now
		}
		sooner(ends)
	}
	if at := st.quiet(); !at.IsZero() {
		sooner(at)
	}
	switch {
	case st.pending >= st.cfg.Sync.Bytes:
		return now
	case !st.dirty.IsZero():
		sooner(st.dirty.Add(st.cfg.Sync.Interval))
	}
	return due
}

// lastError is what the last sync failed with, nil if it did not.
func (st *stream) lastError() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.err
}
