package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// Formats of the journal, all little-endian.
//
// Frame, around every record of a snapshot and of a log:
//
//	0       4            12      20     24      28
//	+-------+------------+-------+------+-------+-----------+
//	| magic | generation | index | size | crc32c | payload … |
//	+-------+------------+-------+------+-------+-----------+
//
// The CRC covers the 24 bytes before it and the payload. index counts from 1
// without a hole, in the snapshot and in the log separately; generation is that
// of the folder, so that bytes of another generation can never be taken for
// this one's. The highest bit of index is set if the append that wrote the
// record before this one wrote this one too. Where it is not set, all before
// it had been synced.
//
// Log: each frame is one entry of tidwall/wal, which puts only an unchecked
// uvarint of the frame's size before it:
//
//	| uvarint | frame | uvarint | frame | …
//
// Snapshot:
//
//	0            8         12       16           24       28
//	+------------+---------+--------+------------+--------+-------+---+-----+
//	| "DRAYJRNL" | version | crc32c | generation | crc32c | frame | … | end |
//	+------------+---------+--------+------------+--------+-------+---+-----+
//
// The first CRC covers the 12 bytes before it. These 16 bytes stay as they are
// in every later version, so that any release knows what it cannot read. The
// second covers the 24 bytes before it. The end mark is a frame with a magic of
// its own, the number of records as index, and as payload the CRC32C of every
// byte before it.
const (
	journalVersion    = 1
	journalHeaderSize = 28
	journalFrameSize  = 28
	journalEndSize    = journalFrameSize + 4

	journalMore = uint64(1) << 63 // in index: of the same append as the record before

	journalMaxRecord = 64 << 10 // bytes of one record
	journalMaxBatch  = 1 << 20  // bytes of all records of one Append
	journalMaxEntry  = binary.MaxVarintLen64 + journalFrameSize + journalMaxRecord
)

var (
	journalMagic       = []byte("DRAYJRNL")
	journalRecordMagic = []byte{0xd7, 'J', 'R', '1'}
	journalEndMagic    = []byte{0xd7, 'J', 'E', '1'}
)

// journalAppendFrame appends the frame of payload to dst.
func journalAppendFrame(dst, magic []byte, generation, index uint64, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint64(dst, generation)
	dst = binary.LittleEndian.AppendUint64(dst, index)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(dst[at:], castagnoli), castagnoli, payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, payload...)
}

// journalFrame is the header of a frame, not yet checked against its payload.
type journalFrame struct {
	generation, index uint64
	more              bool // the append that wrote the record before it wrote it too
	size              int  // bytes of payload, at most journalMaxRecord
}

// journalParseFrame reads the header at the start of b. It is false if b is
// too short, has another magic, or names a size that no frame has.
func journalParseFrame(b, magic []byte) (journalFrame, bool) {
	if len(b) < journalFrameSize || string(b[:4]) != string(magic) {
		return journalFrame{}, false
	}
	size := binary.LittleEndian.Uint32(b[20:])
	if size > journalMaxRecord {
		return journalFrame{}, false
	}
	index := binary.LittleEndian.Uint64(b[12:])
	return journalFrame{
		generation: binary.LittleEndian.Uint64(b[4:]),
		index:      index &^ journalMore,
		more:       index&journalMore != 0,
		size:       int(size),
	}, true
}

// journalPayload returns the payload of the frame at the start of b, whose
// header is f, if b holds all of it and the CRC agrees.
func journalPayload(b []byte, f journalFrame) ([]byte, bool) {
	if len(b) < journalFrameSize+f.size {
		return nil, false
	}
	payload := b[journalFrameSize : journalFrameSize+f.size]
	sum := crc32.Update(crc32.Checksum(b[:24], castagnoli), castagnoli, payload)
	return payload, sum == binary.LittleEndian.Uint32(b[24:])
}

// journalAppendHeader appends the head of a snapshot to dst, which is empty.
func journalAppendHeader(dst []byte, version uint32, generation uint64) []byte {
	dst = append(dst, journalMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
	dst = binary.LittleEndian.AppendUint64(dst, generation)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// journalParseHeader reads the head of a snapshot. version is 0 if b does not
// begin like one; ok says that the head is of our version, right, and of this
// generation.
func journalParseHeader(b []byte, generation uint64) (version uint32, ok bool) {
	if len(b) < 16 || string(b[:8]) != string(journalMagic) ||
		binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return 0, false
	}
	version = binary.LittleEndian.Uint32(b[8:])
	ok = version == journalVersion && len(b) >= journalHeaderSize &&
		binary.LittleEndian.Uint64(b[16:]) == generation &&
		binary.LittleEndian.Uint32(b[24:]) == crc32.Checksum(b[:24], castagnoli)
	return version, ok
}
