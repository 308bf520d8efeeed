package wal

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var spoolGolden = flag.Bool("spool.golden", false, "write testdata/state-v1 and testdata/headers-v1 anew")

// goldenSlot keeps the golden folder small.
const goldenSlot = 64 << 10

func goldenLines(from, to int) (b []byte) {
	for i := from; i < to; i++ {
		b = append(b, line(i)...)
	}
	return b
}

// writeGolden makes the folder: two streams, one of which was freed up to its
// third object, has an upload under way, a gap, and an open object.
func writeGolden(t *testing.T, dir string) {
	t.Helper()
	check(t, os.RemoveAll(dir))
	when := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	now := func() Moment { return Moment{Boot: time.Hour, Wall: when, Trust: Synced} }
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot, Machine: "golden", Boot: "first", Now: now})
	check(t, err)
	st := openStream(t, s, "gps", 2000)
	for i := range 600 {
		if i > 0 && i%200 == 0 {
			st.Seal()
		}
		m := Mark{PosID: 5, PosOff: int64(i + 1), Time: when}
		if i == 400 {
			m.Lost = 17
		}
		check(t, st.Append(line(i), m))
		if i%50 == 49 {
			check(t, st.Sync())
		}
	}
	second := int64(len(goldenLines(0, 200)))
	check(t, s.Receipt([]byte(`{"stream":"gps","start":0}`)))
	check(t, s.Commit(
		Fact{Kind: Intent, Stream: st.ID(), Start: 0, Op: OpPut, Key: "k/0", Device: "gw", Time: when.UnixNano()},
		Fact{Kind: Completed, Stream: st.ID(), Start: 0, ID: "etag", Sum: "crc32c:AAAAAA==", Time: when.UnixNano()},
		Fact{Kind: Freed, Stream: st.ID(), Start: 0},
		Fact{Kind: Intent, Stream: st.ID(), Start: second, Op: OpCreate, Key: "k/1", Device: "gw", Time: when.UnixNano(), Flags: FlagEstimated},
		Fact{Kind: Begun, Stream: st.ID(), Start: second, ID: "upload"},
		Fact{Kind: Stored, Stream: st.ID(), Start: second, N: 1, ID: "etag1"}))
	other := openStream(t, s, "log", 1<<20)
	check(t, other.Append([]byte("hello\n"), Mark{Time: when}))
	check(t, other.Sync())
	check(t, s.Stop())
	check(t, s.Close())
	check(t, os.Remove(filepath.Join(dir, "lock")))
	check(t, os.RemoveAll(filepath.Join(dir, "journal", "reserve"))) // two megabytes of nothing
}

func TestAStateFolderOfVersion1Opens(t *testing.T) {
	golden := filepath.Join("testdata", "state-v1")
	if *spoolGolden {
		writeGolden(t, golden)
	}
	dir := filepath.Join(t.TempDir(), "state")
	check(t, os.CopyFS(dir, os.DirFS(golden)))
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot, Machine: "golden"})
	check(t, err)
	if len(s.Notes()) > 0 || !s.Stopped() {
		t.Errorf("notes %q, stopped in order %v", s.Notes(), s.Stopped())
	}
	st := openStream(t, s, "gps", 2000)
	want := goldenLines(0, 600)
	second, third := int64(len(goldenLines(0, 200))), int64(len(goldenLines(0, 400)))
	if p := st.Progress(); p.Kept != int64(len(want)) || p.PosOff != 600 || p.Object != third {
		t.Errorf("stands at %+v", p)
	}
	if got := read(t, s, st, second, int64(len(want))); !bytes.Equal(got, want[second:]) {
		t.Errorf("the kept bytes differ")
	}
	s.View(func(state *State) {
		ss := state.Stream(st.ID())
		if len(ss.Objects) != 2 || ss.Archived() != second || ss.Gaps != 1 || ss.GapBytes != 17 {
			t.Fatalf("%d objects, archived %d, %d gaps of %d", len(ss.Objects), ss.Archived(), ss.Gaps, ss.GapBytes)
		}
		o := ss.Objects[0]
		if o.End != third || o.Up.ID != "upload" || o.Up.Key != "k/1" || o.Up.Op != OpCreate || !o.Up.Parts[0].Stored || o.Up.Parts[1].Stored {
			t.Errorf("object %+v, upload %+v", o, o.Up)
		}
		for n := 1; n <= o.NumParts(); n++ {
			if p, from, to := state.Part(&o, n); p.CRC != crcOf(want[from:to]) {
				t.Errorf("part %d: crc %08x", n, p.CRC)
			}
		}
		if ss.Objects[1].Gap != 17 {
			t.Errorf("gap %d", ss.Objects[1].Gap)
		}
		when := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		for i := range ss.Objects { // the first as it was fixed, the second by the clock of its boot
			if at, estimated := state.Captured(&ss.Objects[i]); !at.Equal(when) || estimated != (i == 0) {
				t.Errorf("object %d was captured at %v, estimated %v", i, at, estimated)
			}
		}
	})
	if got := read(t, s, openStream(t, s, "log", 1<<20), 0, 6); string(got) != "hello\n" {
		t.Errorf("log has %q", got)
	}
	receipts := 0
	check(t, ReadReceipts(dir, func(b []byte) error { receipts++; return nil }))
	if receipts != 1 {
		t.Errorf("%d receipts", receipts)
	}
	check(t, s.Close())
}

