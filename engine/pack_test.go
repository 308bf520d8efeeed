package engine

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// unpack decompresses what may be several frames or members, as the tools do.
func unpack(t fataler, c Compress, packed []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	if c == Gzip {
		r, err = gzip.NewReader(bytes.NewReader(packed))
	} else {
		var z *zstd.Decoder
		z, err = zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
		r = z
		if err == nil {
			defer z.Close()
		}
	}
	if err != nil {
		t.Fatalf("%s of %d bytes: %v", c, len(packed), err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s of %d bytes: %v", c, len(packed), err)
	}
	return plain
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// packing is an engine of one stream that compresses, on a state folder.
func packing(t *testing.T, dir string, c Compress, o Object) *Engine {
	t.Helper()
	limits := transport.Limits{MinPart: 4 * kib, MaxPart: 1 << 30, MaxParts: 10_000, PartSize: 64 * kib, MaxPut: 1 << 30}
	e, err := New(Config{StateDir: dir, Device: "gw", Spool: Spool{MaxBytes: 128 * mib, MinFree: -1},
		Streams:      []Stream{{Name: "s", Compress: c, Object: o, Destination: "d"}},
		Destinations: []Destination{{Name: "d", To: limited{limits: limits}}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// objects returns the bytes of each object of the stream that is kept, in order,
// and of those only that are sealed.
func objects(t *testing.T, e *Engine) (list [][]byte) {
	t.Helper()
	type extent struct{ from, to int64 }
	var extents []extent
	id := e.streams[0].wal.ID()
	e.store.View(func(s *wal.State) {
		for _, o := range s.Stream(id).Objects {
			end := o.End
			if !o.Sealed() {
				end = e.store.Kept(id)
			}
			extents = append(extents, extent{o.Start, end})
		}
	})
	for _, x := range extents {
		body, err := e.store.Section(id, x.from, x.to)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
		body.Close()
	}
	return list
}

func TestEveryObjectIsMadeOfWholeFramesAndWholeRecords(t *testing.T) {
	for _, c := range []Compress{Zstd, Gzip} {
		e := packing(t, t.TempDir(), c, Object{MaxBytes: 20_000})
		var want bytes.Buffer
		for i := range 20_000 {
			rec := fmt.Appendf(nil, "%d,%x\n", i, i*i*i)
			want.Write(rec)
			if err := e.Append(t.Context(), "s", rec); err != nil {
				t.Fatal(err)
			}
			if i%700 == 0 {
				if err := e.Sync(t.Context(), "s"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := e.Flush(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		var got []byte
		list := objects(t, e)
		for i, b := range list {
			plain := unpack(t, c, b)
			if len(b) > 20_000 || plain[len(plain)-1] != '\n' {
				t.Errorf("%s: object %d has %d bytes and ends with %q", c, i, len(b), plain[len(plain)-1:])
			}
			got = append(got, plain...)
		}
		if len(list) < 2 || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %d objects decompress to %d bytes that are not the %d appended", c, len(list), len(got), want.Len())
		}
		if plain := unpack(t, c, bytes.Join(list, nil)); !bytes.Equal(plain, want.Bytes()) {
			t.Errorf("%s: put end to end they decompress to something else", c)
		}
		s := e.Status().Streams[0]
		if s.Plain != int64(want.Len()) || s.Packed != s.Kept || s.Compress != string(c) {
			t.Errorf("%s: status says %d bytes became %d of %d kept, by %q", c, s.Plain, s.Packed, s.Kept, s.Compress)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that dies leaves what was synced; the next goes on behind it, in the
// same object, which stays one that the tools take.
func TestARestartInTheMiddleOfAnObjectLeavesItWhole(t *testing.T) {
	for _, c := range []Compress{Zstd, Gzip} {
		dir := t.TempDir()
		var want []byte
		for run := range 4 {
			e := packing(t, dir, c, Object{})
			for i := range 100 {
				rec := fmt.Appendf(nil, "run %d record %d\n", run, i)
				want = append(want, rec...)
				if err := e.Append(t.Context(), "s", rec); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.Sync(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
			if err := e.Append(t.Context(), "s", []byte("not synced\n")); err != nil {
				t.Fatal(err)
			}
			list := objects(t, e)
			if got := unpack(t, c, bytes.Join(list, nil)); len(list) != 1 || !bytes.Equal(got, want) {
				t.Errorf("%s: after %d runs %d objects decompress to %q", c, run+1, len(list), got[max(0, len(got)-40):])
			}
			if err := e.Close(); err != nil { // without a sync
				t.Fatal(err)
			}
			if err := e.Append(t.Context(), "s", []byte("late")); !errors.Is(err, ErrClosed) {
				t.Errorf("Append after Close: %v, want %v", err, ErrClosed)
			}
		}
	}
}

// Compression that is turned on or off begins another object: none is of two kinds.
func TestAnObjectHasOneEncoding(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []Compress{Plain, Zstd, Gzip, Plain} {
		e := packing(t, dir, c, Object{})
		if err := e.Append(t.Context(), "s", []byte("record\n")); err != nil {
			t.Fatal(err)
		}
		if err := e.Sync(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e := packing(t, dir, Plain, Object{})
	defer e.Close()
	list := objects(t, e)
	var encodings, ends []string
	e.store.View(func(s *wal.State) {
		st := s.Stream(e.streams[0].wal.ID())
		for i := range st.Objects {
			o := &st.Objects[i]
			encodings = append(encodings, s.Layout(o).Encoding)
			sent := e.newTask(s, st, o, e.dests["d"], step{}).upload.Object
			if m := sent.Metadata; m["dray-encoding"] != s.Layout(o).Encoding {
				t.Errorf("object %d: metadata says %q", i, m["dray-encoding"])
			}
			ends = append(ends, path.Ext(sent.Key))
		}
	})
	if fmt.Sprint(encodings) != "[ zstd gzip ]" {
		t.Fatalf("encodings %q", encodings)
	}
	if fmt.Sprint(ends) != "[.log .zst .gz .log]" {
		t.Errorf("keys end with %q", ends)
	}
	for i, c := range []Compress{Plain, Zstd, Gzip, Plain} {
		b := list[i]
		if c != Plain {
			b = unpack(t, c, b)
		}
		if string(b) != "record\n" {
			t.Errorf("object %d: %q", i, b)
		}
	}
}

func TestRecordsOfAnySizeArePackedWhole(t *testing.T) {
	for _, c := range []Compress{Zstd, Gzip} {
		e := packing(t, t.TempDir(), c, Object{})
		noise := make([]byte, wal.MaxRecord)
		x := uint32(1)
		for i := range noise { // nothing to compress
			x = x*1664525 + 1013904223
			noise[i] = byte(x >> 24)
		}
		var want []byte
		for _, n := range []int{1, packBytes, packBytes + 1, wal.MaxRecord, 1} {
			want = append(want, noise[:n]...)
			if err := e.Append(t.Context(), "s", noise[:n]); err != nil {
				t.Fatalf("%s: a record of %d bytes: %v", c, n, err)
			}
			if err := e.Sync(t.Context(), "s"); err != nil {
				t.Fatal(err)
			}
		}
		if got := unpack(t, c, bytes.Join(objects(t, e), nil)); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes came out, %d went in", c, len(got), len(want))
		}
		for _, n := range []int{0, wal.MaxRecord + 1} {
			if err := e.Append(t.Context(), "s", make([]byte, n)); err == nil {
				t.Errorf("a record of %d bytes was taken", n)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheKeyOfACompressedStreamSaysSo(t *testing.T) {
	for c, suffix := range map[Compress]string{"": ".log", Plain: ".log", Gzip: ".log.gz", Zstd: ".log.zst"} {
		cfg := Config{Streams: []Stream{{Name: "s", Compress: c}}}.withDefaults()
		if key := cfg.Streams[0].Key; !strings.HasSuffix(key, suffix) {
			t.Errorf("%q: key %s, want it to end with %s", c, key, suffix)
		}
	}
}

// A slice of a compressed object begins and ends with whole frames.
func TestSlicesOfCompressedObjectsDecompress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]Compress{Zstd, Gzip}).Draw(t, "compress")
		var enc encoder
		var packed, plain []byte
		ends := map[int64]bool{}
		for range rapid.IntRange(1, 12).Draw(t, "frames") {
			block := []byte(strings.Repeat("abcdefgh", rapid.IntRange(1, 4000).Draw(t, "length")))
			for i := range block {
				block[i] ^= byte(rapid.IntRange(0, 1).Draw(t, "noise"))
				if i > 200 {
					break
				}
			}
			var err error
			if packed, err = enc.encode(c, packed, block); err != nil {
				t.Fatalf("encode: %v", err)
			}
			plain = append(plain, block...)
			ends[int64(len(packed))] = true
		}
		limit := rapid.Int64Range(1, int64(2*len(packed))).Draw(t, "limit")
		at := lastRecord(bytes.NewReader(packed), frames(c), limit)
		if !ends[at] && (at != limit || at < int64(len(packed)) && at >= 400) {
			first := int64(len(packed))
			for end := range ends {
				first = min(first, end)
			}
			if first <= 2*limit {
				t.Fatalf("cut at %d of %d, limit %d, within a frame", at, len(packed), limit)
			}
		}
		if ends[at] {
			got := append(unpack(t, c, packed[:at]), unpackRest(t, c, packed[at:])...)
			if !bytes.Equal(got, plain) {
				t.Fatalf("slices at %d decompress to something else", at)
			}
		}
	})
}

func unpackRest(t fataler, c Compress, b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return unpack(t, c, b)
}

func FuzzFrames(f *testing.F) {
	var enc encoder
	for _, c := range []Compress{Zstd, Gzip} {
		b, err := enc.encode(c, nil, []byte(strings.Repeat("the quick brown fox ", 100)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c == Gzip, b)
		f.Add(c == Gzip, b[:len(b)-3])
	}
	f.Fuzz(func(t *testing.T, gz bool, data []byte) {
		c := Zstd
		if gz {
			c = Gzip
		}
		if n := frames(c)(data); n < 0 || n > len(data) {
			t.Fatalf("%d of %d bytes", n, len(data))
		}
	})
}
