package wal

import (
	"bytes"
	"os"
	"testing"
)

// The slot that is rolled into knows the position only once its header is
// written, and by then the slots before it may be gone.
func TestThePositionSurvivesAKillBetweenRollAndHeader(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	check(t, st.Append([]byte("a line\n"), Mark{PosID: 1<<63 + 7, PosOff: 700}))
	st.Seal()
	check(t, st.Sync())
	check(t, s.Commit(Fact{Kind: Freed, Stream: st.ID()}))
	check(t, st.roll())
	slot := s.slots.path(st.slot.n)
	crash(s)
	check(t, os.WriteFile(slot, make([]byte, testSlot), 0o600)) // the kill came before the header
	for range 2 {
		s = openStore(t, dir)
		st = openStream(t, s, "a", 1<<20)
		if p := st.Progress(); p.PosID != 1<<63+7 || p.PosOff != 700 || p.Kept != 7 {
			t.Errorf("goes on at %d of %d, kept %d; want 700 of %d, 7", p.PosOff, p.PosID, p.Kept, uint64(1<<63+7))
		}
		crash(s)
	}
}

func TestDiscardedBytesTakeNoLossWithThem(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	check(t, st.Append([]byte("kept\n"), Mark{}))
	check(t, st.Sync())
	check(t, st.Append([]byte("given up\n"), Mark{Lost: 1000}))
	check(t, st.Append([]byte("given up\n"), Mark{LostUnknown: true}))
	if got := st.Discard(); got != 18 {
		t.Errorf("discarded %d bytes, want 18", got)
	}
	check(t, st.Append([]byte("next\n"), Mark{Lost: 1}))
	check(t, st.Sync())
	for range 2 {
		s.View(func(state *State) {
			ss := state.Stream(st.ID())
			if o := ss.last(); ss.GapBytes != 1019 || o.Gap != 1019 || !o.GapUnknown {
				t.Errorf("%d bytes lost, %d before the next object, unknown %v; want 1019, 1019, true", ss.GapBytes, o.Gap, o.GapUnknown)
			}
		})
		crash(s)
		s = openStore(t, dir)
		st = openStream(t, s, "a", 1<<20)
	}
}

// Frames that share records become kept together, so they have to fit into a slot.
func TestAnyNumberOfRecordsBetweenSyncsFitsTheSlots(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	var want []byte
	for i := range 40 {
		rec := bytes.Repeat([]byte{byte(i)}, 40_000)
		check(t, st.Append(rec, Mark{}))
		want = append(want, rec...)
	}
	check(t, st.Sync())
	if got := read(t, s, st, 0, int64(len(want))); !bytes.Equal(got, want) {
		t.Errorf("the bytes differ")
	}
	check(t, s.Close())
}

// Flash that fails for days must not turn each sync's few bytes into a frame of
// its own that waits in a buffer of its own.
func TestTinyRecordsTakeLittleMemoryWhileFlashFails(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, SlotBytes: testSlot, MaxBytes: testSlot - 1})
	check(t, err)
	st := openStream(t, s, "a", 1<<20)
	for range 5000 {
		check(t, st.Append([]byte("tiny\n"), Mark{}))
		if st.Sync() == nil {
			t.Fatal("the spool has no slot, but Sync succeeded")
		}
	}
	if n := len(st.items); n > 2 {
		t.Errorf("25,000 bytes wait in %d frames", n)
	}
	s.slots.maxBytes = 10 * testSlot
	check(t, st.Sync())
	if got := read(t, s, st, 0, 25_000); !bytes.Equal(got, bytes.Repeat([]byte("tiny\n"), 5000)) {
		t.Errorf("the bytes differ")
	}
	crash(s)
}
