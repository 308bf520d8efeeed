package wal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const testSlot = 256 << 10

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 64 * testSlot})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openStream(t *testing.T, s *Store, name string, part int64) *Stream {
	t.Helper()
	st, err := s.Stream(name)
	if err != nil {
		t.Fatal(err)
	}
	st.SetLayout(Layout{PartSize: part, Destination: "d"})
	return st
}

// crash leaves a store as a kill does: nothing is closed in order.
func crash(s *Store) {
	s.journal.Close()
	s.ledger.Close()
	for _, st := range s.streams {
		st.close()
	}
	s.lock.Close()
}

func line(i int) []byte { return fmt.Appendf(nil, "%08d some words of payload %d\n", i, i*7) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *Store, st *Stream, from, to int64) []byte {
	t.Helper()
	sec, err := s.Section(st.ID(), from, to)
	check(t, err)
	defer sec.Close()
	b, err := io.ReadAll(sec)
	check(t, err)
	return b
}

func TestKeptBytesSurviveAKillAndUnkeptOnesLeaveNoTrace(t *testing.T) {
	dir := t.TempDir()
	var want []byte
	n := 0
	for round := range 20 {
		s := openStore(t, dir)
		st := openStream(t, s, "gps", 100_000)
		if p := st.Progress(); p.Kept != int64(len(want)) || p.Appended != p.Kept {
			t.Fatalf("round %d: resumed at %+v, want %d", round, p, len(want))
		}
		for range 1 + round*37%200 {
			for range 10 {
				check(t, st.Append(line(n), Mark{}))
				want = append(want, line(n)...)
				n++
			}
			check(t, st.Sync())
		}
		for range 5 { // never synced
			check(t, st.Append([]byte("lost with the kill\n"), Mark{}))
		}
		if round%5 == 4 {
			st.Seal()
		}
		crash(s)
	}
	s := openStore(t, dir)
	st := openStream(t, s, "gps", 100_000)
	if got := read(t, s, st, 0, int64(len(want))); !bytes.Equal(got, want) {
		t.Errorf("read back %d bytes that differ from the %d kept", len(got), len(want))
	}
	checkObjects(t, s, st, want, 100_000)
	check(t, s.Close())
}

// checkObjects proves that the live objects tile want and that every digest in
// them is that of its bytes.
func checkObjects(t *testing.T, s *Store, st *Stream, want []byte, part int64) {
	t.Helper()
	var at int64
	s.View(func(state *State) {
		ss := state.Stream(st.ID())
		for i := range ss.Objects {
			o := &ss.Objects[i]
			if o.Start != at {
				t.Errorf("object %d starts at %d, the one before it ended at %d", i, o.Start, at)
			}
			for n := 1; n <= o.NumParts(); n++ {
				p, from, to := state.Part(o, n)
				if got := crcOf(want[from:to]); p.CRC != got {
					t.Errorf("object %d part %d [%d,%d): crc %08x, want %08x", i, n, from, to, p.CRC, got)
				}
				if to-from != part && !(o.Sealed() && n == o.NumParts()) {
					t.Errorf("object %d part %d has %d bytes", i, n, to-from)
				}
			}
			at = o.End
		}
		if last := ss.last(); last != nil && !last.Sealed() {
			at = int64(len(want))
		}
	})
	if at != int64(len(want)) {
		t.Errorf("objects end at %d, want %d", at, len(want))
	}
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func TestATornTailIsCutAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	var want []byte
	for i := range 20 {
		check(t, st.Append(line(i), Mark{}))
		want = append(want, line(i)...)
	}
	check(t, st.Sync())
	kept := int64(len(want))
	for i := range 100 {
		check(t, st.Append(line(100+i), Mark{}))
	}
	check(t, st.Sync())
	crash(s)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	whole, err := os.ReadFile(slot)
	check(t, err)
	for _, cut := range []int{0, 1, 4, 50, 103, 104, 105, 512, 2000, 3000} {
		torn := bytes.Clone(whole)
		clear(torn[2*blockSize+cut:])
		check(t, os.WriteFile(slot, torn, 0o600))
		s := openStore(t, dir)
		st := openStream(t, s, "a", 1<<20)
		if got := st.Progress().Kept; got != kept {
			t.Fatalf("cut %d: kept %d, want %d", cut, got, kept)
		}
		if got := read(t, s, st, 0, kept); !bytes.Equal(got, want) {
			t.Fatalf("cut %d: bytes differ", cut)
		}
		crash(s)
	}
}

func TestSlotsAreReusedOnceTheirObjectsAreFreed(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 4 * testSlot})
	check(t, err)
	st := openStream(t, s, "a", 64<<10)
	rec := bytes.Repeat([]byte("x"), 10_000)
	var total int64
	for round := range 40 {
		for range 12 {
			check(t, st.Append(rec, Mark{}))
			total += int64(len(rec))
			check(t, st.Sync())
		}
		st.Seal()
		check(t, st.Sync())
		var start int64
		s.View(func(state *State) { start = state.Stream(st.ID()).Objects[0].Start })
		if round%3 > 0 { // leave one in three waiting for a while
			s.Note(Fact{Kind: Freed, Stream: st.ID(), Start: start})
		}
		if round%3 == 2 {
			s.View(func(state *State) { start = state.Stream(st.ID()).Objects[0].Start })
			s.Note(Fact{Kind: Freed, Stream: st.ID(), Start: start})
		}
	}
	if u := s.Usage(); u.Made > 4*testSlot {
		t.Errorf("made %d bytes of slots, at most %d allowed", u.Made, 4*testSlot)
	}
	check(t, s.Close())
	s, err = Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 4 * testSlot})
	check(t, err)
	st = openStream(t, s, "a", 64<<10)
	if got := st.Progress().Kept; got != total {
		t.Errorf("kept %d, want %d", got, total)
	}
	check(t, s.Close())
}

