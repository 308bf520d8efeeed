package wal

import (
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// slotReader reads the frames of one slot. It never writes.
type slotReader struct {
	f    slotBytes
	size int64
	buf  []byte // one frame
}

// slotBytes is what is read of an open slot file.
type slotBytes interface {
	io.ReaderAt
	io.Closer
	Name() string
}

func openSlotReader(path string) (*slotReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return newSlotReader(f, f)
}

// openSlotFlash opens a slot as flash has it.
func openSlotFlash(path string) (*slotReader, error) {
	f, err := openFlash(path)
	if err != nil {
		return nil, err
	}
	return newSlotReader(f, f.f)
}

func newSlotReader(b slotBytes, f *os.File) (*slotReader, error) {
	info, err := f.Stat()
	if err != nil {
		b.Close()
		return nil, err
	}
	return &slotReader{f: b, size: info.Size(), buf: make([]byte, maxFrame)}, nil
}

// slotHeader returns the slot's first block, if it is one that belongs to id and base.
func (r *slotReader) slotHeader() (h slotHeader, ok bool, err error) {
	b := r.buf[:blockSize]
	if _, err := r.f.ReadAt(b, 0); err != nil {
		if err == io.EOF {
			err = nil
		}
		return h, false, err
	}
	return h, h.decode(b), nil
}

// header reads the header at pos. ok is false if there is none.
func (r *slotReader) header(pos int64) (h header, ok bool, err error) {
	if pos+frameHeader > r.size {
		return h, false, nil
	}
	b := r.buf[:frameHeader]
	if _, err := r.f.ReadAt(b, pos); err != nil {
		return h, false, err
	}
	ok = h.decode(b) && pos+h.blocks() <= r.size
	return h, ok, nil
}

// frame reads the frame at pos, header and payload, and checks both. The
// payload is good until the next call.
func (r *slotReader) frame(pos int64) (h header, payload []byte, ok bool, err error) {
	if pos+frameHeader > r.size {
		return h, nil, false, nil
	}
	b := r.buf[:min(maxFrame, r.size-pos)]
	n, err := r.f.ReadAt(b[:min(blockSize, len(b))], pos) // most frames of a slow stream are one block
	if err != nil {
		return h, nil, false, err
	}
	if !h.decode(b) || pos+h.blocks() > r.size {
		return h, nil, false, nil
	}
	if end := frameHeader + int(h.length); end > n {
		if _, err := r.f.ReadAt(b[n:end], pos+int64(n)); err != nil {
			return h, nil, false, err
		}
	}
	payload = b[frameHeader : frameHeader+int(h.length)]
	return h, payload, crc32.Checksum(payload, castagnoli) == h.crc, nil
}

// chain follows the frames of one stream through one slot.
type chain struct {
	id  streamID
	run uint32
	at  int64 // offset behind the last frame
	pos int64 // file position behind the last frame
}

// next returns the frame that follows. ok is false where the chain ends: the
// slot's end, a torn tail, stale bytes, or rot.
func (c *chain) next(r *slotReader) (h header, payload []byte, ok bool, err error) {
	h, payload, ok, err = r.frame(c.pos)
	if err != nil || !ok || !h.follows(c.id, c.run, c.at) {
		return h, nil, false, err
	}
	c.run, c.at, c.pos = h.run, h.end(), c.pos+h.blocks()
	return h, payload, true, nil
}

// find looks behind the end of a chain for where it goes on: the chain before
// the first good frame there, nil if there is none. proven says that a frame
// was found which was written when more than c.at was kept: what is missing is
// rot then, and no torn tail. What the disk cannot read is passed over; err is
// what it said first.
func (c chain) find(r *slotReader) (on *chain, proven bool, err error) {
	for p := c.pos + blockSize; p+frameHeader <= r.size; {
		h, ok, bad := r.header(p)
		step := int64(blockSize)
		if ok = ok && bad == nil && h.stream == c.id.stream && h.epoch == c.id.epoch && h.run >= c.run && h.offset > c.at; ok {
			if _, _, ok, bad = r.frame(p); bad == nil && ok {
				step = h.blocks()
			}
		}
		if bad != nil && err == nil {
			err = fmt.Errorf("%s at %d: %w", r.f.Name(), p, bad)
		}
		if ok && bad == nil {
			if on == nil {
				on = &chain{id: c.id, run: h.run, at: h.offset, pos: p}
			}
			proven = proven || h.kept > c.at
		}
		p += step
	}
	return on, proven, err
}

// forget makes the next read of the slot ask the disk, and not the page cache.
func (r *slotReader) forget() { askAgain(r.f) }
