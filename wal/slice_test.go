package wal

import (
	"testing"
)

// slicedParts describes a stream's objects: their extents, and of each part the CRC,
// or 0 for one that must be read first.
type slicedObject struct {
	start, end int64
	slice      bool
	crcs       []uint32
}

func slicedObjects(s *State, st *StreamState) (list []slicedObject) {
	for i := range st.Objects {
		o := &st.Objects[i]
		got := slicedObject{start: o.Start, end: o.End, slice: o.Slice}
		for n := 1; n <= o.NumParts(); n++ {
			p, _, _ := s.Part(o, n)
			if p.Unread != (p.CRC == 0) {
				panic("the CRC of an unread part is known")
			}
			got.crcs = append(got.crcs, p.CRC)
		}
		list = append(list, got)
	}
	return list
}

func TestSlicesTileTheWholeAndKeepTheDigestsOfPartsThatStay(t *testing.T) {
	base := []Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Shaped, Stream: 1, Size: 100}, {Kind: Opened, Stream: 1, Mono: 7, Lost: 5},
		{Kind: Cut, Stream: 1, N: 1, CRC: 1}, {Kind: Cut, Stream: 1, N: 2, CRC: 2}, {Kind: Sealed, Stream: 1, End: 250, CRC: 3}}
	intent := Fact{Kind: Intent, Stream: 1, Op: OpCreate, Key: "whole", Device: "d", Lost: 5, Time: 7}
	begun := Fact{Kind: Begun, Stream: 1, ID: "u"}
	stored := Fact{Kind: Stored, Stream: 1, N: 2, ID: "etag"}
	reset := Fact{Kind: Reset, Stream: 1}
	at := func(n int64) Fact { return Fact{Kind: Sliced, Stream: 1, Size: n, Mono: 9} }
	whole := slicedObject{0, 250, false, []uint32{1, 2, 3}}
	for _, c := range []struct {
		name  string
		facts []Fact
		want  []slicedObject
	}{
		{"between parts", []Fact{at(100)}, []slicedObject{{0, 100, true, []uint32{1}}, {100, 250, true, []uint32{2, 3}}}},
		{"in a part", []Fact{at(150)}, []slicedObject{{0, 150, true, []uint32{1, 0}}, {150, 250, true, []uint32{0}}}},
		{"again, in the second", []Fact{at(100), {Kind: Sliced, Stream: 1, Start: 100, Size: 100}},
			[]slicedObject{{0, 100, true, []uint32{1}}, {100, 200, true, []uint32{2}}, {200, 250, true, []uint32{3}}}},
		{"again, in the first", []Fact{at(150), at(100)}, []slicedObject{{0, 100, true, []uint32{1}}, {100, 150, true, []uint32{0}}, {150, 250, true, []uint32{0}}}},
		{"behind an upload that was ended", []Fact{intent, begun, stored, reset, at(200)}, []slicedObject{{0, 200, true, []uint32{1, 2}}, {200, 250, true, []uint32{3}}}},
		{"not at its ends", []Fact{at(0), at(250), at(300), at(-1)}, []slicedObject{whole}},
		{"not with an upload begun", []Fact{intent, begun, at(100)}, []slicedObject{whole}},
		{"not with a create in doubt", []Fact{intent, at(100)}, []slicedObject{whole}},
		{"not with a put in doubt", []Fact{{Kind: Intent, Stream: 1, Op: OpPut}, at(100)}, []slicedObject{whole}},
		{"not once it is archived", []Fact{{Kind: Completed, Stream: 1}, at(100)}, []slicedObject{whole}},
		{"not once it is dropped", []Fact{{Kind: Dropped, Stream: 1}, at(100)}, []slicedObject{whole}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fold(append(base[:len(base):len(base)], c.facts...))
			got := slicedObjects(s, s.Streams[0])
			if len(got) != len(c.want) {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			for i, w := range c.want {
				g := got[i]
				if g.start != w.start || g.end != w.end || g.slice != w.slice || len(g.crcs) != len(w.crcs) {
					t.Fatalf("got %+v, want %+v", got, c.want)
				}
				for n := range w.crcs {
					if g.crcs[n] != w.crcs[n] {
						t.Errorf("got %+v, want %+v", got, c.want)
					}
				}
			}
			if o := s.Streams[0].Objects[0]; o.Gap != 5 || o.Time != 7 {
				t.Errorf("the first has a gap of %d and is of %d, want 5 and 7", o.Gap, o.Time)
			}
			if o := s.Streams[0].Objects; len(o) > 1 && (o[1].Gap != 0 || o[1].Time != 9 || o[1].Up != nil && o[1].Up.Key != "") {
				t.Errorf("the second is %+v", o[1])
			}
		})
	}
}

func TestAnUnreadPartIsKnownOnceItIsStored(t *testing.T) {
	s := fold([]Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Shaped, Stream: 1, Size: 100}, {Kind: Opened, Stream: 1}, {Kind: Cut, Stream: 1, N: 1, CRC: 1},
		{Kind: Sealed, Stream: 1, End: 150, CRC: 3}, {Kind: Sliced, Stream: 1, Size: 120},
		{Kind: Intent, Stream: 1, Op: OpCreate, Key: "k"}, {Kind: Begun, Stream: 1, ID: "u"},
		{Kind: Stored, Stream: 1, N: 1, ID: "e1", CRC: 99}, {Kind: Stored, Stream: 1, N: 2, ID: "e2", Flags: FlagUnread, CRC: 42, Sum: "s"}})
	s = fold(snapshotOf(s))
	o := &s.Streams[0].Objects[0]
	if p, _, _ := s.Part(o, 1); p != (Part{CRC: 1, Stored: true, ETag: "e1"}) {
		t.Errorf("part 1 is %+v: its CRC was known", p)
	}
	if p, _, _ := s.Part(o, 2); p != (Part{CRC: 42, Stored: true, ETag: "e2", Sum: "s"}) {
		t.Errorf("part 2 is %+v", p)
	}
}

// A dropped slice is the gap of the slice behind it, and its slots are let go.
func TestADroppedSliceIsTheGapOfTheNext(t *testing.T) {
	s := fold([]Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Roll, Stream: 1, Slot: 1}, {Kind: Opened, Stream: 1, Lost: 3}, {Kind: Roll, Stream: 1, Slot: 2, Start: 100},
		{Kind: Sealed, Stream: 1, End: 150}, {Kind: Sliced, Stream: 1, Size: 120}, {Kind: Dropped, Stream: 1}, {Kind: Freed, Stream: 1}})
	st := s.Streams[0]
	if o := st.Objects[0]; len(st.Objects) != 1 || o.Start != 120 || o.Gap != 123 || st.GapBytes != 123 || st.Slots() != 1 || st.Archived() != 120 {
		t.Errorf("%d objects, first %+v; %d bytes of gaps, %d slots, archived %d", len(st.Objects), o, st.GapBytes, st.Slots(), st.Archived())
	}
}
