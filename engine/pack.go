package engine

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/seed-7270d448/dray/wal"
)

// Compress says how a stream's bytes are compressed before they are kept.
type Compress string

// The ways to compress. All are of small windows and little memory.
const (
	Plain Compress = "none" // also ""
	Gzip  Compress = "gzip"
	Zstd  Compress = "zstd"
)

// defaultKey is DefaultKey with the end that names of such files have.
func (c Compress) defaultKey() string {
	return DefaultKey + map[Compress]string{Gzip: ".gz", Zstd: ".zst"}[c]
}

// encoding is the name of c in layouts and metadata; empty: bytes are as they came.
func (c Compress) encoding() string {
	if c == Plain {
		return ""
	}
	return string(c)
}

// packBytes is how much is compressed as one; each sync ends one as well.
const packBytes = 64 << 10

// A pack gathers whole records of a stream and compresses them together, each time
// into a zstd frame or gzip member of its own. So whatever is kept can be
// decompressed to its last byte, after any power cut, and objects put end to
// end, or a part of them, are what the tools take: nothing has to be closed, and
// no state to be carried over a restart. The price is that nothing is learnt
// from one to the next; so a stream that trickles packs better with longer syncs.
//
// Stream offsets, sizes and keys count what is kept.
type pack struct {
	compress Compress

	mu    sync.Mutex // held before the stream's
	block []byte     // records not yet compressed
	mark  wal.Mark   // of all of them
	out   []byte     // the last one, to be used again
	ended bool
}

// An encoder compresses for all streams, one at a time: so its tables are there once.
type encoder struct {
	mu   sync.Mutex
	zstd *zstd.Encoder
	gzip *gzip.Writer
}

// encode appends src, compressed, to dst.
func (e *encoder) encode(c Compress, dst, src []byte) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c == Gzip {
		b := bytes.NewBuffer(dst)
		if e.gzip == nil {
			e.gzip = gzip.NewWriter(b)
		} else {
			e.gzip.Reset(b)
		}
		if _, err := e.gzip.Write(src); err != nil {
			return dst, err
		}
		if err := e.gzip.Close(); err != nil {
			return dst, err
		}
		return b.Bytes(), nil
	}
	if e.zstd == nil {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(packBytes), zstd.WithEncoderCRC(false))
		if err != nil {
			return dst, err
		}
		e.zstd = z
	}
	return e.zstd.EncodeAll(src, dst), nil
}

// add takes one record. ErrBusy: no memory; nothing was added.
func (p *pack) add(st *stream, rec []byte, m wal.Mark) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return ErrClosed
	}
	if len(rec) == 0 || len(rec) > wal.MaxRecord {
		return fmt.Errorf("append to %s: a record of %d bytes; it must be 1 to %d", st.cfg.Name, len(rec), wal.MaxRecord)
	}
	lost := m.Lost > 0 || m.LostUnknown
	if len(p.block) > 0 && (lost || int64(len(p.block)+len(rec)) > min(packBytes, st.bound.Load())) {
		if err := p.pack(st); err != nil {
			return err
		}
	}
	if len(p.block) == 0 {
		p.mark = m
		p.mark.Raw = false // it is kept whole or not at all
	}
	p.mark.PosID, p.mark.PosOff = m.PosID, m.PosOff
	p.block = append(p.block, rec...)
	return nil
}

// flush hands on what was added. ErrBusy: no memory; it waits as it is.
func (p *pack) flush(st *stream) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.block) == 0 {
		return nil
	}
	return p.pack(st)
}

// end makes every later add fail with ErrClosed.
func (p *pack) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

func (p *pack) pack(st *stream) error {
	out, err := st.engine.encoder.encode(p.compress, p.out[:0], p.block)
	if err != nil {
		return err
	}
	p.out = out[:0]
	p.mark.Plain = int64(len(p.block))
	if err := st.place(out, p.mark); err != nil {
		return err
	}
	st.plain.Add(int64(len(p.block)))
	st.packed.Add(int64(len(out)))
	if p.block = p.block[:0]; cap(p.block) > 2*packBytes { // a record of a megabyte is rare
		p.block, p.out = nil, nil
	}
	return nil
}