func TestAFullSpoolLosesNothingThatIsKept(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 3 * testSlot})
	check(t, err)
	st := openStream(t, s, "a", 64<<10)
	var kept, at int64
	for {
		err := st.Append(bytes.Repeat([]byte("y"), 10_000), Mark{})
		check(t, err)
		at += 10_000
		if err := st.Sync(); errors.Is(err, ErrFull) {
			break
		} else if check(t, err); true {
			kept = at
		}
	}
	if got := st.Progress().Kept; got != kept {
		t.Errorf("kept %d, want %d", got, kept)
	}
	lost := st.Discard()
	if lost != at-kept {
		t.Errorf("discarded %d, want %d", lost, at-kept)
	}
	check(t, st.Sync())
	s.View(func(state *State) {
		ss := state.Stream(st.ID())
		if ss.GapBytes != lost {
			t.Errorf("gap of %d, want %d", ss.GapBytes, lost)
		}
		if o := ss.last(); o.End != kept {
			t.Errorf("the open object ends at %d, want %d", o.End, kept)
		}
	})
	s.Note(Fact{Kind: Freed, Stream: st.ID(), Start: 0})
	check(t, st.Append([]byte("after\n"), Mark{}))
	check(t, st.Sync())
	crash(s)
	s, err = Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 3 * testSlot})
	check(t, err)
	st = openStream(t, s, "a", 64<<10)
	if got := read(t, s, st, at, at+6); string(got) != "after\n" {
		t.Errorf("read %q", got)
	}
	s.View(func(state *State) {
		if ss := state.Stream(st.ID()); ss.Gaps != 1 || ss.last().Start != at || ss.last().Gap != lost {
			t.Errorf("%d gaps, last object %+v", ss.Gaps, ss.last())
		}
	})
	check(t, s.Close())
}

func TestALongRecordIsKeptWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	check(t, st.Append([]byte("short\n"), Mark{}))
	check(t, st.Sync())
	check(t, st.Append(bytes.Repeat([]byte("L"), 60_000), Mark{}))
	check(t, st.Sync())
	check(t, st.Append(bytes.Repeat([]byte("M"), 64_000), Mark{}))
	crash(s)
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	// A record of two frames whose second one a power cut took.
	check(t, st.Append(bytes.Repeat([]byte("N"), 64<<10), Mark{}))
	check(t, st.Sync())
	kept := int64(6 + 60_000)
	pos := st.slot.next - blockSize
	crash(s)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	check(t, err)
	clear(b[pos : pos+blockSize])
	check(t, os.WriteFile(slot, b, 0o600))
	for range 2 {
		s = openStore(t, dir)
		st = openStream(t, s, "a", 1<<20)
		s.View(func(state *State) {
			ss := state.Stream(st.ID())
			if o := ss.Objects[0]; o.Sealed() || ss.Gaps != 0 || st.Progress().Appended != kept {
				t.Errorf("object %+v, %d gaps, goes on at %d; want it open, none, %d", o, ss.Gaps, st.Progress().Appended, kept)
			}
		})
		crash(s)
	}
	// The half that is there must not be taken for the beginning of what comes now,
	// should a cut leave only the later frames of a sync.
	b, err = os.ReadFile(slot)
	check(t, err)
	if h := (header{}); h.decode(b[pos-maxFrame:]) {
		t.Errorf("the half of a record is still there: %+v", h)
	}
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	at := st.Progress().Appended
	check(t, st.Append([]byte("next\n"), Mark{}))
	check(t, st.Sync())
	crash(s)
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	if got := read(t, s, st, at, at+5); string(got) != "next\n" {
		t.Errorf("read %q", got)
	}
	check(t, s.Close())
}

func TestASecondStoreOnTheSameFolderIsRefusedAndNamesTheFirst(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, err := Open(Options{Dir: dir, SlotBytes: testSlot})
	var in *InUseError
	if !errors.As(err, &in) || in.PID != os.Getpid() {
		t.Errorf("second open: %v", err)
	}
	check(t, s.Close())
	check(t, openStore(t, dir).Close())
}

func TestMarksAndPositionsComeBack(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	when := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	check(t, st.Append([]byte("one\n"), Mark{PosID: 7, PosOff: 4, Time: when}))
	check(t, st.Append([]byte("two\n"), Mark{PosID: 7, PosOff: 8, Lost: 3}))
	check(t, st.Sync())
	check(t, st.Append([]byte("lost\n"), Mark{PosID: 7, PosOff: 99}))
	crash(s)
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	if p := st.Progress(); p.PosID != 7 || p.PosOff != 8 {
		t.Errorf("resumes at %d/%d, want 7/8", p.PosID, p.PosOff)
	}
	s.View(func(state *State) {
		ss := state.Stream(st.ID())
		at, _ := state.Captured(&ss.Objects[0])
		if ss.Gaps != 1 || ss.GapBytes != 3 || at.Sub(when).Abs() > time.Second {
			t.Errorf("gaps %d of %d, captured %v", ss.Gaps, ss.GapBytes, at)
		}
	})
	check(t, s.Close())
}
