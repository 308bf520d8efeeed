package wal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// journalScanner walks the frames of a snapshot or a log. It never trusts a
// length that it has not bounded, holds one entry (64 KiB) in memory, and hands
// out only payloads whose CRC, generation and place in the order agree.
//
// While everything is in order it goes from frame to frame. At the first byte
// that is not, it looks for the next frame by its magic; what it then finds is
// still provable, but something before it is missing.
type journalScanner struct {
	in         *bufio.Reader
	generation uint64
	emit       func(rec []byte) error    // may be nil; rec is the callee's to keep
	again      func(off int64) io.Reader // reads from there on once more; nil: there is no second look

	off     int64  // bytes passed
	looked  int64  // where again was last called
	sum     uint32 // CRC32C of the bytes passed in order
	good    int64  // end of the unbroken run of frames from the start
	last    uint64 // index of the last record found
	start   uint64 // index of the last one found that begins an append
	acked   uint64 // all records below this index are known to have been synced
	records int    // found
	broken  bool   // a record was found behind bytes that are none
	readErr error  // the medium failed; what is behind is unknown
}

func newJournalScanner(r io.Reader, generation uint64, emit func([]byte) error) *journalScanner {
	return &journalScanner{in: bufio.NewReaderSize(r, journalMaxEntry), generation: generation, emit: emit, looked: -1}
}

// peek returns the next n bytes, fewer at the end.
func (s *journalScanner) peek(n int) []byte {
	b, err := s.in.Peek(n)
	if err != nil && !errors.Is(err, io.EOF) && s.readErr == nil {
		s.readErr = err
	}
	return b
}

// look reads what comes next once more. It is false if that was done.
func (s *journalScanner) look() bool {
	if s.again == nil || s.looked == s.off {
		return false
	}
	s.looked, s.readErr = s.off, nil
	s.in.Reset(s.again(s.off))
	return true
}

// pass goes over b, which peek returned.
func (s *journalScanner) pass(b []byte) {
	s.sum = crc32.Update(s.sum, castagnoli, b)
	s.off += int64(len(b))
	// Bytes that were just peeked at are in the buffer: Discard cannot fail.
	_, _ = s.in.Discard(len(b))
}

func (s *journalScanner) found(f journalFrame, payload []byte) error {
	s.last = f.index
	if !f.more {
		s.start = f.index
	}
	s.records++
	if s.emit == nil {
		return nil
	}
	return s.emit(bytes.Clone(payload))
}

// ordered passes the frame that should come now, behind its uvarint if
// prefixed. It is false, and passes nothing, if another thing is there.
func (s *journalScanner) ordered(prefixed bool) (bool, error) {
	b := s.peek(binary.MaxVarintLen64 + journalFrameSize)
	skip, want := 0, uint64(0)
	if prefixed {
		if want, skip = binary.Uvarint(b); skip <= 0 {
			return false, nil
		}
	}
	f, ok := journalParseFrame(b[skip:], journalRecordMagic)
	if !ok || f.generation != s.generation || f.index != s.last+1 ||
		prefixed && want != uint64(journalFrameSize+f.size) {
		return false, nil
	}
	b = s.peek(skip + journalFrameSize + f.size)
	payload, ok := journalPayload(b[skip:], f)
	if !ok {
		return false, nil
	}
	err := s.found(f, payload)
	s.pass(b)
	if !s.broken {
		s.good = s.off
	}
	return true, err
}

// resync looks for the next frame of this generation with a higher index,
// whatever lies before it. What is missing before a record that goes on an
// append may never have been synced, unless acked says so.
func (s *journalScanner) resync() (bool, error) {
	for {
		b := s.peek(s.in.Size())
		more := len(b) == s.in.Size()
		at := 0
		for {
			i := bytes.Index(b[at:], journalRecordMagic)
			if i < 0 {
				// The magic may begin in the last bytes of the window.
				at = len(b)
				if more {
					at -= len(journalRecordMagic) - 1
				}
				break
			}
			at += i
			if more && len(b)-at < journalFrameSize {
				break
			}
			f, ok := journalParseFrame(b[at:], journalRecordMagic)
			if ok && f.generation == s.generation && f.index > s.last && (!f.more || f.index < s.acked) {
				if more && len(b)-at < journalFrameSize+f.size {
					break // it goes past the window, which moves on to it
				}
				if payload, ok := journalPayload(b[at:], f); ok {
					s.broken = true
					err := s.found(f, payload)
					s.pass(b[:at+journalFrameSize+f.size])
					return true, err
				}
			}
			at++
		}
		s.pass(b[:at])
		if !more {
			return false, nil
		}
	}
}

// scanLog walks a log. Behind s.good, s.broken tells damage from a torn tail.
func (s *journalScanner) scanLog() error {
	for {
		ok, err := s.ordered(true)
		if err == nil && !ok {
			if s.look() {
				continue
			}
			ok, err = s.resync()
		}
		if err != nil || !ok {
			return err
		}
	}
}

// scanSnapshot walks a snapshot. whole says that every byte of it is right and
// nothing follows; version is 0 if the head is damaged. A snapshot of a newer
// version is not looked into.
func (s *journalScanner) scanSnapshot() (version uint32, whole bool, err error) {
	head := s.peek(journalHeaderSize)
	version, intact := journalParseHeader(head, s.generation)
	if !intact && s.look() {
		head = s.peek(journalHeaderSize)
		version, intact = journalParseHeader(head, s.generation)
	}
	if version > journalVersion {
		return version, false, nil
	}
	if intact {
		s.pass(head)
		s.good = s.off
	}
	for {
		ok, err := s.ordered(false)
		if err == nil && !ok {
			if intact && !s.broken && s.atEnd() {
				return version, true, nil
			}
			if s.look() {
				continue
			}
			ok, err = s.resync()
		}
		if err != nil || !ok {
			return version, false, err
		}
	}
}

// atEnd says that the rest of the snapshot is its end mark, that it is right,
// and that it agrees with what was passed.
func (s *journalScanner) atEnd() bool {
	b := s.peek(journalEndSize + 1)
	f, ok := journalParseFrame(b, journalEndMagic)
	if !ok || len(b) != journalEndSize || f.generation != s.generation || f.index != uint64(s.records) || f.size != 4 {
		return false
	}
	payload, ok := journalPayload(b, f)
	if !ok || binary.LittleEndian.Uint32(payload) != s.sum {
		return false
	}
	s.pass(b)
	s.good = s.off
	return s.readErr == nil
}
