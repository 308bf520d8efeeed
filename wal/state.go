package wal

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
)

// State is what the facts say. It is changed by apply alone, live and on replay.
type State struct {
	Epoch   uint64 // of streams made from now on
	Machine string // which machine made the epoch
	Run     uint32 // of this start-up; raised durably before anything else is written
	Boot    string // the boot that Run belongs to, the last of boots
	Stopped bool   // Run ended in order: everything read in it was kept
	Streams []*StreamState
	figures map[string]Fact
	boots   []boot
	sure    int64    // a time that was vouched for and has passed, nanoseconds since 1970
	layouts []Layout // interned, so that an object carries an index
	idle    []uint32 // slots let go of and not yet taken by Store
}

// Layout is how an object is cut into parts, and for whom.
type Layout struct {
	PartSize    int64  // bytes of each part but the last
	Destination string // by its configured name
	Encoding    string // how its bytes are compressed; empty: not at all
	Hash        string // name of the digest that the destination needs besides CRC32C; may be empty
}

// StreamState is one stream, from its offset 0 in one epoch. A device that gets
// a new epoch makes its streams anew; the old ones stay until they are empty.
type StreamState struct {
	ID       uint32 // 1 + index in State.Streams
	Name     string
	Epoch    uint64   // of its frames, and of keys unless it was rekeyed
	Objects  []Object // not yet freed, in stream order; only the last may be open
	Gaps     int64    // losses counted, ever
	GapBytes int64    // bytes of those whose size is known
	slots    []extent // which slot holds what, in stream order; the last is being written
	layout   uint16   // of the next object
	freed    int64    // end of the furthest object ever freed
	counted  int64    // gaps that begin below are counted, so that seeing one again counts nothing
	written  int64    // objects that end there or below have durable ends
	keys     uint64   // epoch of keys not yet fixed; 0: Epoch
	rekeyed  uint32   // run in which keys was made
	follows  bool     // of the next object
	carry    int64    // bytes lost since the last object began, for the next one's gap
	carryUnk bool
}

// extent says that a stream's bytes from base on, up to the next extent's base,
// are in slot, and where the source stood at base.
type extent struct {
	slot   uint32
	base   int64
	posID  uint64
	posOff int64
}

// Stream returns the stream with that ID, nil if there is none.
func (s *State) Stream(id uint32) *StreamState {
	if id == 0 || int(id) > len(s.Streams) {
		return nil
	}
	return s.Streams[id-1]
}

// Current returns the newest stream of that name, nil if there is none.
func (s *State) Current(name string) *StreamState {
	for _, st := range slices.Backward(s.Streams) {
		if st.Name == name {
			return st
		}
	}
	return nil
}

// Layout returns how o is cut into parts.
func (s *State) Layout(o *Object) Layout { return s.layouts[o.layout] }

// Archived is the offset up to which every byte has been freed: it has a durable
// receipt, or was dropped and counted.
func (st *StreamState) Archived() int64 {
	for i := range st.Objects {
		if o := &st.Objects[i]; !o.Dropped {
			return o.Start
		}
	}
	return max(st.freed, st.counted)
}

// Object returns the live object that starts there, nil if there is none.
// The pointer is good until the next apply.
func (st *StreamState) Object(start int64) *Object {
	i := sort.Search(len(st.Objects), func(i int) bool { return st.Objects[i].Start >= start })
	if i < len(st.Objects) && st.Objects[i].Start == start {
		return &st.Objects[i]
	}
	return nil
}

func (st *StreamState) last() *Object {
	if len(st.Objects) == 0 {
		return nil
	}
	return &st.Objects[len(st.Objects)-1]
}

// Written says whether the object's end is durable. Until it is, start-up may
// give the object another one.
func (st *StreamState) Written(o *Object) bool { return o.Sealed() && o.End <= st.written }

// sealed is the end of the last object that has one.
func (st *StreamState) sealed() int64 {
	for i := range slices.Backward(st.Objects) {
		if st.Objects[i].Sealed() {
			return st.Objects[i].End
		}
	}
	return st.freed
}

