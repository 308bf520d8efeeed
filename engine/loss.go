package engine

import (
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// What arrives while neither flash nor memory takes more is lost. Its bytes are
// counted here, for status, until the next record carries the count into the
// spool. When none follows, because the source is quiet, or has ended, or Dray
// stops, the stream takes it down by itself.

// lose counts a record that could not be taken in, and says so once.
func (st *stream) lose(bytes int64) {
	st.mu.Lock()
	begins := st.losing == 0
	st.losing += bytes
	st.lostAt = time.Now()
	st.mu.Unlock()
	if begins {
		st.engine.log.Error("what arrives is lost: flash and memory take no more", "stream", st.cfg.Name)
		st.poke()
	}
}

// carry adds a record that tells of what was lost before it.
func (st *stream) carry(rec []byte, m wal.Mark) error {
	st.carrying.Lock()
	defer st.carrying.Unlock()
	st.mu.Lock()
	lost := st.losing
	st.mu.Unlock()
	m.Lost += lost
	err := st.append(rec, m)
	if err == nil {
		st.told(lost, "what arrives is kept again; the loss is counted as a gap")
	}
	return err
}

// settleLoss takes down what no record has told of, and so many bytes more.
func (st *stream) settleLoss(more int64) {
	st.carrying.Lock()
	defer st.carrying.Unlock()
	st.mu.Lock()
	st.losing += more
	lost := st.losing
	if lost > 0 && st.dirty.IsZero() {
		st.dirty = time.Now()
	}
	st.mu.Unlock()
	if lost > 0 {
		st.wal.Lose(lost)
		st.told(lost, "nothing has arrived behind what was lost; it is counted as a gap")
		st.poke()
	}
}

// told takes off what was told. It is called with carrying held.
func (st *stream) told(lost int64, how string) {
	st.mu.Lock()
	st.losing -= lost
	st.mu.Unlock()
	if lost > 0 {
		st.engine.log.Warn(how, "stream", st.cfg.Name, "bytes", lost)
	}
}

// quiet says when a loss is old enough to be taken down: now and then a record
// comes late, and each loss that is taken down ends an object. Zero: there is
// none, or flash takes nothing anyway. It is called with mu held.
func (st *stream) quiet() time.Time {
	if st.losing == 0 || st.err != nil {
		return time.Time{}
	}
	return st.lostAt.Add(gapSpacing)
}

// settleQuiet takes a loss down that is old enough.
func (st *stream) settleQuiet(now time.Time) {
	st.mu.Lock()
	at := st.quiet()
	st.mu.Unlock()
	if !at.IsZero() && !now.Before(at) {
		st.settleLoss(0)
	}
}
