package wal

import "sort"

// An Object is an extent of a stream that becomes one object in an archive.
// It is kept small: a sealed object that waits costs 80 bytes.
type Object struct {
	Start int64   // first offset; with the stream, its name
	End   int64   // offset behind the last byte; -1 while it is open
	Time  int64   // capture of its first byte, in nanoseconds: of Run's boot clock, or once Fixed since 1970; see Captured
	Gap   int64   // bytes known lost since the object before it began, as metadata
	Up    *Upload // nil until it has a part cut or a call intended
	sum   string  // digest of the only part of an object without Up
	crc   uint32  // likewise
	Run   uint32  // the start-up that read its first byte

	layout     uint16
	GapUnknown bool // bytes were lost there whose number is not known
	Fixed      bool // Time is that of its key and metadata, which do not change any more
	Estimated  bool // Fixed when the clock was not known
	Dropped    bool // given up; waits for its abort
	Damaged    bool // and that since its bytes cannot be read any more
	Slice      bool // was once a part of a longer object, and is named by both its ends
	Follows    bool // what the stream holds before it has keys of an epoch before
	unread     bool // of the only part of an object without Up
}

// An Upload is what is known of an object's way into the archive.
type Upload struct {
	Key    string // fixed with the first intent
	Epoch  uint64 // of the key, fixed with it; 0: the stream's first
	Device string // as the metadata says it; fixed with the first intent
	Op     Op     // the last call announced
	ID     string // the destination's upload ID; empty: no upload has begun
	Parts  []Part // cut so far, in order
	Resets int    // how often its upload was no more, and began again
	Done   *Receipt
}

// A Part is one part of an object: its digests, and the destination's word for it.
type Part struct {
	CRC    uint32
	Stored bool
	Unread bool   // CRC and Sum are not known, since the object was sliced: they come from reading its bytes
	Sum    string // what the layout's hash made of it; empty if there is none
	ETag   string // of a stored part
}

// A Receipt is what a destination said of a finished object.
type Receipt struct {
	ETag, Checksum, ArchiveID, Location string
	InDoubt                             string
	Time                                int64 // nanoseconds since 1970
}

// Sealed says whether the object has its end.
func (o *Object) Sealed() bool { return o.End >= 0 }

// Size returns the bytes of a sealed object.
func (o *Object) Size() int64 { return o.End - o.Start }

// NumParts returns how many parts are ready to be sent, and with a sealed
// object how many there are.
func (o *Object) NumParts() int {
	if o.Up != nil {
		return len(o.Up.Parts)
	}
	if o.Sealed() {
		return 1
	}
	return 0
}

// Part returns part n (from 1) and its extent in the stream.
func (s *State) Part(o *Object, n int) (p Part, from, to int64) {
	size := s.layouts[o.layout].PartSize
	from = o.Start + int64(n-1)*size
	to = from + size
	if o.Sealed() {
		to = min(to, o.End)
	}
	if o.Up == nil {
		return o.inline(), from, to
	}
	return o.Up.Parts[n-1], from, to
}

// upload returns o.Up, made if needed; the inline part moves into it.
func (o *Object) upload() *Upload {
	if o.Up == nil {
		o.Up = new(Upload)
		if o.Sealed() {
			o.Up.Parts = []Part{o.inline()}
			o.setInline(Part{})
		}
	}
	return o.Up
}

// inline is the only part of an object without Up.
func (o *Object) inline() Part { return Part{CRC: o.crc, Sum: o.sum, Unread: o.unread} }

func (o *Object) setInline(p Part) { o.crc, o.sum, o.unread = p.CRC, p.Sum, p.Unread }

