package wal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

func TestFlashIsReadAsAnyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 3*flashWindow), rapid.SampledFrom([]int{0, blockSize, flashWindow, flashWindow + 1})).Draw(t, "size")
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i>>9 ^ i)
		}
		must(t, os.WriteFile(path, want, 0o600))
		f, err := openFlash(path)
		must(t, err)
		defer f.Close()
		if rapid.Bool().Draw(t, "as if there were no O_DIRECT") {
			f.buffered()
		}
		all, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
		if err != nil || !bytes.Equal(all, want) {
			t.Fatalf("got %d bytes, %v; want %d", len(all), err, len(want))
		}
		for range 20 {
			off := rapid.IntRange(0, size+1).Draw(t, "offset")
			p := make([]byte, rapid.IntRange(1, 2*flashWindow).Draw(t, "bytes"))
			n, err := f.ReadAt(p, int64(off))
			if rest := max(size-off, 0); n != min(len(p), rest) || n < len(p) && !errors.Is(err, io.EOF) || n == len(p) && err != nil {
				t.Fatalf("%d bytes at %d of %d: got %d, %v", len(p), off, size, n, err)
			}
			if n > 0 && !bytes.Equal(p[:n], want[off:off+n]) {
				t.Fatalf("%d bytes at %d are wrong", n, off)
			}
		}
	})
}
