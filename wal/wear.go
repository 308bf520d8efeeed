package wal

import (
	"sync/atomic"
	"time"
)

// Wear is what was written to flash: by this program, in whole blocks, since
// flash is written no finer. What the file system adds, and the flash itself, is
// not in it; build/lab wear measures the former.
type Wear struct {
	Written, Syncs int64         // bytes, and syncs of files
	Up             time.Duration // for which the program ran meanwhile
}

// wear counts since start-up. A nil one counts nothing. Safe for concurrent use.
type wear struct {
	written, syncs atomic.Int64
	began          time.Time
	before         Wear  // of this state folder, until start-up
	noted          int64 // of written, in the journal
}

// add counts bytes, which take whole blocks, and syncs.
func (w *wear) add(bytes, syncs int64) {
	if w != nil {
		w.written.Add(roundUp(bytes))
		w.syncs.Add(syncs)
	}
}

const (
	wearFigure = "flash"
	wearStep   = 1 << 20 // bytes written between two notes of it: so much a power cut makes forget
)

// load goes on from what the journal says of the runs before.
func (w *wear) load(f Fact) {
	w.before = Wear{Written: f.Size, Syncs: f.End, Up: time.Duration(f.Start)}
}

// total is all that was written in the life of the state folder.
func (w *wear) total() Wear {
	return Wear{w.before.Written + w.written.Load(), w.before.Syncs + w.syncs.Load(), w.before.Up + time.Since(w.began)}
}

// note adds the figure to facts that are written anyway, if it has grown enough.
func (w *wear) note(facts []Fact) []Fact {
	now := w.written.Load()
	if len(facts) == 0 || now-w.noted < wearStep && facts[len(facts)-1].Kind != Stopped {
		return facts
	}
	w.noted = now
	all := w.total()
	return append(facts[:len(facts):len(facts)], Fact{Kind: Figure, Name: wearFigure, Size: all.Written, End: all.Syncs, Start: int64(all.Up)})
}

// Wear returns what was written to flash since start-up, and in the whole life
// of the state folder. It takes no locks.
func (s *Store) Wear() (since, all Wear) {
	return Wear{s.wear.written.Load(), s.wear.syncs.Load(), time.Since(s.wear.began)}, s.wear.total()
}
