package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Sizes of the spool's format, in bytes.
const (
	blockSize   = 4096     // every frame begins on one, so an append never rewrites a block that holds kept bytes
	frameHeader = 104      //
	maxFrame    = 64 << 10 // header included
	maxPayload  = maxFrame - frameHeader
	frameMagic  = "DRYF"
	version     = 1 // of frames and slot headers
)

// Flags that only frames have, besides FlagLostUnknown and FlagEstimated.
const (
	flagFirst uint8 = 1 << (iota + 4) // an object begins with this frame
	flagMore                          // the last record goes on in the next frame
)

// header is a frame's header.
//
//	 0 magic "DRYF"        4 version  5 flags  6 zero(2)
//	 8 stream(4)          12 run(4)
//	16 epoch(8)           24 offset(8): of the first payload byte in the stream
//	32 length(4)          36 CRC32C of the payload(4)
//	40 kept(8): all below this offset was kept before this frame was written
//	48 skip(8): the offsets [offset-skip, offset) hold nothing
//	56 lost(8): bytes the peripheral dropped before these
//	64 wall clock(8)      72 boot clock(8), nanoseconds, of the first byte
//	80 position ID(8)     88 position offset(8): of the source, behind the last byte
//	96 raw length(4): of the payload before compression; equal to length without
//	100 CRC32C of bytes 0 to 99(4)
//	104 payload, zeros up to the next block
//
// All numbers are little-endian.
type header struct {
	flags       uint8
	stream, run uint32
	epoch       uint64
	offset      int64
	length, crc uint32
	kept        int64
	skip, lost  int64
	wall, mono  int64
	posID       uint64
	posOff      int64
	raw         uint32
}

func (h *header) end() int64 { return h.offset + int64(h.length) }

// blocks returns the bytes that the frame takes in its slot.
func (h *header) blocks() int64 { return roundUp(frameHeader + int64(h.length)) }

