package wal

import (
	"cmp"
	"slices"
)

// Slicing makes two objects of one: the bytes before an offset, and those from
// it on. It is how an object gets past what the whole cannot: bytes that flash
// has lost, or a link that carries nothing so large.
//
// The two have keys of their own (Object.Slice), so that neither can meet what
// may have been left of the whole. Parts that lie as they lay keep their
// digests; the others are Unread, until they are read to be sent.

// Sliceable says whether the object can be sliced: it has its end, and nothing
// of it can be at a destination, or come to be there, under the key of the
// whole. An upload that has begun must be aborted first; a put or complete must
// be settled.
func (o *Object) Sliceable() bool {
	return o.Sealed() && !o.Dropped && (o.Up == nil || o.Up.Op == NoOp && o.Up.ID == "" && o.Up.Done == nil)
}

// slice folds in Sliced.
func (s *State) slice(st *StreamState, o *Object, f Fact) {
	if !o.Sliceable() || f.Size <= 0 || f.Size >= o.Size() {
		return
	}
	parts := []Part{o.inline()}
	if o.Up != nil {
		parts = o.Up.Parts
	}
	partSize := s.layouts[o.layout].PartSize
	whole := int(f.Size / partSize) // parts that the first object has as they are
	var rest []Part
	if f.Size%partSize == 0 {
		rest = parts[whole:]
	}
	tail := Object{Start: o.Start + f.Size, End: o.End, Time: o.Time, Run: o.Run, layout: o.layout, Fixed: o.Fixed, Estimated: o.Estimated, Slice: true}
	if f.Mono != 0 {
		tail.Time, tail.Run, tail.Fixed, tail.Estimated = f.Mono, cmp.Or(f.Run, o.Run), false, false
		s.clock(tail.Run, f.Mono, 0, Unknown)
	}
	tail.setParts(rest, partSize)
	o.Follows = o.Follows || o.keyed() && st.EpochOf(o) != st.KeyEpoch() && o.Start > 0
	o.End, o.Slice = tail.Start, true
	o.setParts(parts[:whole], partSize)
	i, _ := slices.BinarySearchFunc(st.Objects, tail.Start, func(o Object, start int64) int { return cmp.Compare(o.Start, start) })
	st.Objects = slices.Insert(st.Objects, i, tail)
}

// setParts gives a sealed object without an upload its parts: those known, and
// as many unread ones as are missing.
func (o *Object) setParts(known []Part, partSize int64) {
	parts := make([]Part, (o.Size()+partSize-1)/partSize)
	for i := range parts {
		parts[i] = Part{Unread: true}
		if i < len(known) {
			parts[i] = Part{CRC: known[i].CRC, Sum: known[i].Sum, Unread: known[i].Unread}
		}
	}
	o.Up = nil
	o.setInline(Part{})
	if len(parts) == 1 {
		o.setInline(parts[0])
	} else {
		o.Up = &Upload{Parts: parts}
	}
}

// part is the part that a Cut or Sealed tells of.
func (f *Fact) part() Part { return Part{CRC: f.CRC, Sum: f.Sum, Unread: f.Flags&FlagUnread != 0} }
