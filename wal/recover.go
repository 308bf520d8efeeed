package wal

import (
	"fmt"
	"hash/crc32"
	"os"
	"time"
)

// recover makes a Stream of what the journal and the newest slot say. This is
// start-up, and the only recovery there is.
//
// The frames of the newest slot pass through the digest as they did when they
// were written, and give the facts that had not reached the journal. The chain
// ends at the first frame that does not follow:
//   - if a later frame was written when more than that was kept already, or the
//     journal names a higher offset, the bytes between are rot: a gap;
//   - else it is a torn tail, which no sync ever covered.
//
// Appending goes on behind the highest offset known, in a block never written.
func (s *Store) recover(st *StreamState) (*Stream, error) {
	r := &recovery{store: s, st: st, id: streamID{st.ID, st.Epoch}, digest: digest{stream: st.ID, object: -1}}
	if err := r.start(); err != nil {
		return nil, err
	}
	for i := r.first; i < len(r.slots); i++ {
		if err := r.slot(i); err != nil {
			return nil, fmt.Errorf("stream %s: %w", st.Name, err)
		}
	}
	known := s.state.known(st)
	switch {
	case known > r.whole: // kept bytes are gone
		r.hole(max(r.chain.at, known))
	case r.group != nil: // the last record is incomplete, so no sync ever covered it
		r.chain.at, r.chain.pos, r.wipe = r.whole, r.group[0], true
	}
	// An object whose end was noted without a frame behind it.
	if o := st.last(); o == nil || o.Sealed() {
		r.digest.object = -1
	}
	stream := &Stream{store: s, id: r.id, name: st.Name, layout: s.state.layouts[st.layout], digest: r.digest,
		appended: r.whole, kept: r.whole, skip: r.skip, posID: r.posID, posOff: r.posOff, keptID: r.posID, keptOff: r.posOff,
		object: r.digest.object, partSize: r.digest.partSize}
	if r.seen > 0 {
		s.derive(Fact{Kind: Clock, Run: r.chain.run, Mono: r.seen})
	}
	if o := st.last(); o != nil {
		stream.opened = time.Now().Add(-s.age(o))
	}
	return stream, r.reopen(stream)
}

// age is for how long the first byte of o has been here: to the nanosecond within
// one boot, as well as their clocks are known over several. The time for which
// the device was off counts only where both are known.
func (s *Store) age(o *Object) time.Duration {
	at, _ := s.state.Captured(o)
	now, _ := s.state.Clock(s.now().Boot)
	return max(now.Sub(at), 0)
}

type recovery struct {
	store  *Store
	st     *StreamState
	id     streamID
	slots  []extent
	first  int   // index of the slot that the scan begins with
	floor  int64 // all below is known from facts
	digest digest
	chain  chain
	whole  int64 // offset behind the last whole record
	skip   int64 // offsets before whole that hold nothing, for the next frame
	posID  uint64
	posOff int64
	group  []int64 // file positions of frames whose last record is not whole yet
	reuse  bool    // the newest slot can be appended to
	seen   int64   // where the boot clock of the last frame stood
	wipe   bool    // the frame behind the last whole record is good, but given up
}

// start stands the digest where the facts end, and finds the slot to begin with.
//
// What the facts say is not derived again: the frames below floor are only
// followed, so rot among them is for whoever sends their object to find. Is the
// newest slot wholly behind floor, the digest is in its header; should that not
// fit the facts, the frames from floor on are read again.
func (r *recovery) start() error {
	r.slots = append([]extent(nil), r.st.slots...)
	r.stand()
	if len(r.slots) == 0 {
		r.whole = r.store.state.known(r.st)
		r.chain = chain{id: r.id, at: r.whole}
		return nil
	}
	for r.first < len(r.slots)-1 && r.slots[r.first+1].base <= r.floor {
		r.first++
	}
	for i := len(r.slots) - 1; i >= r.first; i-- {
		h, ok, err := r.header(i)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if h.base > r.floor && h.object == r.digest.object && (h.object < 0 || h.part == r.floor) {
			r.digest.load(&h, r.store.hashes)
			r.first, r.chain.run = i, h.run
		}
		break
	}
	r.whole = r.slots[r.first].base
	r.chain = chain{id: r.id, run: r.chain.run, at: r.whole}
	return nil
}

// stand makes the digest begin where the facts end: at the open part of the
// open object, or behind the last one.
func (r *recovery) stand() {
	r.floor = r.store.state.floor(r.st)
	if o := r.st.last(); o != nil && !o.Sealed() {
		r.digest.open(o.Start, r.store.state.layouts[o.layout], r.store.hashes)
		r.digest.nextPart(r.floor)
	}
}

func (r *recovery) header(i int) (h slotHeader, ok bool, err error) {
	f, err := openSlotFlash(r.store.slots.path(r.slots[i].slot))
	if os.IsNotExist(err) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer f.f.Close()
	h, ok, err = f.slotHeader()
	return h, ok && h.id == r.id && h.base == r.slots[i].base, err
}