// known is the highest offset that any fact names. All below it was kept once.
func (s *State) known(st *StreamState) int64 {
	k := max(s.floor(st), st.freed, st.counted)
	if n := len(st.slots); n > 0 {
		k = max(k, st.slots[n-1].base)
	}
	return k
}

// floor is the offset up to which facts say what became of every byte: it is in
// an object whose extent is known so far, or was freed.
func (s *State) floor(st *StreamState) int64 {
	o := st.last()
	switch {
	case o == nil:
		return st.freed
	case o.Sealed():
		return max(st.freed, o.End)
	}
	return o.Start + int64(o.NumParts())*s.layouts[o.layout].PartSize
}

// apply folds one fact in. It is total: of what a journal damaged in the middle
// leaves out, it infers what follows from the facts that are there (revive.go);
// the rest changes nothing. Seeing facts a second
// time, in their order, changes nothing either: start-up derives from the newest
// slot what may have been journalled already.
func (s *State) apply(f Fact) {
	switch f.Kind {
	case Identity:
		s.Epoch, s.Machine = f.Epoch, f.Name
		return
	case Started:
		s.begin(f)
		return
	case Stopped:
		s.Stopped = true
		return
	case Clock:
		s.clock(f.Run, f.Mono, f.Time, Trust(min(f.N, int(Synced))))
		return
	case Figure:
		s.figure(f)
		return
	}
	st := s.need(f.Stream)
	if st == nil {
		return
	}
	switch f.Kind {
	case Made:
		if st.Epoch == 0 {
			st.Name, st.Epoch = f.Name, f.Epoch
		}
	case Shaped:
		if f.Size > 0 {
			s.shaped(st, f.layout())
		}
	case Rekeyed:
		st.rekey(f)
	case Totals:
		st.freed, st.counted, st.Gaps, st.GapBytes = f.End, f.Start, f.Gaps, f.GapBytes
		st.carry, st.carryUnk = f.Lost, f.Flags&FlagLostUnknown != 0
	case Roll:
		s.roll(st, f)
	case Gap:
		if f.End > f.Start { // what an object has of it is no gap, damaged or not, and some may be counted
			has := max(s.floor(st)-f.Start, min(st.counted, f.End)-f.Start, 0)
			f.Start, f.Lost = f.Start+has, f.Lost-has
			if f.Start >= f.End {
				return
			}
		}
		if f.Start >= st.counted {
			st.lose(f.Lost, f.Flags&FlagLostUnknown != 0)
			st.counted = max(f.End, f.Start+1)
		}
	case Opened:
		s.clock(f.Run, f.Mono, 0, Unknown)
		s.open(st, f)
	default:
		o := st.Object(f.Start)
		if o == nil {
			o = s.revive(st, f)
		}
		if o != nil {
			s.applyObject(st, o, f)
		}
	}
	if f.Kind == Freed || f.Kind == Roll || f.Kind == Dropped {
		s.release(st)
	}
}

// maxFigures bounds what a damaged journal can make of them.
const maxFigures = 4096

func (s *State) figure(f Fact) {
	f = Fact{Kind: Figure, Name: f.Name, Start: f.Start, End: f.End, Size: f.Size, Time: f.Time}
	switch _, known := s.figures[f.Name]; {
	case f == Fact{Kind: Figure, Name: f.Name}:
		delete(s.figures, f.Name)
	case s.figures == nil:
		s.figures = map[string]Fact{f.Name: f}
	case known || len(s.figures) < maxFigures:
		s.figures[f.Name] = f
	}
}

// Figure returns the figure of that name, a zero Fact if there is none.
func (s *State) Figure(name string) Fact { return s.figures[name] }

func (st *StreamState) lose(n int64, unknown bool) {
	st.Gaps++
	st.GapBytes += n
	st.carry += n
	st.carryUnk = st.carryUnk || unknown
}

func (s *State) intern(l Layout) uint16 {
	i := slices.Index(s.layouts, l)
	if i < 0 {
		i = len(s.layouts)
		s.layouts = append(s.layouts, l)
	}
	return uint16(i)
}

