package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sort"
)

// DamageError says that kept bytes cannot be read any more.
type DamageError struct {
	Stream   string
	From, To int64 // offsets of the bytes that are gone; To is where good ones begin again, or the section's end
	Err      error // what the disk said, nil if the bytes are just not what was written
}

// Error names the stream and the offsets.
func (e *DamageError) Error() string {
	s := fmt.Sprintf("spool: stream %s: bytes %d to %d are damaged on flash", e.Stream, e.From, e.To)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns what the disk said.
func (e *DamageError) Unwrap() error { return e.Err }

// Section reads the kept bytes [from, to) of a stream: an io.ReadSeeker over
// payload that leaves out headers and checks each frame before it gives a byte
// of it away. It holds one frame in memory. It is for one goroutine; the bytes
// must belong to a live object until Close.
type Section struct {
	name     string
	id       streamID
	slots    *slots
	extents  []extent
	from, to int64
	at       int64 // offset of the next byte to read
	taken    int64 // bytes read, again and again included

	reader *slotReader
	index  int // of the extent that reader has open
	chain  chain
	frame  []byte // payload of the frame at chain.at - len(frame)
	head   header // of that frame
	broken *DamageError
}

// Section returns a reader of [from, to). It opens nothing until it is read.
func (s *Store) Section(stream uint32, from, to int64) (*Section, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.state.Stream(stream)
	if st == nil {
		return nil, fmt.Errorf("section: stream %d is not known", stream)
	}
	if from > to || from < 0 {
		return nil, fmt.Errorf("section of %s: %d to %d", st.Name, from, to)
	}
	return &Section{name: st.Name, id: streamID{st.ID, st.Epoch}, slots: s.slots, extents: append([]extent(nil), st.slots...), from: from, to: to, at: from, index: -1}, nil
}

// Size returns the bytes of the section.
func (s *Section) Size() int64 { return s.to - s.from }

// Read reads the next bytes. Damage is a *DamageError.
func (s *Section) Read(p []byte) (int, error) {
	if s.at >= s.to {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if start := s.chain.at - int64(len(s.frame)); s.frame == nil || s.at < start || s.at >= s.chain.at {
		if err := s.load(); err != nil {
			s.frame = nil
			return 0, err
		}
	}
	b := s.frame[s.at-(s.chain.at-int64(len(s.frame))):]
	n := copy(p, b[:min(int64(len(b)), s.to-s.at)])
	s.at += int64(n)
	s.taken += int64(n)
	return n, nil
}

// Taken returns how many bytes were read, bytes read again included.
func (s *Section) Taken() int64 { return s.taken }

// Damage is what the last Read that failed said; nil if there was none.
func (s *Section) Damage() *DamageError { return s.broken }

// Captured is when the frame that the last Read gave bytes of was begun: the
// start-up, and its boot clock in nanoseconds.
func (s *Section) Captured() (run uint32, mono int64) { return s.head.run, s.head.mono }

// Seek implements io.Seeker over the section. It reads nothing.
func (s *Section) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		offset += s.from
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.to
	default:
		return 0, fmt.Errorf("section of %s: seek: bad whence %d", s.name, whence)
	}
	if offset < s.from {
		return 0, fmt.Errorf("section of %s: seek before its start", s.name)
	}
	s.at = offset
	return offset - s.from, nil
}

// Close lets go of the open slot.
func (s *Section) Close() error {
	s.frame = nil
	if s.reader == nil {
		return nil
	}
	err := s.reader.f.Close()
	s.reader, s.index = nil, -1
	return err
}

// load makes frame the one that holds the byte at s.at.
func (s *Section) load() error {
	i := sort.Search(len(s.extents), func(i int) bool { return s.extents[i].base > s.at }) - 1
	if i < 0 {
		return s.damage(errors.New("no slot holds them"))
	}
	if s.index != i || s.chain.at > s.at {
		if err := s.open(i); err != nil {
			return s.damage(err)
		}
	}
	for s.chain.at <= s.at {
		h, ok, cause := s.reader.header(s.chain.pos)
		if cause != nil || !ok || !h.follows(s.id, s.chain.run, s.chain.at) || s.at < h.offset {
			// What is damaged may be before the bytes that are wanted.
			on, _, err := s.chain.find(s.reader)
			if on == nil || on.at > s.at {
				return s.damage(cmp.Or(cause, err))
			}
			s.chain = *on
			continue
		}
		if s.at < h.end() {
			var err error
			if h, s.frame, ok, err = s.chain.next(s.reader); err != nil || !ok {
				return s.damage(err)
			}
			s.head = h
			return nil
		}
		s.chain.run, s.chain.at, s.chain.pos = h.run, h.end(), s.chain.pos+h.blocks()
	}
	return nil
}

func (s *Section) open(i int) error {
	var buf []byte
	if s.reader != nil {
		buf = s.reader.buf
	}
	s.Close()
	r, err := openSlotReader(s.slots.path(s.extents[i].slot))
	if err != nil {
		return err
	}
	if buf != nil {
		r.buf = buf
	}
	s.reader, s.index = r, i
	s.chain = chain{id: s.id, at: s.extents[i].base, pos: blockSize}
	return nil
}

// damage says from where to where nothing can be read. The next read asks the
// disk again, and not the page cache: what is wrong may be wrong only there.
func (s *Section) damage(err error) error {
	e := &DamageError{Stream: s.name, From: s.at, To: s.to, Err: err}
	if i := sort.Search(len(s.extents), func(i int) bool { return s.extents[i].base > s.at }); i < len(s.extents) {
		e.To = min(e.To, s.extents[i].base)
	}
	if s.reader != nil {
		behind := s.chain
		behind.at = s.at
		if on, _, _ := behind.find(s.reader); on != nil {
			e.To = min(e.To, on.at)
		}
		s.reader.forget()
	}
	s.broken = e
	s.Close() // else the chain would go on from where it broke
	return e
}