// applyObject folds in a fact about a live object.
func (s *State) applyObject(st *StreamState, o *Object, f Fact) {
	switch f.Kind {
	case Cut:
		if !o.Sealed() && f.N > o.NumParts() {
			up := o.upload()
			up.Parts = append(unread(up.Parts, f.N-1), f.part())
		}
	case Sealed:
		s.seal(o, f)
	case Intent:
		up := o.upload()
		up.Op = f.Op
		if up.Key == "" && f.Key != "" {
			up.Key, up.Epoch, up.Device = f.Key, f.Epoch, f.Device
			o.Time, o.Fixed, o.Estimated, o.Follows = f.Time, true, f.Flags&FlagEstimated != 0, f.Flags&FlagFollows != 0
			st.late(o)
			if late := o.Gap - f.Lost; late > 0 { // it was lost while the call was on its way
				o.Gap = f.Lost
				st.tell(o.End, late, false)
			}
		}
	case Begun:
		o.upload().ID = f.ID
	case Stored, Missing:
		if up := o.Up; up != nil && f.N >= 1 && f.N <= len(up.Parts) {
			p := &up.Parts[f.N-1]
			if p.Unread && f.Kind == Stored {
				if f.Flags&FlagUnread == 0 {
					return // a Cut was lost: without its digests the part cannot be completed, so it is sent again
				}
				p.CRC, p.Unread = f.CRC, false // it was read to be sent
			}
			// A part that was on its way while its upload was called gone is of no use
			// to the next one.
			if f.Kind == Missing || up.ID != "" {
				p.Stored, p.ETag = f.Kind == Stored, f.ID
			}
			if f.Sum != "" { // it had to be made anew
				p.Sum = f.Sum
			}
		}
	case Reset:
		if f.N > 0 {
			o.upload().Resets = f.N
		}
		if up := o.Up; up != nil {
			up.ID, up.Op = "", NoOp
			for i := range up.Parts {
				up.Parts[i].Stored, up.Parts[i].ETag = false, ""
			}
			if f.Flags&FlagTaken != 0 {
				up.Key, up.Epoch, up.Device = "", 0, ""
				o.Follows = o.Start > 0
			}
		}
	case Completed:
		o.upload().Done = &Receipt{ETag: f.ID, Checksum: f.Sum, ArchiveID: f.Archive, Location: f.Location, InDoubt: f.Doubt, Time: f.Time}
	case Dropped:
		if !o.Dropped && o.Sealed() {
			o.Dropped, o.Damaged = true, f.Flags&FlagDamaged != 0
			if f.N == 0 { // in a snapshot its gap is counted already
				st.dropped(o)
			}
		}
	case Sliced:
		s.slice(st, o, f)
	case Freed:
		st.freed = max(st.freed, o.End)
		if !o.Sealed() { // nothing is left of it, so its gap is the next one's
			st.carry += o.Gap
			st.carryUnk = st.carryUnk || o.GapUnknown
		}
		i := 0
		for &st.Objects[i] != o {
			i++
		}
		if i == 0 {
			st.Objects[0] = Object{}
			st.Objects = st.Objects[1:]
		} else {
			st.Objects = append(st.Objects[:i], st.Objects[i+1:]...)
		}
	}
}

// dropped counts a dropped object as a gap.
func (st *StreamState) dropped(o *Object) {
	st.Gaps++
	st.GapBytes += o.Size()
	st.tell(o.End, o.Size()+o.Gap, o.GapUnknown)
}

// tell puts a loss before the offset at into the metadata of the first object
// behind it whose metadata is still open to change, be it one to come.
func (st *StreamState) tell(at, lost int64, unknown bool) {
	i := sort.Search(len(st.Objects), func(i int) bool { return st.Objects[i].Start >= at })
	for ; i < len(st.Objects); i++ {
		if o := &st.Objects[i]; (o.Up == nil || o.Up.Key == "") && !o.Dropped {
			o.Gap += lost
			o.GapUnknown = o.GapUnknown || unknown
			return
		}
	}
	st.carry += lost
	st.carryUnk = st.carryUnk || unknown
}

// facts puts the facts that rebuild o.
func (o *Object) facts(stream uint32, l Layout, put func(Fact)) {
	f := func(f Fact) {
		f.Stream, f.Start = stream, o.Start
		put(f)
	}
	opened := l.on(Fact{Kind: Opened, Run: o.Run, Lost: o.Gap, Flags: bit(o.GapUnknown, FlagLostUnknown) | bit(o.Slice, FlagSlice) | bit(o.Follows, FlagFollows)})
	if o.Fixed {
		opened.Time = o.Time
		opened.Flags |= bit(o.Estimated, FlagEstimated)
	} else {
		opened.Mono = o.Time
	}
	f(opened)
	if o.Up != nil {
		o.Up.facts(o, f)
	} else if o.Sealed() {
		f(Fact{Kind: Sealed, End: o.End, CRC: o.crc, Sum: o.sum, Flags: bit(o.unread, FlagUnread)})
	}
	if o.Dropped {
		f(Fact{Kind: Dropped, N: 1, Flags: bit(o.Damaged, FlagDamaged)})
	}
}

func (up *Upload) facts(o *Object, f func(Fact)) {
	for i, p := range up.Parts {
		f(Fact{Kind: Cut, N: i + 1, CRC: p.CRC, Sum: p.Sum, Flags: bit(p.Unread, FlagUnread)})
	}
	if o.Sealed() {
		last := up.Parts[len(up.Parts)-1] // told twice: flash rots
		f(Fact{Kind: Sealed, End: o.End, CRC: last.CRC, Sum: last.Sum, Flags: bit(last.Unread, FlagUnread)})
	}
	if up.Resets > 0 {
		f(Fact{Kind: Reset, N: up.Resets})
	}
	if up.Key != "" {
		f(Fact{Kind: Intent, Op: up.Op, Key: up.Key, Epoch: up.Epoch, Device: up.Device, Lost: o.Gap, Time: o.Time, Flags: bit(o.Estimated, FlagEstimated) | bit(o.Follows, FlagFollows)})
	}
	if up.ID != "" {
		f(Fact{Kind: Begun, ID: up.ID})
	}
	for i, p := range up.Parts {
		if p.Stored {
			f(Fact{Kind: Stored, N: i + 1, ID: p.ETag})
		}
	}
	if r := up.Done; r != nil {
		f(Fact{Kind: Completed, ID: r.ETag, Sum: r.Checksum, Archive: r.ArchiveID, Location: r.Location, Doubt: r.InDoubt, Time: r.Time})
	}
}
