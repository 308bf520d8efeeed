package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A kill between the frames of one sync takes whole records from the tail, and
// no offset is given up for it.
func TestAKillWithinASyncLeavesNoHole(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	var want []byte
	for i := range 3000 {
		check(t, st.Append(line(i), Mark{}))
		want = append(want, line(i)...)
	}
	check(t, st.Sync())
	frames := st.slot.next/maxFrame + 1
	crash(s)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	whole, err := os.ReadFile(slot)
	check(t, err)
	if frames < 2 {
		t.Fatalf("only %d frames", frames)
	}
	torn := bytes.Clone(whole)
	clear(torn[blockSize+maxFrame:]) // only the first frame got there
	check(t, os.WriteFile(slot, torn, 0o600))
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	kept := st.Progress().Kept
	if kept == 0 || kept > maxPayload || want[kept-1] != '\n' {
		t.Errorf("kept %d bytes, want the whole lines of the first frame", kept)
	}
	if got := read(t, s, st, 0, kept); !bytes.Equal(got, want[:kept]) {
		t.Errorf("the kept bytes differ")
	}
	s.View(func(state *State) {
		if ss := state.Stream(st.ID()); ss.Gaps != 0 {
			t.Errorf("%d gaps", ss.Gaps)
		}
	})
	check(t, s.Close())
}

func TestRawBytesFillTheirFramesAndMayBeCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	check(t, st.Append(bytes.Repeat([]byte("r"), 64<<10), Mark{Raw: true, PosID: 1, PosOff: 64 << 10}))
	check(t, st.Sync())
	crash(s)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	check(t, err)
	clear(b[blockSize+maxFrame:])
	check(t, os.WriteFile(slot, b, 0o600))
	s = openStore(t, dir)
	st = openStream(t, s, "a", 1<<20)
	if p := st.Progress(); p.Kept != maxPayload || p.PosOff != maxPayload {
		t.Errorf("stands at %+v, want %d kept and the source there too", p, maxPayload)
	}
	check(t, s.Close())
}
