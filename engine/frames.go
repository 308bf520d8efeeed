package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"

	"github.com/seed-7270d448/dray/hal"
)

// A splitter returns how many bytes the first record of data takes, 0 if its end is
// not in data or data begins with none.
type splitter func(data []byte) int

// records splits as a framing does.
func records(f hal.Framing) splitter {
	framer := hal.NewFramer(f)
	return func(data []byte) int {
		advance, record := framer.Next(data, false)
		if record == nil {
			return 0
		}
		return advance
	}
}

// frames splits compressed bytes into zstd frames or gzip members: what slices of
// a compressed object must be made of.
func frames(c Compress) splitter {
	if c == Gzip {
		return gzipMember
	}
	return zstdFrame
}

// gzipMember returns the length of the member that data begins with. Its end is
// only found by decompressing it.
func gzipMember(data []byte) int {
	r := bytes.NewReader(data)
	z, err := gzip.NewReader(r)
	if err != nil {
		return 0
	}
	z.Multistream(false)
	if _, err := io.Copy(io.Discard, z); err != nil {
		return 0
	}
	return len(data) - r.Len()
}

// zstdFrame returns the length of the frame that data begins with (RFC 8878,
// section 3.1.1): a header, then blocks that say how long they are.
func zstdFrame(data []byte) int {
	const magic = 0xfd2fb528
	if len(data) < 5 || binary.LittleEndian.Uint32(data) != magic {
		return 0
	}
	flags, at := data[4], 5
	single := flags>>5&1 == 1
	if !single {
		at++ // window
	}
	at += []int{0, 1, 2, 4}[flags&3] // dictionary
	switch size := flags >> 6; {
	case size > 0:
		at += 1 << size
	case single:
		at++
	}
	for last := false; !last; {
		if len(data) < at+3 {
			return 0
		}
		head := uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16
		last, at = head&1 == 1, at+3
		switch head >> 1 & 3 {
		case 1: // one byte, repeated
			at++
		case 3:
			return 0
		default:
			at += int(head >> 3)
		}
	}
	if flags>>2&1 == 1 {
		at += 4 // checksum
	}
	if at > len(data) {
		return 0
	}
	return at
}
