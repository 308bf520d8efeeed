package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/wal"
)

// readBytes is how much is asked of a source at a time.
const readBytes = 64 << 10

// capture reads the stream's source until it is finished or ctx is done. A
// source that fails is opened again, for ever: a cable comes back.
func (st *stream) capture(ctx context.Context) {
	c := &capture{stream: st, framer: hal.NewFramer(st.cfg.Framing), raw: st.cfg.Framing.Kind == "" || st.cfg.Framing.Kind == "raw"}
	p := st.wal.Progress()
	c.pos = hal.Position{ID: p.PosID, Offset: p.PosOff}
	if p.Appended > 0 && c.pos.IsZero() && !st.engine.store.Stopped() {
		// The last run died with bytes in memory, and half a record, perhaps.
		c.framer.Lost()
		c.unk = true
	}
	defer func() { st.settleLoss(c.lost) }()
	gate := newPace(newRand())
	gate.down = &pauseSource
	for ctx.Err() == nil {
		gate.begin()
		err := c.run(ctx)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, io.EOF) {
			st.setState("finished")
			st.engine.log.Info("source has finished", "stream", st.cfg.Name, "source", st.cfg.Source.Name())
			return
		}
		if c.read {
			gate.done(time.Now(), nil)
			gate.begin()
		}
		gate.done(time.Now(), err)
		if st.setState(fmt.Sprintf("waiting: %v", err)) {
			st.engine.log.Warn("source is away; waiting for it", "stream", st.cfg.Name, "source", st.cfg.Source.Name(), "err", err)
		}
		if _, at := gate.ready(time.Now(), true); !sleep(ctx, time.Until(at)) {
			break
		}
	}
}

// capture is the way of one source's bytes into the spool.
type capture struct {
	stream *stream
	framer *hal.Framer
	buf    []byte // bytes that are not a record yet
	pos    hal.Position
	lost   int64 // not yet told with a record
	unk    bool
	read   bool      // the reader of this run gave bytes
	raw    bool      // the framing knows no records
	over   bool      // at shutdown a record could not be kept: none may follow it
	warned time.Time // when malformed bytes were last spoken of
}

// run opens the source and reads it until it fails or ends.
func (c *capture) run(ctx context.Context) error {
	c.read = false
	r, err := c.stream.cfg.Source.Open(ctx, c.pos)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { r.Close(); close(closed) })
	defer func() {
		if !stop() {
			<-closed
		}
		r.Close()
	}()
	c.stream.setState("reading")
	opened := true
	for quiet := time.Now(); ; quiet = time.Now() {
		if cap(c.buf)-len(c.buf) < readBytes/2 {
			c.buf = append(make([]byte, 0, 2*len(c.buf)+readBytes), c.buf...)
		}
		n, m, err := r.Read(c.buf[len(c.buf):cap(c.buf)])
		rest := c.buf[len(c.buf) : len(c.buf)+n]
		if m.Lost != 0 {
			c.lose(ctx, m)
		}
		if n > 0 {
			if !c.stream.cfg.Source.Waits() && time.Since(quiet) >= hal.Quiet {
				if opened { // what it sends after a silence begins a record
					c.framer.Boundary()
				}
				c.framer.Pause()
			}
			if opened && c.stream.cfg.Source.Waits() && m.Position.IsZero() {
				c.framer.Pause() // who opens a pipe anew begins with a record
			}
			if m.Position.ID != c.pos.ID && !c.pos.IsZero() { // another file begins
				c.records(ctx, m.Time, true)
				c.framer.Boundary()
			}
			c.buf = append(c.buf, rest...)
			c.pos, c.read, opened = m.Position, true, false
		}
		done := errors.Is(err, io.EOF)
		c.records(ctx, m.Time, done)
		if err == nil && ctx.Err() == nil {
			continue
		}
		if !done {
			c.broken(ctx, m.Time)
		}
		return err
	}
}

// lose tells the framer, and the next record, of a loss.
func (c *capture) lose(ctx context.Context, m hal.Mark) {
	c.framer.Lost()
	c.records(ctx, m.Time, false)
	if m.Lost == hal.LostUnknown {
		c.unk = true
	} else {
		c.lost += m.Lost
	}
}

// broken settles what is in hand when the source ends in the middle of a record.
// One that can seek gives it again. At shutdown it is kept as it is, so that
// everything read is kept and the next run can go on behind it. Else its rest
// is lost, and it is malformed.
func (c *capture) broken(ctx context.Context, at time.Time) {
	switch {
	case !c.pos.IsZero():
		c.pos.Offset -= int64(len(c.buf))
		c.buf = c.buf[:0]
	case ctx.Err() != nil && len(c.buf) > 0:
		c.append(ctx, c.buf, at, 0)
		c.buf = c.buf[:0]
	case ctx.Err() == nil:
		c.framer.Lost()
		c.records(ctx, at, false)
	}
}

// records appends each whole record in buf and keeps the rest.
func (c *capture) records(ctx context.Context, at time.Time, end bool) {
	used := 0
	for used < len(c.buf) && !c.over {
		advance, rec := c.framer.Next(c.buf[used:], end)
		if advance == 0 {
			break
		}
		if rec != nil {
			c.append(ctx, rec, at, int64(len(c.buf)-used-advance))
		}
		if !c.over {
			used += advance
		}
	}
	c.buf = append(c.buf[:0], c.buf[used:]...)
	c.malformed()
}

// malformed counts the bytes that are no record, and says so: in the log not
// again within a minute, for a wrong baud rate makes nothing else.
func (c *capture) malformed() {
	st, n := c.stream, c.framer.Malformed()
	st.mu.Lock()
	before := st.malformed
	st.malformed = n
	st.mu.Unlock()
	if now := time.Now(); n > before && now.Sub(c.warned) >= gapSpacing {
		c.warned = now
		st.engine.log.Warn("bytes that are no record are dropped; do framing and baud rate fit the source?", "stream", st.cfg.Name, "bytes", n)
	}
}

// append adds one record. A source that can wait waits for memory; of one that
// cannot the record is lost, and counted. At shutdown nobody else makes room any
// more, so it is made here; where that fails nothing more is taken in, for a
// record behind one that is missing would hide the hole.
func (c *capture) append(ctx context.Context, rec []byte, at time.Time, behind int64) {
	m := wal.Mark{PosID: c.pos.ID, PosOff: c.pos.Offset - behind, Lost: c.lost, LostUnknown: c.unk, Time: at, Raw: c.raw}
	if c.pos.IsZero() {
		m.PosOff = 0
	}
	for !c.over {
		room := c.stream.engine.store.Room()
		err := c.stream.carry(rec, m)
		switch {
		case err == nil:
			c.lost, c.unk = 0, false
			return
		case errors.Is(err, wal.ErrBusy) && ctx.Err() != nil:
			c.over = c.stream.sync(ctx) != nil
			c.stream.torn.Store(c.over && c.pos.IsZero())
		case errors.Is(err, wal.ErrBusy) && c.stream.cfg.Source.Waits():
			c.stream.poke()
			select {
			case <-room:
			case <-ctx.Done():
			}
		default:
			c.stream.lose(int64(len(rec)))
			return
		}
	}
}

// setState says what the source is doing; true if that is news.
func (st *stream) setState(s string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	news := st.state != s
	st.state = s
	return news
}
