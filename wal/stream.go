package wal

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrBusy says that the memory for bytes that are not yet on flash is used up.
// Wait for Room, or count the record as lost.
var ErrBusy = errors.New("no memory left for bytes that wait for their sync")

// ErrClosed says that the store is closed, or that the stream has ended.
var ErrClosed = errors.New("the state folder is closed")

// MaxRecord is the greatest record that Append takes, in bytes.
const MaxRecord = 1 << 20

// packOverhead is what compression may add to a record, in bytes.
const packOverhead = 1 << 10

// Mark is what is known of a record besides its bytes.
type Mark struct {
	PosID       uint64 // where the source stands behind the record; zero if it cannot seek
	PosOff      int64
	Lost        int64 // bytes lost just before the record
	LostUnknown bool  // bytes were lost there whose number is not known
	Time        time.Time
	// Raw: these bytes may be cut anywhere, also by a power cut. Else they are
	// kept whole or not at all.
	Raw bool
	// Plain is how many bytes these were before compression; 0: these.
	Plain int64
}

// Stream is the end of a stream that is written to. Append and Seal only touch
// memory and never wait for flash; Sync makes what they left durable. All
// methods are safe for concurrent use.
type Stream struct {
	store *Store
	id    streamID
	name  string

	mu       sync.Mutex
	items    []item // not yet kept, in order
	cur      *frame // being gathered, not yet in items
	appended int64  // offset of the next byte
	kept     int64  // all before it survives a power cut
	skip     int64  // offsets before appended that hold nothing, for the next frame
	lost     int64  // what discarded frames said was lost before them, for the next frame
	lostUnk  bool
	posID    uint64 // where the source stood behind the last record
	posOff   int64
	object   int64 // start of the object being gathered; -1: none
	opened   time.Time
	partSize int64  // of that object
	layout   Layout // of the next one
	pending  int64  // bytes in items and cur
	ended    bool   // nothing may be appended any more

	syncing sync.Mutex // held by Sync; guards what follows
	slot    *slotFile  // being written; nil: the next sync begins with a roll
	digest  digest
	keptID  uint64 // where the source stood behind the last kept record
	keptOff int64
	closed  bool // the store is: another process may hold its folder
}

// item is a frame, or, with frame nil, the end of an object.
type item struct{ frame *frame }

// frame gathers records. buf has room for the header in front.
type frame struct {
	header
	buf []byte
}

// Append adds one record: it is a part of the stream when Append returns, and
// kept when a later Sync returns. ErrBusy if memory is used up: nothing was added.
func (s *Stream) Append(rec []byte, m Mark) error {
	if len(rec) == 0 || len(rec) > MaxRecord && (m.Plain == 0 || len(rec) > MaxRecord+packOverhead) || int64(len(rec)) > s.store.slots.slotBytes/4 {
		return fmt.Errorf("append to %s: a record of %d bytes; it must be 1 to %d", s.name, len(rec), min(MaxRecord, s.store.slots.slotBytes/4))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return fmt.Errorf("append to %s: %w", s.name, ErrClosed)
	}
	if !s.store.memory.take(int64(len(rec)), s.pending) {
		return ErrBusy
	}
	s.pending += int64(len(rec))
	// A record that goes on in another frame is lost with it; so it begins one of
	// its own if it does not fit.
	if m.Lost > 0 || m.LostUnknown || !m.Raw && s.cur != nil && int(s.cur.length)+len(rec) > maxPayload {
		s.closeFrame()
	}
	for rest := rec; len(rest) > 0; {
		f := s.frame(&m)
		// A frame ends with its part, so that a part is a whole number of frames.
		left := s.partSize - (f.end()-s.object)%s.partSize
		n := int(min(left, int64(len(rest)), int64(maxPayload)-int64(f.length)))
		f.buf = append(f.buf, rest[:n]...)
		f.length += uint32(n)
		f.raw += m.plain(len(rec), len(rec)-len(rest), n)
		rest = rest[n:]
		s.appended += int64(n)
		if f.flags &^= flagMore; len(rest) > 0 && !m.Raw {
			f.flags |= flagMore
		} else {
			s.posID, s.posOff = m.PosID, max(m.PosOff-int64(len(rest)), 0)
		}
		f.posID, f.posOff = s.posID, s.posOff
		if int64(n) == left || f.length == maxPayload {
			s.closeFrame()
		}
	}
	return nil
}

// plain is what n bytes from at on were before compression, of size bytes in all:
// what falls to each frame, so that the frames of a record add up to it.
func (m *Mark) plain(size, at, n int) uint32 {
	if m.Plain == 0 {
		return uint32(n)
	}
	part := func(to int) int64 { return m.Plain * int64(to) / int64(size) }
	return uint32(part(at+n) - part(at))
}