// release lets go of the slots that hold nothing of a live object. The newest
// slot of a stream is never let go: it is being written.
func (s *State) release(st *StreamState) {
	keep := st.slots[:0]
	for i, e := range st.slots {
		if i == len(st.slots)-1 || st.needed(e.base, st.slots[i+1].base) {
			keep = append(keep, e)
		} else {
			s.idle = append(s.idle, e.slot)
		}
	}
	st.slots = keep
}

// needed says whether any byte of [from, to) belongs to a live object.
func (st *StreamState) needed(from, to int64) bool {
	i := sort.Search(len(st.Objects), func(i int) bool { o := &st.Objects[i]; return !o.Sealed() || o.End > from })
	for ; i < len(st.Objects) && st.Objects[i].Start < to; i++ {
		if !st.Objects[i].Dropped {
			return true
		}
	}
	return false
}

// Holders calls fn for each slot of the stream but the one being written, the
// oldest first, with the objects whose bytes hold it: without them it is free.
func (st *StreamState) Holders(fn func([]Object)) {
	for i := 0; i+1 < len(st.slots); i++ {
		from, to := st.slots[i].base, st.slots[i+1].base
		first := sort.Search(len(st.Objects), func(i int) bool { o := &st.Objects[i]; return !o.Sealed() || o.End > from })
		end := first + sort.Search(len(st.Objects)-first, func(i int) bool { return st.Objects[first+i].Start >= to })
		fn(st.Objects[first:end])
	}
}

// Facts yields facts that rebuild the state from nothing: a snapshot.
func (s *State) Facts() iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		ok := true
		put := func(f Fact) { ok = ok && yield(f) }
		put(Fact{Kind: Identity, Epoch: s.Epoch, Name: s.Machine})
		s.bootFacts(put)
		if s.Stopped {
			put(Fact{Kind: Stopped, Run: s.Run})
		}
		for _, name := range slices.Sorted(maps.Keys(s.figures)) {
			put(s.figures[name])
		}
		for _, st := range s.Streams {
			s.streamFacts(st, put)
			if !ok {
				return
			}
		}
		// Once more what all the rest hangs on: flash rots.
		put(Fact{Kind: Identity, Epoch: s.Epoch, Name: s.Machine})
		s.bootFacts(put)
		for _, st := range s.Streams {
			put(Fact{Kind: Made, Stream: st.ID, Name: st.Name, Epoch: st.Epoch})
			put(st.shape(s))
			st.rekeyFact(put)
			put(st.totals())
		}
	}
}

func (s *State) streamFacts(st *StreamState, put func(Fact)) {
	put(Fact{Kind: Made, Stream: st.ID, Name: st.Name, Epoch: st.Epoch})
	put(st.shape(s))
	for i := range st.Objects {
		o := &st.Objects[i]
		o.facts(st.ID, s.layouts[o.layout], put)
	}
	for _, e := range st.slots {
		put(Fact{Kind: Roll, Stream: st.ID, Slot: e.slot, Start: e.base, Epoch: e.posID, Size: e.posOff})
	}
	st.rekeyFact(put)
	// Last, since the gaps of the objects above were counted again as they were opened.
	put(st.totals())
}

func (st *StreamState) shape(s *State) Fact {
	return s.layouts[st.layout].on(Fact{Kind: Shaped, Stream: st.ID})
}

// on writes l into a fact, from which layout reads it.
func (l Layout) on(f Fact) Fact {
	f.Size, f.Name, f.Hash, f.ID = l.PartSize, l.Destination, l.Hash, l.Encoding
	return f
}

func (f *Fact) layout() Layout {
	return Layout{PartSize: f.Size, Destination: f.Name, Hash: f.Hash, Encoding: f.ID}
}

func (st *StreamState) totals() Fact {
	return Fact{Kind: Totals, Stream: st.ID, Start: st.counted, End: st.freed, Gaps: st.Gaps, GapBytes: st.GapBytes, Lost: st.carry, Flags: bit(st.carryUnk, FlagLostUnknown)}
}

func bit(on bool, f uint8) uint8 {
	if on {
		return f
	}
	return 0
}

// EpochText is how an epoch is written in keys, metadata and output: 16 hex digits.
func EpochText(e uint64) string { return fmt.Sprintf("%016x", e) }

// Slots returns how many slots hold bytes of the stream.
func (st *StreamState) Slots() int { return len(st.slots) }