func roundUp(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

// encode writes the header to b[:frameHeader].
func (h *header) encode(b []byte) {
	le := binary.LittleEndian
	copy(b, frameMagic)
	b[4], b[5], b[6], b[7] = version, h.flags, 0, 0
	le.PutUint32(b[8:], h.stream)
	le.PutUint32(b[12:], h.run)
	le.PutUint64(b[16:], h.epoch)
	le.PutUint64(b[24:], uint64(h.offset))
	le.PutUint32(b[32:], h.length)
	le.PutUint32(b[36:], h.crc)
	le.PutUint64(b[40:], uint64(h.kept))
	le.PutUint64(b[48:], uint64(h.skip))
	le.PutUint64(b[56:], uint64(h.lost))
	le.PutUint64(b[64:], uint64(h.wall))
	le.PutUint64(b[72:], uint64(h.mono))
	le.PutUint64(b[80:], h.posID)
	le.PutUint64(b[88:], uint64(h.posOff))
	le.PutUint32(b[96:], h.raw)
	le.PutUint32(b[100:], crc32.Checksum(b[:100], castagnoli))
}

// decode reads a header and says whether it is one: right magic, version and
// checksum, and numbers that can be.
func (h *header) decode(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < frameHeader || string(b[:4]) != frameMagic || b[4] != version ||
		le.Uint32(b[100:]) != crc32.Checksum(b[:100], castagnoli) {
		return false
	}
	*h = header{
		flags: b[5], stream: le.Uint32(b[8:]), run: le.Uint32(b[12:]), epoch: le.Uint64(b[16:]),
		offset: int64(le.Uint64(b[24:])), length: le.Uint32(b[32:]), crc: le.Uint32(b[36:]),
		kept: int64(le.Uint64(b[40:])), skip: int64(le.Uint64(b[48:])), lost: int64(le.Uint64(b[56:])),
		wall: int64(le.Uint64(b[64:])), mono: int64(le.Uint64(b[72:])),
		posID: le.Uint64(b[80:]), posOff: int64(le.Uint64(b[88:])), raw: le.Uint32(b[96:]),
	}
	return h.length > 0 && h.length <= maxPayload && h.offset >= 0 && h.end() > 0 &&
		h.skip >= 0 && h.skip <= h.offset && h.lost >= 0 && h.kept >= 0 && h.kept <= h.offset
}

// follows says whether a frame with header h can be the one behind a
// predecessor that ended at offset at and was written in run: the one rule that
// keeps stale bytes of a reused slot, and survivors of a write that a power cut
// tore, from being spliced in. Offsets never run backwards, are never used
// twice once they were kept, and a later run outranks an earlier one.
func (h *header) follows(id streamID, run uint32, at int64) bool {
	return h.stream == id.stream && h.epoch == id.epoch && h.run >= run &&
		h.offset-h.skip <= at && at <= h.offset
}

// streamID is what ties slots and frames to a stream of this state folder.
type streamID struct {
	stream uint32
	epoch  uint64
}

// slotHeader is the first block of a slot.
//
//	 0 magic "DRYS"   4 version  5 zero(3)   8 stream(4)  12 run(4)
//	16 epoch(8)      24 base(8): offset of the first frame
//	32 position ID(8) 40 position offset(8): of the source, behind the byte before base
//	48 object(8): start of the object open at base; -1: none
//	56 part(8): start of its part open at base
//	64 part size(8)  72 CRC32C of [part, base)(4)  76 zero(4)
//	80 name length(2), name; hash name length(2), name; hash state length(2), state
//	.. zeros; 4092 CRC32C of bytes 0 to 4091(4)
//
// The digests in it are what lets start-up read the newest slot alone.
type slotHeader struct {
	id           streamID
	run          uint32
	base         int64
	posID        uint64
	posOff       int64
	object, part int64
	partSize     int64
	crc          uint32
	name, hash   string
	state        []byte
}

const slotMagic = "DRYS"

func (h *slotHeader) encode() ([]byte, error) {
	b := make([]byte, 80, blockSize)
	le := binary.LittleEndian
	copy(b, slotMagic)
	b[4] = version
	le.PutUint32(b[8:], h.id.stream)
	le.PutUint32(b[12:], h.run)
	le.PutUint64(b[16:], h.id.epoch)
	le.PutUint64(b[24:], uint64(h.base))
	le.PutUint64(b[32:], h.posID)
	le.PutUint64(b[40:], uint64(h.posOff))
	le.PutUint64(b[48:], uint64(h.object))
	le.PutUint64(b[56:], uint64(h.part))
	le.PutUint64(b[64:], uint64(h.partSize))
	le.PutUint32(b[72:], h.crc)
	for _, s := range []string{h.name, h.hash, string(h.state)} {
		b = append(le.AppendUint16(b, uint16(len(s))), s...)
	}
	if len(b) > blockSize-4 {
		return nil, fmt.Errorf("slot header: %d bytes of name and digest state do not fit", len(b))
	}
	b = b[:blockSize]
	le.PutUint32(b[blockSize-4:], crc32.Checksum(b[:blockSize-4], castagnoli))
	return b, nil
}

func (h *slotHeader) decode(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < blockSize || string(b[:4]) != slotMagic || b[4] != version ||
		le.Uint32(b[blockSize-4:]) != crc32.Checksum(b[:blockSize-4], castagnoli) {
		return false
	}
	*h = slotHeader{
		id:  streamID{le.Uint32(b[8:]), le.Uint64(b[16:])},
		run: le.Uint32(b[12:]), base: int64(le.Uint64(b[24:])),
		posID: le.Uint64(b[32:]), posOff: int64(le.Uint64(b[40:])),
		object: int64(le.Uint64(b[48:])), part: int64(le.Uint64(b[56:])),
		partSize: int64(le.Uint64(b[64:])), crc: le.Uint32(b[72:]),
	}
	var text [3]string
	rest := b[80 : blockSize-4]
	for i := range text {
		if len(rest) < 2 || int(le.Uint16(rest)) > len(rest)-2 {
			return false
		}
		n := int(le.Uint16(rest))
		text[i], rest = string(rest[2:2+n]), rest[2+n:]
	}
	h.name, h.hash, h.state = text[0], text[1], []byte(text[2])
	return h.base >= 0 && (h.object == -1 || h.object >= 0 && h.part >= h.object && h.part <= h.base && h.partSize > 0)
}
