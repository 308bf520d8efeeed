package wal

import (
	"cmp"
	"slices"
)

// A journal that rots loses single facts. What these said can often be told from
// those that are left: an object that is cut or sealed was opened, one behind
// which another begins was sealed, a part that has a successor was cut. So a lost
// fact costs no more than digests, which are read again.

// maxUnnamed bounds how many streams are made up for facts about unknown ones.
const maxUnnamed = 64

// need returns the stream of that number. One whose Made is lost has no name and
// no epoch until a slot tells them.
func (s *State) need(id uint32) *StreamState {
	if int64(id) > int64(len(s.Streams)+maxUnnamed) {
		return nil
	}
	for uint32(len(s.Streams)) < id {
		s.Streams = append(s.Streams, &StreamState{ID: uint32(len(s.Streams) + 1), layout: s.intern(Layout{PartSize: 8 << 20})})
	}
	return s.Stream(id)
}

// shaped says how objects of the stream are laid out from now on. Those of which
// nobody knows for whom they are, since an earlier Shaped was lost, go along; also
// those under its name in another epoch, which no Shaped will come for any more.
func (s *State) shaped(st *StreamState, l Layout) {
	st.layout = s.intern(l)
	found := func(was uint16) uint16 {
		if s.layouts[was].Destination != "" {
			return was
		}
		return s.intern(Layout{PartSize: s.layouts[was].PartSize, Destination: l.Destination, Hash: l.Hash, Encoding: l.Encoding})
	}
	for _, other := range s.Streams {
		if l.Destination == "" || other != st && (other.Name != st.Name || st.Name == "") {
			continue
		}
		other.layout = found(other.layout)
		for i := range other.Objects {
			other.Objects[i].layout = found(other.Objects[i].layout)
		}
	}
}

// open begins an object.
func (s *State) open(st *StreamState, f Fact) {
	if f.GapBytes > 0 { // changes nothing if the gap was told before
		s.apply(Fact{Kind: Gap, Stream: st.ID, Start: f.Start - f.GapBytes, End: f.Start, Lost: f.GapBytes})
	}
	if o := st.Object(f.Start); o != nil && o.Run == 0 && f.Run != 0 { // its Opened was lost
		o.Run, o.Gap, o.GapUnknown = f.Run, o.Gap+f.Lost, o.GapUnknown || f.Flags&FlagLostUnknown != 0
		if !o.Fixed {
			o.Time = f.Mono
		}
	}
	o := st.last()
	if o != nil && o.Start >= f.Start || f.Start < st.freed {
		return
	}
	if o != nil && !o.Sealed() { // where another begins, it has its end
		s.seal(o, Fact{End: f.Start - f.GapBytes, Flags: FlagUnread})
		if !o.Sealed() {
			return
		}
	}
	if f.Lost > 0 || f.Flags&FlagLostUnknown != 0 {
		st.lose(f.Lost, f.Flags&FlagLostUnknown != 0)
	}
	n := Object{Start: f.Start, End: -1, Time: f.Mono, Run: f.Run, layout: st.layout, Gap: st.carry, GapUnknown: st.carryUnk, Slice: f.Flags&FlagSlice != 0, Follows: f.Flags&FlagFollows != 0 || st.follows}
	if f.Size > 0 {
		n.layout = s.intern(f.layout())
	}
	if f.Time != 0 {
		n.Time, n.Fixed, n.Estimated = f.Time, true, f.Flags&FlagEstimated != 0
	}
	st.carry, st.carryUnk, st.follows = 0, false, false
	st.Objects = append(st.Objects, n)
}

// seal ends an object.
func (s *State) seal(o *Object, f Fact) {
	if o.Sealed() || f.End <= o.Start {
		return
	}
	size := s.layouts[o.layout].PartSize
	n := int((f.End - o.Start + size - 1) / size)
	last := f.part()
	if (f.End-o.Start)%size == 0 && f.CRC == 0 {
		last.Unread = true // a Cut was to tell
	}
	switch {
	case o.Up == nil && n == 1:
		o.setInline(last)
	case n < o.NumParts():
		return
	case n > o.NumParts():
		up := o.upload()
		up.Parts = append(unread(up.Parts, n-1), last)
	}
	o.End = f.End
}

// unread makes parts n.
func unread(parts []Part, n int) []Part {
	for len(parts) < n {
		parts = append(parts, Part{Unread: true})
	}
	return parts
}

// revive opens an object of which a fact tells without its Opened: nil if it is
// one that was let go, or cannot be. Its Run is not known; start-up asks the spool.
func (s *State) revive(st *StreamState, f Fact) *Object {
	if f.Kind != Cut && f.Kind != Sealed || f.Start < s.floor(st) {
		return nil
	}
	if o := st.last(); o != nil && !o.Sealed() {
		return nil
	}
	s.open(st, Fact{Kind: Opened, Stream: st.ID, Start: f.Start})
	return st.Object(f.Start)
}

// roll gives the stream a slot. A Roll that comes late, since it was lost and
// the slot itself told of it, counts if the slot is needed.
func (s *State) roll(st *StreamState, f Fact) {
	i, same := slices.BinarySearchFunc(st.slots, f.Start, compareBase)
	e := extent{f.Slot, f.Start, f.Epoch, f.Size}
	switch last := len(st.slots) - 1; {
	case i > last, !same && st.needed(f.Start, st.slots[i].base):
		st.slots = slices.Insert(st.slots, i, e)
	case same && i == last && st.slots[i].slot != f.Slot:
		s.idle = append(s.idle, st.slots[i].slot) // nothing was kept in it
		st.slots[i] = e
	}
}

func compareBase(e extent, base int64) int { return cmp.Compare(e.base, base) }
