package transporttest

import (
	"bytes"
	"hash/crc32"
	"io"
	"math/rand/v2"

	"github.com/seed-7270d448/dray/transport"
)

// A Body is a transport.Body over bytes in memory that can be made to fail.
// Read and Seek are for one goroutine, as with any Body.
type Body struct {
	*bytes.Reader
	FailAt int64 // Read fails with Err at this offset, if Err is set
	Err    error
	BadAt  int64 // the byte at this offset is read wrong, if Bad is set
	Bad    bool
}

// NewBody returns a Body that reads b.
func NewBody(b []byte) *Body { return &Body{Reader: bytes.NewReader(b)} }

// Read reads on, with whatever fault was asked for.
func (b *Body) Read(p []byte) (int, error) {
	at := b.Reader.Size() - int64(b.Reader.Len())
	if b.Err != nil {
		if at >= b.FailAt {
			return 0, b.Err
		}
		p = p[:min(int64(len(p)), b.FailAt-at)]
	}
	n, err := b.Reader.Read(p)
	if b.Bad && b.BadAt >= at && b.BadAt < at+int64(n) {
		p[b.BadAt-at] ^= 0x10
	}
	return n, err
}

// WriteTo does as Read does: what bytes.Reader would do knows of no faults.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}

// Bytes returns n bytes that differ with seed and do not compress.
func Bytes(seed uint64, n int64) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, n)
	r := rand.NewChaCha8(key)
	_, _ = r.Read(b) // never fails
	return b
}

// Object describes b as the object key, with metadata like the engine's.
func Object(key string, b []byte) transport.Object {
	return transport.Object{
		Key:    key,
		Size:   int64(len(b)),
		CRC32C: crc32.Checksum(b, transport.Castagnoli),
		Metadata: map[string]string{
			"dray-device": "test",
			"dray-stream": "conformance",
			"dray-epoch":  "0123456789abcdef",
			"dray-start":  "42",
			"dray-note":   "blank, +, 100%, =?utf-8?q?x?=",
		},
	}
}

// Part returns part number of b, and its bytes.
func Part(d transport.Destination, b []byte, number int, partSize int64) (transport.Part, []byte) {
	from := min(int64(number-1)*partSize, int64(len(b)))
	piece := b[from:min(from+partSize, int64(len(b)))]
	p := transport.Part{
		Number: number,
		Offset: from,
		Size:   int64(len(piece)),
		CRC32C: crc32.Checksum(piece, transport.Castagnoli),
	}
	if l := d.Limits(); l.Hash != "" {
		h := l.NewHash(l.Hash)
		h.Write(piece)
		p.Sum = h.Sum(nil)
	}
	return p, piece
}
