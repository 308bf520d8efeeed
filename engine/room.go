package engine

import (
	"time"

	"slices"

	"github.com/seed-7270d448/dray/wal"
)

// makeRoom does what the policy allows when a stream found the spool full.
// Space comes back in whole slots, so what is dropped are the objects that hold
// the oldest slot that can be had of the streams that matter least, and no object
// that would give none.
//
// An object that is still open cannot be archived or dropped; when nothing else
// holds the slots, it is ended. Else it would wait for slots that only it can give.
func (d *dispatcher) makeRoom() {
	if d.e.store.HasSpare() {
		return // what was said before room was made
	}
	drops := d.e.cfg.Spool.WhenFull == DropOldest
	var victims []wal.Fact
	var oldest, size int64
	var least int // of the priorities of streams with victims
	var name string
	var open []string
	onWay := false // an object that can be archived now will give a slot
	d.e.store.View(func(s *wal.State) {
		for _, st := range s.Streams {
			rank := d.e.rank(st.Name)
			st.Holders(func(objects []wal.Object) {
				for i := range objects {
					if o := &objects[i]; !o.Sealed() {
						open = append(open, st.Name)
					} else if !o.Dropped {
						onWay = onWay || d.reachable(s.Layout(o).Destination)
					}
				}
				group, at, bytes := d.victims(s, st, objects)
				if len(group) > 0 && (victims == nil || rank < least || rank == least && at < oldest) {
					victims, least, oldest, size, name = group, rank, at, bytes, st.Name
				}
			})
		}
	})
	switch {
	case drops && victims != nil:
		d.drop(name, victims, size)
	case drops || !onWay:
		for _, st := range d.e.streams {
			if slices.Contains(open, st.cfg.Name) {
				st.endKept.Store(true)
				st.poke()
			}
		}
	}
}

// rank is how much a stream matters; one that is not configured any more is as
// good as any.
func (e *Engine) rank(name string) int {
	if st, err := e.stream(name); err == nil {
		return st.cfg.Priority.Rank()
	}
	return Normal.Rank()
}

// reachable says whether a destination takes objects, as far as is known.
func (d *dispatcher) reachable(name string) bool {
	dest := d.e.dests[name]
	if dest == nil {
		return false
	}
	dest.mu.Lock()
	defer dest.mu.Unlock()
	return dest.takes(time.Now())
}

// victims returns the facts that drop the objects which hold one slot, none if
// one of them must stay, with the capture time of the first and their bytes.
func (d *dispatcher) victims(s *wal.State, st *wal.StreamState, objects []wal.Object) (group []wal.Fact, at, bytes int64) {
	for i := range objects {
		o := &objects[i]
		fl := d.flights[objectID{st.ID, o.Start}]
		switch {
		case o.Dropped:
			continue
		case !o.Sealed(), inDoubt(o), fl != nil && fl.alone:
			return nil, 0, 0
		case group == nil:
			first, _ := s.Captured(o)
			at = first.UnixNano()
		}
		bytes += o.Size()
		group = append(group, wal.Fact{Kind: wal.Dropped, Stream: st.ID, Start: o.Start})
	}
	return group, at, bytes
}

// drop gives objects up, all or none.
func (d *dispatcher) drop(name string, victims []wal.Fact, size int64) {
	if err := d.e.store.Commit(victims...); err != nil {
		d.e.log.Error("spool is full, and that objects are dropped cannot be written down", "err", err)
		return
	}
	d.e.log.Warn("spool is full: dropped the oldest objects", "stream", name, "start", victims[0].Start, "objects", len(victims), "bytes", size)
	d.e.poke()
}

// inDoubt says whether the destination may hold the whole object already.
func inDoubt(o *wal.Object) bool {
	return o.Up != nil && (o.Up.Done != nil || o.Up.Op == wal.OpPut || o.Up.Op == wal.OpComplete)
}