// frame returns the frame being gathered, or begins one.
func (s *Stream) frame(m *Mark) *frame {
	if s.cur != nil {
		return s.cur
	}
	now := s.store.now()
	boot := now.Boot
	if !m.Time.IsZero() {
		boot -= now.Wall.Sub(m.Time)
	}
	f := &frame{buf: s.store.memory.buffer()}
	f.header = header{stream: s.id.stream, epoch: s.id.epoch, run: s.store.run, offset: s.appended, skip: s.skip,
		lost: m.Lost + s.lost, flags: bit(m.LostUnknown || s.lostUnk, FlagLostUnknown), wall: now.Wall.UnixNano(), mono: int64(boot)}
	if s.object < 0 {
		f.flags |= flagFirst
		s.object, s.partSize, s.opened = s.appended, s.layout.PartSize, time.Now()
	}
	s.skip, s.lost, s.lostUnk, m.Lost, m.LostUnknown = 0, 0, false, 0, false
	s.cur = f
	return f
}

func (s *Stream) closeFrame() {
	if s.cur != nil {
		s.items = append(s.items, item{s.cur})
		s.cur = nil
	}
}

// Seal ends the object being gathered; the next record begins another one. It
// is durable with the first fact that needs it, at the latest when the object's
// last call is intended. Without an open object it does nothing.
func (s *Stream) Seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
}

func (s *Stream) seal() {
	if s.object < 0 {
		return
	}
	s.closeFrame()
	s.items = append(s.items, item{})
	s.object = -1
}

// SealKept ends the open object behind its last kept byte, so that it can go
// out, or give way, although nothing more can be kept now. What waits begins
// the next object. Without an object that has kept bytes it does nothing.
func (s *Stream) SealKept() {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	start := s.digest.object
	if start < 0 {
		return
	}
	s.digest.seal(func(f Fact) { s.store.Note(f) })
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.cur
	if len(s.items) > 0 {
		first = s.items[0].frame // nil: it was to end here anyway
	}
	if first != nil {
		first.flags |= flagFirst
	}
	if s.object == start {
		s.object = -1
		if first != nil {
			s.object, s.partSize, s.opened = first.offset, s.layout.PartSize, time.Now().Add(time.Duration(first.mono)-s.store.now().Boot)
		}
	}
	s.store.wake()
}

// Lose says that n bytes were lost behind the last record, for a loss that no
// record follows to tell of it. They get offsets, a hole that the next Sync makes
// known for good; the next object counts it as its gap.
func (s *Stream) Lose(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
	s.skip += n
	s.appended += n
}

// Discard gives up what is not yet kept, as the policy drop_newest says: its
// offsets become a hole that the next object counts as its gap.
func (s *Stream) Discard() (bytes int64) {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	s.closeFrame()
	at, skip := s.appended, s.skip // of the first that is given up
	for _, it := range slices.Backward(s.items) {
		if f := it.frame; f != nil {
			at, skip = f.offset, f.skip
			s.lost += f.lost
			s.lostUnk = s.lostUnk || f.flags&FlagLostUnknown != 0
			s.drop(f)
		}
	}
	s.items, s.object = nil, -1
	if s.digest.object >= 0 { // it has kept bytes: end it before the hole
		s.items = append(s.items, item{})
	}
	end := s.appended
	bytes = end - s.kept
	s.skip = skip + end - at
	s.kept = end
	s.mu.Unlock()
	if bytes > 0 {
		s.store.Note(Fact{Kind: Gap, Stream: s.id.stream, Start: end - bytes, End: end, Lost: bytes})
	}
	return bytes
}

// drop lets go of a frame's memory.
func (s *Stream) drop(f *frame) {
	s.pending -= int64(f.length)
	s.store.memory.give(int64(f.length), f.buf)
	f.buf = nil
}

// SetLayout says how objects that begin from now on are cut, and for whom. A
// new destination or encoding ends the open object.
func (s *Stream) SetLayout(l Layout) {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	changed := s.layout != l
	if s.layout.Destination != l.Destination || s.layout.Encoding != l.Encoding {
		s.seal() // what comes now is not for the old one, or not like it
	}
	s.layout = l
	s.mu.Unlock()
	if changed {
		s.store.Note(l.on(Fact{Kind: Shaped, Stream: s.id.stream}))
	}
}

// End makes every later Append fail with ErrClosed, and those that wait for
// Room look again. A Sync behind it makes all that was ever appended durable.
func (s *Stream) End() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.store.memory.give(0, nil)
}

// Progress is where a stream stands.
type Progress struct {
	Appended int64 // offset behind the last record
	Kept     int64 // offset below which everything survives a power cut
	Object   int64 // start of the object being gathered; -1: none
	Opened   time.Time
	PosID    uint64 // where the source stood behind the last record
	PosOff   int64
}

// Progress returns where the stream stands.
func (s *Stream) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Progress{s.appended, s.kept, s.object, s.opened, s.posID, s.posOff}
}

// ID returns the stream's number in State.
func (s *Stream) ID() uint32 { return s.id.stream }
