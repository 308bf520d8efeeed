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

// Whatever block of the newest slot rots, and however often the device starts
// after it: objects do not overlap, none stays open for ever, what is kept later
// becomes objects, and what can be read of an object is right.
func TestRotInTheNewestSlotNeverMakesObjectsOverlapOrStandStill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "rot")
		must(t, err)
		defer os.RemoveAll(dir)
		options := Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 64 * testSlot}
		part := rapid.SampledFrom([]int64{5_000, 20_000, 1 << 20}).Draw(t, "part")
		var all []byte
		var holes [][2]int64 // of offsets that a sync covered and that hold nothing
		var s *Store
		var st *Stream
		start := func() {
			s, err = Open(options)
			must(t, err)
			st, err = s.Stream("a")
			must(t, err)
			st.SetLayout(Layout{PartSize: part, Destination: "d"})
			if at := st.Progress().Appended; at > int64(len(all)) {
				t.Fatalf("starts at %d, only %d were ever appended", at, len(all))
			} else {
				all = all[:at]
			}
		}
		feed := func() {
			for range rapid.IntRange(1, 20).Draw(t, "syncs") {
				rec := bytes.Repeat([]byte{byte(1 + len(all)%251)}, rapid.IntRange(1, 12_000).Draw(t, "bytes"))
				must(t, st.Append(rec, Mark{}))
				all = append(all, rec...)
				if rapid.IntRange(0, 3).Draw(t, "seal") == 0 {
					st.Seal()
				}
				must(t, st.Sync())
			}
		}
		start()
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			feed()
			must(t, s.Commit())
			slot := s.slots.path(st.slot.n)
			end := st.slot.next
			crash(s)
			f, err := os.OpenFile(slot, os.O_WRONLY, 0)
			must(t, err)
			junk := bytes.Repeat([]byte{0xa5}, blockSize)
			_, err = f.WriteAt(junk, blockSize*rapid.Int64Range(1, end/blockSize-1).Draw(t, "block"))
			must(t, errors.Join(err, f.Close()))
			start()
			for range rapid.IntRange(0, 2).Draw(t, "again") {
				crash(s)
				start()
			}
		}
		feed()
		st.Seal()
		must(t, st.Sync())
		holes = holes[:0]
		s.View(func(state *State) {
			ss := state.Stream(st.ID())
			at := int64(0)
			for i := range ss.Objects {
				o := &ss.Objects[i]
				if !o.Sealed() {
					t.Fatalf("object [%d, open) stays open behind %d", o.Start, len(all))
				}
				if o.Start < at {
					t.Fatalf("object [%d,%d) begins before %d, where its predecessor ended", o.Start, o.End, at)
				}
				if o.Start > at {
					holes = append(holes, [2]int64{at, o.Start})
				}
				at = o.End
				for n := 1; n <= o.NumParts(); n++ {
					p, from, to := state.Part(o, n)
					sec, err := s.Section(st.ID(), from, to)
					must(t, err)
					got, err := io.ReadAll(sec)
					must(t, sec.Close())
					var damage *DamageError
					if errors.As(err, &damage) {
						continue
					}
					must(t, err)
					if !bytes.Equal(got, all[from:to]) || p.CRC != crcOf(got) {
						t.Fatalf("part %d of [%d,%d) reads wrong bytes or has a wrong checksum", n, o.Start, o.End)
					}
				}
			}
			if at != int64(len(all)) {
				t.Fatalf("objects end at %d, kept is %d", at, len(all))
			}
			var bytes int64
			for _, h := range holes {
				bytes += h[1] - h[0]
			}
			if bytes != ss.GapBytes {
				t.Fatalf("%d bytes of holes %v, counted are %d in %d gaps", bytes, holes, ss.GapBytes, ss.Gaps)
			}
		})
		must(t, s.Close())
	})
}

func TestRotBelowAKeptByteIsACountedGap(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	var want []byte
	var ends []int64
	for i := range 3 {
		for j := range 20 {
			check(t, st.Append(line(i*20+j), Mark{}))
			want = append(want, line(i*20+j)...)
		}
		check(t, st.Sync())
		ends = append(ends, int64(len(want)))
	}
	crash(s)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	check(t, err)
	b[2*blockSize+300] ^= 1 // the second frame
	check(t, os.WriteFile(slot, b, 0o600))
	for range 2 { // finding it twice counts it once
		s = openStore(t, dir)
		st = openStream(t, s, "a", 1<<20)
		if got := st.Progress().Kept; got != ends[2] {
			t.Errorf("kept %d, want %d", got, ends[2])
		}
		if len(s.Notes()) == 0 {
			t.Errorf("nothing was said of the damage")
		}
		s.View(func(state *State) {
			ss := state.Stream(st.ID())
			if ss.Gaps != 1 || ss.GapBytes != ends[1]-ends[0] {
				t.Errorf("%d gaps of %d bytes, want 1 of %d", ss.Gaps, ss.GapBytes, ends[1]-ends[0])
			}
			if n := len(ss.Objects); n != 2 || ss.Objects[0].End != ends[0] || ss.Objects[1].Start != ends[1] || ss.Objects[1].Gap != ends[1]-ends[0] {
				t.Errorf("objects %+v", ss.Objects)
			}
		})
		if got := read(t, s, st, ends[1], ends[2]); !bytes.Equal(got, want[ends[1]:]) {
			t.Errorf("the bytes behind the damage differ")
		}
		sec, err := s.Section(st.ID(), 0, ends[2])
		check(t, err)
		_, err = io.ReadAll(sec)
		var d *DamageError
		if !errors.As(err, &d) || d.From != ends[0] || d.To != ends[1] {
			t.Errorf("reading over the damage: %v", err)
		}
		sec.Close()
		crash(s)
	}
}

func TestRotInWhatIsArchivedIsNoLoss(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	var kept int64
	for i := range 3 {
		check(t, st.Append(line(i), Mark{}))
		check(t, st.Sync())
		st.Seal()
		check(t, st.Sync())
		if i < 2 {
			s.Note(Fact{Kind: Freed, Stream: st.ID(), Start: kept})
		}
		kept = st.Progress().Kept
	}
	check(t, s.Close())
	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	check(t, err)
	b[blockSize+200] ^= 1
	b[blockSize+10] ^= 1
	check(t, os.WriteFile(slot, b, 0o600))
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	last := kept - int64(len(line(2)))
	s.View(func(state *State) {
		ss := state.Stream(st.ID())
		if ss.Gaps != 0 || len(ss.Objects) != 1 || ss.Objects[0].Start != last || ss.Objects[0].End != kept {
			t.Errorf("%d gaps, objects %+v", ss.Gaps, ss.Objects)
		}
	})
	if got := read(t, s, st, last, kept); !bytes.Equal(got, line(2)) {
		t.Errorf("read %q", got)
	}
	check(t, s.Close())
}