// A release reads its own format and the one before it, so each of them has a
// golden folder and a test that opens it. Version 1 is the first: there is none
// before it yet.
func TestEachVersionThatIsReadHasAGoldenFolder(t *testing.T) {
	for v := max(version-1, 1); v <= version; v++ {
		if _, err := os.Stat(filepath.Join("testdata", fmt.Sprintf("state-v%d", v), "spool")); err != nil {
			t.Errorf("version %d is read, and has no golden folder: %v", v, err)
		}
	}
	if journalVersion != version {
		t.Errorf("the journal has version %d, the spool %d: one number names a state folder", journalVersion, version)
	}
}

// What a newer release wrote is not looked into and not touched; capture starts
// beside it, under an epoch of its own.
func TestAStateFolderOfANewerReleaseIsSetAsideAndCaptureStartsBesideIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	check(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "state-v1"))))
	snapshots, err := filepath.Glob(filepath.Join(dir, "journal", "*", journalSnapshotName))
	check(t, err)
	for _, path := range snapshots {
		number, _, _ := journalNumber(filepath.Base(filepath.Dir(path)))
		check(t, os.WriteFile(path, append(journalAppendHeader(nil, journalVersion+1, number), "what nobody here knows"...), 0o600))
	}
	tree := func(folder string) map[string]string {
		names := map[string]string{}
		for path, data := range journalTree(t, filepath.Join(dir, folder)) {
			names[strings.TrimPrefix(path, filepath.Join(dir, folder))] = data
		}
		return names
	}
	before := tree("spool")
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot, Machine: "golden"})
	check(t, err)
	if notes := strings.Join(s.Notes(), "\n"); !strings.Contains(notes, "newer release") || !strings.Contains(notes, "spool.lost-1") {
		t.Errorf("notes %q", s.Notes())
	}
	aside, err := filepath.Glob(filepath.Join(dir, "journal", "newer-*"))
	check(t, err)
	if len(aside) != len(snapshots) || !maps.Equal(tree("spool.lost-1"), before) {
		t.Errorf("%d of %d generations are set aside, and the slots are not as they were", len(aside), len(snapshots))
	}
	st := openStream(t, s, "gps", 2000)
	check(t, st.Append([]byte("goes on\n"), Mark{}))
	check(t, st.Sync())
	if got := read(t, s, st, 0, 8); string(got) != "goes on\n" {
		t.Errorf("got %q", got)
	}
	check(t, s.Close())
}

func TestHeadersAreTheGoldenOnes(t *testing.T) {
	h := header{flags: flagFirst | FlagEstimated, stream: 1, run: 2, epoch: 3, offset: 1 << 40, length: 5, crc: 6, kept: 7, skip: 8, lost: 9, wall: 10, mono: 11, posID: 12, posOff: 13, raw: 14}
	b := make([]byte, frameHeader)
	h.encode(b)
	slot := slotHeader{id: streamID{1, 2}, run: 3, base: 1 << 41, posID: 5, posOff: 6, object: 7, part: 8, partSize: 9, crc: 10, name: "gps", hash: "tree", state: []byte{1, 2, 3}}
	first, err := slot.encode()
	check(t, err)
	got := fmt.Sprintf("%s\n%s\n%s\n", hex.EncodeToString(b), hex.EncodeToString(first[:160]), hex.EncodeToString(first[blockSize-4:]))
	path := filepath.Join("testdata", "headers-v1")
	if *spoolGolden {
		check(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if got != string(want) {
		t.Errorf("headers are\n%swant\n%s", got, want)
	}
	var h2 header
	var slot2 slotHeader
	if !h2.decode(b) || h2 != h {
		t.Errorf("frame header reads back as %+v", h2)
	}
	if !slot2.decode(first) || fmt.Sprint(slot2) != fmt.Sprint(slot) {
		t.Errorf("slot header reads back as %+v", slot2)
	}
}

// memSlot is a slot that is not on disk.
type memSlot struct{ *bytes.Reader }

func (memSlot) Name() string { return "memory" }
func (memSlot) Close() error { return nil }

func FuzzSlot(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "state-v1", "spool", "00000000.slot"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:3*blockSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &slotReader{f: memSlot{bytes.NewReader(b)}, size: int64(len(b)), buf: make([]byte, maxFrame)}
		h, ok, err := r.slotHeader()
		check(t, err)
		c := chain{pos: blockSize}
		if ok {
			c.id, c.run, c.at = h.id, h.run, h.base
		}
		for {
			before := c
			fh, payload, ok, err := c.next(r)
			check(t, err)
			if !ok {
				break
			}
			if c.at <= before.at || c.pos <= before.pos || int(fh.length) != len(payload) {
				t.Fatalf("the chain went from %+v to %+v", before, c)
			}
		}
		_, _, err = c.find(r)
		check(t, err)
	})
}
