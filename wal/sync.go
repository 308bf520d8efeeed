package wal

import (
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"
)

// slotFile is a slot being written.
type slotFile struct {
	n    uint32
	f    *os.File
	next int64 // where the next frame goes, in bytes from the file's start
}

// Sync makes all records appended before it durable, and tells the journal what
// became true by it. When it fails, nothing is lost: the frames stay in memory
// and the next Sync writes them to another slot, since after a failed write or
// fdatasync nobody can say what the blocks hold. ErrFull: no slot is to be had.
//
// Commit point: fdatasync of the slot. Before it a power cut takes the frames
// (start-up sees a torn tail); behind it they are kept.
func (s *Stream) Sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.closed {
		return fmt.Errorf("sync %s: %w", s.name, ErrClosed)
	}
	if err := s.sync(); err != nil {
		s.gatherOn()
		return fmt.Errorf("sync %s: %w", s.name, err)
	}
	return nil
}

func (s *Stream) sync() error {
	for left := s.due(); left > 0; {
		items, kept := s.front(left)
		n, dirty, err := s.write(items, kept)
		if err == nil && dirty {
			err = s.flush()
		}
		if err != nil {
			s.abandon()
			return err
		}
		n = complete(items[:n])
		s.keep(items[:n])
		if left -= n; left > 0 {
			if err := s.roll(); err != nil {
				return err
			}
		}
	}
	return s.hole()
}

// hole makes known for good what was lost behind the last record, if nothing has
// come since: else the next frame tells of it.
func (s *Stream) hole() error {
	s.mu.Lock()
	kept, end, quiet := s.kept, s.appended, s.cur == nil && len(s.items) == 0
	s.mu.Unlock()
	if kept == end || !quiet {
		return nil
	}
	if err := s.store.Commit(Fact{Kind: Gap, Stream: s.id.stream, Start: kept, End: end, Lost: end - kept}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = end
	return nil
}

// due says how many items wait for their sync.
func (s *Stream) due() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeFrame()
	return len(s.items)
}

// gatherOn takes the last frame up again after a failed sync. Else each try
// would leave a frame, and its buffer, for the few bytes that came since.
func (s *Stream) gatherOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.items) - 1
	if s.cur != nil || n < 0 || s.object < 0 {
		return
	}
	f := s.items[n].frame
	if f != nil && f.length < maxPayload && f.flags&flagMore == 0 && (f.end()-s.object)%s.partSize != 0 {
		s.cur, s.items = f, s.items[:n]
	}
}

// front returns the first n of them. They do not change any more.
func (s *Stream) front(n int) (items []item, kept int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[:n:n], s.kept
}

// complete returns how many of the items end with a whole record or the end of
// an object: only those may become kept.
func complete(items []item) int {
	n := len(items)
	for n > 0 && items[n-1].frame != nil && items[n-1].frame.flags&flagMore != 0 {
		n--
	}
	return n
}

// write writes frames to the slot until it is full. It returns how many items
// are done with, and whether the slot has to be synced for it.
func (s *Stream) write(items []item, kept int64) (n int, dirty bool, err error) {
	for ; n < len(items); n++ {
		f := items[n].frame
		if f == nil {
			continue
		}
		if s.slot == nil || s.slot.next+f.blocks() > s.store.slots.slotBytes {
			return n, dirty, nil
		}
		f.kept = kept
		f.crc = crc32.Checksum(f.buf[frameHeader:], castagnoli)
		f.header.encode(f.buf)
		b := f.buf[:min(int64(cap(f.buf)), f.blocks())]
		clear(b[len(f.buf):])
		if pad := f.blocks() - int64(len(b)); pad > 0 {
			b = append(b, make([]byte, pad)...)
		}
		if _, err := s.slot.f.WriteAt(b, s.slot.next); err != nil {
			return n, dirty, err
		}
		dirty = true
		s.slot.next += f.blocks()
		s.store.wear.add(f.blocks(), 0)
	}
	return n, dirty, nil
}

func (s *Stream) flush() error {
	s.store.wear.add(0, 1)
	if stall := s.store.stall; stall != nil {
		stall()
	}
	return fdatasync(s.slot.f)
}

// keep takes items that are on flash out of memory and notes what they mean.
func (s *Stream) keep(items []item) {
	if len(items) == 0 {
		return
	}
	var facts []Fact
	emit := func(f Fact) { facts = append(facts, f) }
	for _, it := range items {
		if f := it.frame; f != nil {
			s.keptID, s.keptOff = f.posID, f.posOff
			s.digest.frame(&f.header, f.buf[frameHeader:], s.layout, s.store.hashes, emit)
		} else {
			s.digest.seal(emit)
		}
	}
	s.store.Note(facts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		if f := it.frame; f != nil {
			s.kept = f.end()
			s.drop(f)
		}
	}
	clear(items)
	if s.items = s.items[len(items):]; len(s.items) == 0 {
		s.items = nil
	}
	s.store.wake()
}

// roll goes on in another slot, whose first frame begins at what is kept now.
//
// Order: all bytes below base are synced (flush); Roll is durable; only then is
// the slot written. Commit point: the journal's fsync of Roll. Before it the
// slot belongs to nobody, whatever it holds; behind it the stream's bytes from
// base on are looked for there and nowhere else.
func (s *Stream) roll() error {
	s.close()
	base := s.Progress().Kept
	n, err := s.store.slots.take()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.store.slots.path(n), os.O_RDWR, 0)
	if err != nil {
		s.store.slots.markBad(n)
		s.store.slots.drop(n)
		return err
	}
	h := slotHeader{id: s.id, run: s.store.run, base: base, name: s.name, posID: s.keptID, posOff: s.keptOff}
	if err = s.digest.save(&h); err == nil {
		err = s.store.Commit(Fact{Kind: Roll, Stream: s.id.stream, Slot: n, Start: base, Epoch: s.keptID, Size: s.keptOff})
	}
	if err != nil {
		f.Close()
		s.store.slots.drop(n)
		return err
	}
	s.slot = &slotFile{n: n, f: f, next: blockSize}
	b, err := h.encode()
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	s.store.wear.add(blockSize, 0)
	if err != nil {
		s.abandon()
	}
	return err
}

// abandon leaves a slot on which a write or a sync failed.
func (s *Stream) abandon() {
	if s.slot != nil {
		s.store.slots.markBad(s.slot.n)
	}
	s.close()
}

func (s *Stream) close() {
	if s.slot != nil {
		s.slot.f.Close()
		s.slot = nil
	}
}

func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
