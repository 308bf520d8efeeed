package wal

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Whatever stands in a slot from some byte on: reading finds what was kept or
// says that it is damaged. It never gives other bytes, and never panics.
func FuzzReadDamage(f *testing.F) {
	golden := filepath.Join("testdata", "state-v1")
	slot, err := os.ReadFile(filepath.Join(golden, "spool", "00000001.slot"))
	if err != nil {
		f.Fatal(err)
	}
	dir := filepath.Join(f.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte("DRYS"))
	f.Add(uint32(blockSize), slot[2*blockSize:3*blockSize]) // a frame where another belongs
	f.Add(uint32(blockSize+24), []byte{1, 0, 0, 0, 0, 0, 0, 0})
	f.Add(uint32(blockSize+frameHeader), []byte{0xff})
	f.Add(uint32(3*blockSize), make([]byte, 2*blockSize))
	want := goldenLines(0, 600)
	from := int64(len(goldenLines(0, 200)))
	f.Fuzz(func(t *testing.T, at uint32, b []byte) {
		dirty := bytes.Clone(slot)
		copy(dirty[int(at)%len(dirty):], b)
		check(t, os.WriteFile(filepath.Join(dir, "spool", "00000001.slot"), dirty, 0o600))
		s, err := Read(dir)
		check(t, err)
		defer s.Close()
		for at, end := from, int64(len(want)); at < end; {
			sec, err := s.Section(1, at, end)
			check(t, err)
			got, err := io.ReadAll(sec)
			check(t, sec.Close())
			if !bytes.Equal(got, want[at:at+int64(len(got))]) {
				t.Fatalf("other bytes came back from %d on", at)
			}
			at += int64(len(got))
			var damage *DamageError
			switch {
			case err == nil && at < end:
				t.Fatalf("it ends at %d of %d without a word", at, end)
			case err != nil && (!errors.As(err, &damage) || damage.From != at || damage.To <= at):
				t.Fatalf("at %d: %v", at, err)
			case err != nil:
				at = damage.To
			}
		}
	})
}
