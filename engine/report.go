package engine

import (
	"errors"
	"slices"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// changed returns a channel that is closed when the next object is let go.
func (e *Engine) changed() <-chan struct{} {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.change == nil {
		e.change = make(chan struct{})
	}
	return e.change
}

func (e *Engine) announceChange() {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.change != nil {
		close(e.change)
		e.change = nil
	}
}

// Status returns a snapshot. It does not wait for flash or link.
func (e *Engine) Status() Status {
	s := Status{Device: e.cfg.Device, Version: e.cfg.Version, Started: e.started, Now: time.Now(), StateDir: e.cfg.StateDir, Notes: e.store.Notes(), Clock: e.clockStatus()}
	u := e.store.Usage()
	since, all := e.store.Wear()
	s.Spool = SpoolStatus{MaxBytes: u.Max, UsedBytes: u.Used, MadeBytes: u.Made, WrittenBytes: since.Written, Syncs: since.Syncs}
	s.Flash = flashStatus(all, e.cfg.Spool.Endurance)
	pending := map[string]*DestinationStatus{}
	for _, c := range e.cfg.Destinations {
		s.Destinations = append(s.Destinations, e.dests[c.Name].status(e.cfg.Workers))
	}
	s.Notes = slices.Clone(s.Notes)
	s.Budgets = e.cfg.Meter.status()
	for i := range s.Destinations {
		d := &s.Destinations[i]
		pending[d.Name] = d
		if noter, ok := e.dests[d.Name].to.(transport.Noter); ok {
			for _, note := range noter.Notes() {
				s.Notes = append(s.Notes, "destination "+d.Name+": "+note)
			}
		}
	}
	s.Notes = append(append(s.Notes, e.idleNotes()...), e.orphanNotes()...)
	if why := e.unwritten.Load(); why != nil {
		s.Spool.LastError = *why
	}
	for _, st := range e.streams {
		status := st.status()
		e.store.View(func(state *wal.State) { count(state.Stream(st.wal.ID()), &status) })
		if err := st.lastError(); err != nil {
			s.Spool.LastError = err.Error()
			s.Spool.Full = s.Spool.Full || errors.Is(err, wal.ErrFull)
		}
		pending[st.cfg.Destination].PendingBytes += max(status.Kept-status.open, 0)
		s.Streams = append(s.Streams, status)
	}
	e.store.View(func(state *wal.State) {
		s.Notes = append(s.Notes, rekeyed(state)...)
		for _, st := range state.Streams {
			for i := range st.Objects {
				o := &st.Objects[i]
				if d := pending[state.Layout(o).Destination]; d != nil && !o.Dropped && o.Sealed() {
					d.PendingObjects++
					d.PendingBytes += o.Size()
				}
			}
		}
	})
	return s
}

// flashStatus reckons how long flash lasts that takes endurance bytes; 0: not known.
func flashStatus(w wal.Wear, endurance int64) FlashStatus {
	s := FlashStatus{WrittenBytes: w.Written, Syncs: w.Syncs}
	if days := w.Up.Hours() / 24; days > 1.0/24 { // before, start-up is all that there is to see
		s.PerDay = int64(float64(w.Written) / days)
	}
	if s.PerDay > 0 && endurance > 0 {
		s.LifeYears = max(float64(endurance-w.Written), 0) / float64(s.PerDay) / 365.25
	}
	return s
}

func count(st *wal.StreamState, s *StreamStatus) {
	s.Epoch = wal.EpochText(st.KeyEpoch())
	s.Archived = min(st.Archived(), s.Kept)
	s.Gaps, s.GapBytes = st.Gaps, st.GapBytes+s.losing
	if s.losing > 0 {
		s.Gaps++ // it is not over
	}
	s.open = s.Kept
	for i := range st.Objects {
		if o := &st.Objects[i]; !o.Sealed() {
			s.open = o.Start
		} else if !o.Dropped {
			s.Pending++
		}
	}
}

func (st *stream) status() StreamStatus {
	p := st.wal.Progress()
	st.mu.Lock()
	defer st.mu.Unlock()
	s := StreamStatus{Name: st.cfg.Name, Compress: st.cfg.Compress.encoding(), Plain: st.plain.Load(), Packed: st.packed.Load(), Appended: p.Appended, Kept: p.Kept, Malformed: st.malformed, LastRead: st.last, losing: st.losing,
		SourceState: st.state, Destination: st.cfg.Destination}
	if st.cfg.Source != nil {
		s.Source = st.cfg.Source.Name()
	}
	return s
}

func (d *destination) status(workers int) DestinationStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	s := DestinationStatus{Name: d.cfg.Name, Link: d.link(now), NextTry: d.nextTry(now), InFlight: d.pace.inFlight, LastError: d.lastErr, LastSuccess: d.pace.lastSuccess,
		SentBytes: d.sent, ArchivedBytes: d.archived, Plan: d.fit.text(d.limits, workers)}
	if d.cfg.Link != nil {
		s.Wire = d.cfg.Link()
	}
	return s
}
