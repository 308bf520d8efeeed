package wal

import (
	"bytes"
	"os"
	"testing"
)

// A cut may come between a roll and the first write to the new slot. Start-up
// then reads the open object again from its first frame, whose facts are known.
func TestARollWhoseSlotWasNeverWrittenCostsNoKeptByte(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "gps", 1<<20)
	var want []byte
	n := 0
	add := func() {
		for range 5 {
			check(t, st.Append(line(n), Mark{}))
			want = append(want, line(n)...)
			n++
		}
		check(t, st.Sync())
	}
	add()
	st.Seal()
	start := st.Progress().Kept
	check(t, st.Sync())
	check(t, s.Commit(Fact{Kind: Freed, Stream: st.ID(), Start: 0}))
	for st.slot.next < testSlot {
		add()
	}
	check(t, st.roll())
	slot := s.slots.path(st.slot.n)
	crash(s)
	f, err := os.OpenFile(slot, os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt(make([]byte, blockSize), 0)
	check(t, err)
	check(t, f.Close())

	s = openStore(t, dir)
	st = openStream(t, s, "gps", 1<<20)
	add()
	if got := read(t, s, st, start, int64(len(want))); !bytes.Equal(got, want[start:]) {
		t.Error("the bytes of the open object differ from those kept")
	}
	check(t, s.Close())
}
