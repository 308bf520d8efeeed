package engine

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/crc32"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// A slice has a key that no whole object and no other slice has, and its parts
// are read once for the digests that slicing took from them.
func TestASliceHasAKeyAndDigestsOfItsOwn(t *testing.T) {
	dest := Destination{Name: "d", To: limited{limits: transport.Limits{MinPart: 1, MaxPart: 1 << 30, MaxParts: 10_000, PartSize: 4 << 10, MaxPut: 1 << 30, Hash: "sha",
		NewHash: func(name string) hash.Hash { return sha256.New() }}}}
	e, err := New(Config{StateDir: t.TempDir(), Device: "gw", Spool: Spool{MaxBytes: 24 << 20, MinFree: -1}, Destinations: []Destination{dest},
		Streams: []Stream{{Name: "s", Destination: "d", Object: Object{PartSize: 4 << 10, MaxBytes: 1 << 20}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var all []byte
	for i := range 600 {
		rec := fmt.Appendf(nil, "record %d\n", i)
		all = append(all, rec...)
		if err := e.Append(t.Context(), "s", rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	id := e.streams[0].wal.ID()
	keys := map[string]bool{}
	look := func() {
		e.store.View(func(s *wal.State) {
			st := s.Stream(id)
			for i := range st.Objects {
				o := &st.Objects[i]
				for n := 1; n <= o.NumParts(); n++ {
					task := e.newTask(s, st, o, e.dests["d"], step{action: actSend, part: n})
					keys[task.upload.Object.Key] = true
					_, from, to := s.Part(o, n)
					body, err := e.store.Section(id, from, to)
					if err != nil {
						t.Fatal(err)
					}
					r := result{task: task}
					made, err := e.digest(&r, body)
					want := all[from:to]
					sum := sha256.Sum256(want)
					if err != nil || r.part.CRC32C != crc32.Checksum(want, transport.Castagnoli) || !bytes.Equal(r.part.Sum, sum[:]) {
						t.Errorf("part [%d,%d): CRC %08x, sum %x: %v", from, to, r.part.CRC32C, r.part.Sum, err)
					}
					if task.unread != (made.Flags == wal.FlagUnread) {
						t.Errorf("part [%d,%d): unread %v, made %+v", from, to, task.unread, made)
					}
					body.Close()
				}
			}
		})
	}
	look()
	for _, f := range []wal.Fact{{Size: 5000}, {Size: 4 << 10}, {Start: 5000, Size: 100}} {
		f.Kind, f.Stream = wal.Sliced, id
		if err := e.store.Commit(f); err != nil {
			t.Fatal(err)
		}
		look()
	}
	// The whole, then [0,5000) and [5000,end), then [0,4096) and [4096,5000), then [5000,5100) and [5100,end).
	if len(keys) != 7 {
		t.Errorf("%d different keys, want 7: %v", len(keys), keys)
	}
}