// slot follows the frames of slot i.
func (r *recovery) slot(i int) error {
	last := i == len(r.slots)-1
	f, err := openSlotFlash(r.store.slots.path(r.slots[i].slot))
	if os.IsNotExist(err) {
		r.store.note("spool: slot %d of stream %s is gone; its bytes are a gap", r.slots[i].slot, r.st.Name)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.f.Close()
	if e := r.slots[i]; e.posID != 0 {
		r.posID, r.posOff = e.posID, e.posOff
	}
	if at := r.slots[i].base; r.whole < at { // the slot before it ended early
		r.hole(at)
	}
	r.chain.at, r.chain.pos, r.group = r.slots[i].base, blockSize, nil
	for last || r.chain.at < r.slots[i+1].base {
		pos := r.chain.pos
		h, payload, ok, err := r.chain.next(f)
		if !ok { // only what flash says twice is the end
			f.forget()
			h, payload, ok, err = r.chain.next(f)
		}
		if err != nil {
			r.store.note("spool: %s at %d: %v", f.f.Name(), pos, err)
		}
		if ok {
			if err := r.take(f, pos, &h, payload); err != nil {
				return err
			}
			continue
		}
		on, proven, failed := r.chain.find(f)
		if failed != nil {
			r.store.note("spool: %v", failed)
		}
		if !proven && err != nil {
			// Nobody can say whether it was kept. Nothing is written over it, and
			// should it have been the last that was kept, its loss is told.
			r.store.derive(Fact{Kind: Gap, Stream: r.st.ID, Start: r.chain.at, End: r.chain.at, Flags: FlagLostUnknown})
			return nil
		}
		if !proven {
			break
		}
		r.chain = *on
		r.hole(on.at)
		r.skip = 0 // the frame found stands in the chain as it is
	}
	r.reuse = last
	return nil
}

// take passes a frame through the digest once its last record is whole.
func (r *recovery) take(f *slotReader, pos int64, h *header, payload []byte) error {
	if h.skip > 0 {
		r.group = nil // what they began was given up
	}
	r.skip = 0
	if h.flags&flagMore != 0 {
		r.group = append(r.group, pos)
		return nil
	}
	for _, pos := range r.group {
		h, payload, ok, err := f.frame(pos)
		if err != nil || !ok {
			return fmt.Errorf("spool: %s at %d changed while it was read: %v", f.f.Name(), pos, err)
		}
		r.digestFrame(&h, payload)
	}
	if r.group != nil {
		var err error
		if *h, payload, _, err = f.frame(pos); err != nil {
			return err
		}
		r.group = nil
	}
	r.digestFrame(h, payload)
	r.whole, r.posID, r.posOff, r.seen = h.end(), h.posID, h.posOff, h.mono
	return nil
}

func (r *recovery) digestFrame(h *header, payload []byte) {
	if h.end() <= r.floor {
		return
	}
	if h.offset < r.floor { // it began before its part did
		tail := *h
		tail.flags, tail.skip, tail.lost = 0, 0, 0
		payload = payload[r.floor-h.offset:]
		tail.offset, tail.length, tail.crc = r.floor, uint32(len(payload)), crc32.Checksum(payload, castagnoli)
		h = &tail
	}
	r.digest.frame(h, payload, r.store.state.layouts[r.st.layout], r.store.hashes, r.store.derive)
}

// hole passes over the offsets from the last whole record up to end. Those that
// are in no object yet are a gap.
func (r *recovery) hole(end int64) {
	if end <= r.whole {
		return
	}
	if from := max(r.whole, r.floor); from < end {
		r.digest.seal(r.store.derive)
		if r.st.counted < end {
			r.store.note("spool: stream %s: %d bytes at offset %d cannot be read or are incomplete; they are a counted gap", r.st.Name, end-from, from)
		}
		r.store.derive(Fact{Kind: Gap, Stream: r.st.ID, Start: from, End: end, Lost: end - from})
	} else if r.whole >= r.st.Archived() {
		r.store.note("spool: stream %s: %d bytes at offset %d, of an object that waits, cannot be read", r.st.Name, end-r.whole, r.whole)
	}
	r.skip = end - r.whole
	r.whole = end
	r.chain.at = max(r.chain.at, end)
	r.group = nil
}

// reopen syncs the newest slot and opens it behind its last frame: what was read
// there may have no sync behind it yet, and must before it is called kept.
func (r *recovery) reopen(s *Stream) error {
	if !r.reuse || r.store.journal == nil {
		return nil
	}
	i := len(r.slots) - 1
	if _, ok, err := r.header(i); err != nil || !ok {
		return err // never written: the next sync rolls to another
	}
	n := r.slots[i].slot
	f, err := os.OpenFile(r.store.slots.path(n), os.O_RDWR, 0)
	if err == nil && r.wipe { // or a later frame could be taken for its rest
		_, err = f.WriteAt(make([]byte, blockSize), r.chain.pos)
	}
	if err == nil {
		err = fdatasync(f)
	}
	if err != nil {
		f.Close()
		r.store.slots.markBad(n)
		r.store.note("spool: slot %d cannot be synced, stream %s goes on in another: %v", n, r.st.Name, err)
		return nil
	}
	s.slot = &slotFile{n: n, f: f, next: r.chain.pos}
	return nil
}
