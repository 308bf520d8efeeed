package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/seed-7270d448/dray/transport"
)

// recordSize is the size of a part's record, in bytes:
//
//	 0  magic "DRYP"
//	 4  number       uint32
//	 8  offset       int64, of the part in the object
//	16  size         int64
//	24  CRC32C of the part's bytes
//	28  zero
//	36  CRC32C of bytes 0 to 36
//
// All little-endian. A record whose last field is wrong says nothing: the part
// was never acknowledged, or was being replaced.
const recordSize = 40

const recordMagic = 'D' | 'R'<<8 | 'Y'<<16 | 'P'<<24

func encodeRecord(p transport.Part) []byte {
	b := make([]byte, recordSize)
	le := binary.LittleEndian
	le.PutUint32(b[0:], recordMagic)
	le.PutUint32(b[4:], uint32(p.Number))
	le.PutUint64(b[8:], uint64(p.Offset))
	le.PutUint64(b[16:], uint64(p.Size))
	le.PutUint32(b[24:], p.CRC32C)
	le.PutUint32(b[36:], crc32.Checksum(b[:36], transport.Castagnoli))
	return b
}

// decodeRecord reads the record of part number; false if it says nothing.
func decodeRecord(b []byte, number int) (p transport.Part, ok bool) {
	le := binary.LittleEndian
	if len(b) != recordSize || le.Uint32(b) != recordMagic || le.Uint32(b[36:]) != crc32.Checksum(b[:36], transport.Castagnoli) {
		return p, false
	}
	p = transport.Part{
		Number: int(le.Uint32(b[4:])),
		Offset: int64(le.Uint64(b[8:])),
		Size:   int64(le.Uint64(b[16:])),
		CRC32C: le.Uint32(b[24:]),
	}
	return p, p.Number == number && p.Offset >= 0 && p.Offset <= maxObject && p.Size >= 0 && p.Size <= maxObject
}

// readRecords returns the parts whose records count, in ascending order.
func readRecords(root *os.Root, id string) ([]transport.Part, error) {
	f, err := root.Open(uploadPath(id, partsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	b, err := io.ReadAll(io.LimitReader(f, recordSize*maxParts))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", uploadPath(id, partsFile), err)
	}
	var parts []transport.Part
	for i := 0; (i+1)*recordSize <= len(b); i++ {
		if p, ok := decodeRecord(b[i*recordSize:(i+1)*recordSize], i+1); ok {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// voidRecord makes the record of part number say nothing, durably, if it says
// anything: its bytes are about to be replaced.
func voidRecord(f *os.File, number int) error {
	b := make([]byte, recordSize)
	at := int64(number-1) * recordSize
	n, err := f.ReadAt(b, at)
	if n == 0 && errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if _, ok := decodeRecord(b[:n], number); !ok {
		return nil
	}
	return writeSync(f, make([]byte, recordSize), at)
}

// writeSync writes b at offset at and waits until it is durable.
func writeSync(f *os.File, b []byte, at int64) error {
	if _, err := f.WriteAt(b, at); err != nil {
		return err
	}
	return f.Sync()
}
