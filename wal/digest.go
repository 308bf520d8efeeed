package wal

import (
	"encoding"
	"fmt"
	"hash"
	"hash/crc32"
)

// digest follows a stream's kept frames: it knows the object and the part that
// are open and their checksums, and says when a part is cut. Live and on
// start-up the same frames pass through it in the same order, so it is the one
// place that turns frames into facts.
type digest struct {
	stream   uint32
	object   int64 // start of the open object; -1: none
	part     int64 // start of its open part
	n        int64 // bytes of that part so far
	crc      uint32
	partSize int64
	hashName string
	hash     hash.Hash // nil if the destination needs none, or its state is not to be had
}

// frame takes the next frame in. next is the layout of an object that begins
// with it; emit gets the facts.
func (d *digest) frame(h *header, payload []byte, next Layout, hashes Hashes, emit func(Fact)) {
	// Else start-up reads the open object from its first frame again, and all that
	// this frame begins is known. Ending the object would let go of its slots.
	if d.object != h.offset {
		d.begin(h, next, hashes, emit)
	}
	whole := true // payload is the frame's, so its checksum is at hand
	for len(payload) > 0 {
		b := payload[:min(int64(len(payload)), d.partSize-d.n)]
		payload = payload[len(b):]
		crc := h.crc
		if whole = whole && len(payload) == 0; !whole {
			crc = crc32.Checksum(b, castagnoli)
		}
		d.crc = crcCombine(d.crc, crc, int64(len(b)))
		if d.hash != nil {
			d.hash.Write(b)
		}
		if d.n += int64(len(b)); d.n == d.partSize {
			n := int((d.part-d.object)/d.partSize) + 1
			emit(Fact{Kind: Cut, Stream: d.stream, Start: d.object, N: n, CRC: d.crc, Sum: d.sum()})
			d.nextPart(d.part + d.partSize)
		}
	}
}

// begin tells what a frame says besides its payload: that bytes are missing
// before it, and that an object begins with it.
func (d *digest) begin(h *header, next Layout, hashes Hashes, emit func(Fact)) {
	if h.skip > 0 {
		d.seal(emit)
		emit(Fact{Kind: Gap, Stream: d.stream, Start: h.offset - h.skip, End: h.offset, Lost: h.skip})
	}
	if h.flags&flagFirst != 0 || d.object < 0 {
		d.seal(emit)
		d.open(h.offset, next, hashes)
		emit(next.on(Fact{Kind: Opened, Stream: d.stream, Start: h.offset, Run: h.run, Mono: h.mono, Lost: h.lost,
			Flags: h.flags & FlagLostUnknown, GapBytes: h.skip}))
	} else if h.lost > 0 || h.flags&FlagLostUnknown != 0 {
		emit(Fact{Kind: Gap, Stream: d.stream, Start: h.offset, End: h.offset, Lost: h.lost, Flags: h.flags & FlagLostUnknown})
	}
}

// seal ends the open object behind the last frame taken in, if one is open.
func (d *digest) seal(emit func(Fact)) {
	if d.object < 0 {
		return
	}
	f := Fact{Kind: Sealed, Stream: d.stream, Start: d.object, End: d.part + d.n}
	if f.End == f.Start { // start-up found nothing of it
		f = Fact{Kind: Freed, Stream: d.stream, Start: d.object}
	}
	if d.n > 0 {
		f.CRC, f.Sum = d.crc, d.sum()
	}
	emit(f)
	d.object = -1
}

func (d *digest) open(at int64, l Layout, hashes Hashes) {
	d.object, d.partSize, d.hashName, d.hash = at, l.PartSize, l.Hash, nil
	if l.Hash != "" && hashes != nil {
		d.hash = hashes(l.Hash)
	}
	d.nextPart(at)
}

func (d *digest) nextPart(at int64) {
	d.part, d.n, d.crc = at, 0, 0
	if d.hash != nil {
		d.hash.Reset()
	}
}

func (d *digest) sum() string {
	if d.hash == nil {
		return ""
	}
	return string(d.hash.Sum(nil))
}

// Hashes makes the digest of that name, nil if it is not known. What it makes
// implements encoding.BinaryMarshaler and encoding.BinaryUnmarshaler.
type Hashes func(name string) hash.Hash

// save puts the digest into a slot's header.
func (d *digest) save(h *slotHeader) error {
	h.object, h.part, h.partSize, h.crc = d.object, d.part, d.partSize, d.crc
	if d.object < 0 {
		h.part, h.partSize, h.crc = 0, 0, 0
		return nil
	}
	if d.hash == nil {
		return nil
	}
	m, ok := d.hash.(encoding.BinaryMarshaler)
	if !ok {
		return fmt.Errorf("digest %s: cannot be saved", d.hashName)
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return fmt.Errorf("digest %s: %w", d.hashName, err)
	}
	h.hash, h.state = d.hashName, state
	return nil
}

// load takes the digest out of a slot's header. A hash whose state cannot be
// had is left out; the parts it was needed for are read again when they are sent.
func (d *digest) load(h *slotHeader, hashes Hashes) {
	d.object, d.part, d.partSize, d.crc = h.object, h.part, h.partSize, h.crc
	d.n, d.hashName, d.hash = h.base-h.part, h.hash, nil
	if d.object < 0 || h.hash == "" || hashes == nil {
		return
	}
	d.hash = hashes(h.hash)
	if u, ok := d.hash.(encoding.BinaryUnmarshaler); !ok || u.UnmarshalBinary(h.state) != nil {
		d.hash = nil
	}
}
