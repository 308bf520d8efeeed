package wal

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// journalSample makes a journal in dir with a snapshot of two records and a log
// of n more, and returns where each entry of the log ends.
func journalSample(t testing.TB, dir string, n int) (recs []string, ends []int) {
	t.Helper()
	b := &journalBook{m: map[string]string{"s1": "one", "s2": "two"}}
	j, _, err := openJournal(dir, journalSmall, b.replay, b.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		rec := fmt.Sprintf("log%d=%s", i, strings.Repeat("v", i*5))
		b.tell(t, j, rec)
		recs = append(recs, rec)
		ends = append(ends, int(j.bytes))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return recs, ends
}

var journalSampleSnapshot = []string{"s1=one", "s2=two"}

// journalGoesOn appends to a journal that was just opened and opens it again: what it
// held before and the new record must be there, and nothing be reported.
func journalGoesOn(t *testing.T, what, dir string, j *journal, b *journalBook) {
	t.Helper()
	b.tell(t, j, "more=1")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, after, report := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, what+": opened again", after, b.m)
	if report.Damaged || report.TornBytes != 0 || len(report.Notes) != 0 {
		t.Errorf("%s: opened again: report %+v", what, report)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestJournalSurvivesATornTail(t *testing.T) {
	t.Parallel()
	master := filepath.Join(t.TempDir(), "journal")
	recs, ends := journalSample(t, master, 5)
	snapshot := journalReadFile(t, filepath.Join(master, "00000001", journalSnapshotName))
	log := journalReadFile(t, journalSegment(master, 1))
	tails := map[string][]byte{
		"nothing": nil,
		"zeros":   make([]byte, 4096),
		"garbage": bytes.Repeat([]byte("\x05\xd7JR1\x01garbage\xff"), 20),
	}
	for name, tail := range tails {
		dir := filepath.Join(t.TempDir(), "journal")
		for cut := range len(log) + 1 {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			journalWriteFile(t, filepath.Join(dir, "00000001", journalSnapshotName), snapshot)
			journalWriteFile(t, journalSegment(dir, 1), slices.Concat(log[:cut], tail))
			whole := 0
			for whole < len(ends) && ends[whole] <= cut {
				whole++
			}
			what := fmt.Sprintf("cut at %d, then %s", cut, name)
			j, b, report := openJournalBook(t, dir, journalSmall)
			if want := slices.Concat(journalSampleSnapshot, recs[:whole]); !slices.Equal(b.log, want) {
				t.Fatalf("%s: replayed %q, want %q", what, b.log, want)
			}
			good := 0
			if whole > 0 {
				good = ends[whole-1]
			}
			if got, want := report.TornBytes, int64(cut+len(tail)-good); report.Damaged || got != want {
				t.Fatalf("%s: %d torn bytes, want %d; report %+v", what, got, want, report)
			}
			journalGoesOn(t, what, dir, j, b)
		}
	}
}

func TestJournalSurvivesAZeroFilledTailInLittleMemory(t *testing.T) {
	dir := t.TempDir()
	recs, ends := journalSample(t, dir, 3)
	const zeros = 16 << 20
	if err := os.Truncate(journalSegment(dir, 1), int64(ends[2])+zeros); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	j, b, report := openJournalBook(t, dir, journalSmall)
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(2<<20); got > limit {
		t.Errorf("opening took %d bytes of memory, want at most %d", got, limit)
	}
	if want := slices.Concat(journalSampleSnapshot, recs); !slices.Equal(b.log, want) {
		t.Errorf("replayed %q, want %q", b.log, want)
	}
	if report.TornBytes != zeros || report.Damaged {
		t.Errorf("report %+v", report)
	}
	journalGoesOn(t, "zeros", dir, j, b)
}

// journalSubsequence says that got is want with some left out.
func journalSubsequence(got, want []string) bool {
	for _, w := range want {
		if len(got) > 0 && got[0] == w {
			got = got[1:]
		}
	}
	return len(got) == 0
}

func TestJournalSurvivesBitFlips(t *testing.T) {
	t.Parallel()
	master := filepath.Join(t.TempDir(), "journal")
	recs, ends := journalSample(t, master, 4)
	all := slices.Concat(journalSampleSnapshot, recs)
	files := []string{
		filepath.Join("00000001", journalSnapshotName),
		filepath.Join("00000001", journalLogName, journalSegmentName),
	}
	for _, file := range files {
		data := journalReadFile(t, filepath.Join(master, file))
		inLog := file == files[1]
		for at := range data {
			for _, mask := range []byte{0x01, 0x80, 0xff} {
				dir := filepath.Join(t.TempDir(), "journal")
				for _, other := range files {
					journalWriteFile(t, filepath.Join(dir, other), journalReadFile(t, filepath.Join(master, other)))
				}
				bad := slices.Clone(data)
				bad[at] ^= mask
				journalWriteFile(t, filepath.Join(dir, file), bad)

				what := fmt.Sprintf("%s: byte %d ^ %#x", file, at, mask)
				j, b, report := openJournalBook(t, dir, journalSmall)
				if !journalSubsequence(b.log, all) {
					t.Fatalf("%s: replayed %q, written were %q", what, b.log, all)
				}
				if got, least := len(b.log), len(all)-1; got < least {
					t.Fatalf("%s: replayed %d records, want at least %d", what, got, least)
				}
				// Only rot in the last record of a log looks like a torn write.
				last := inLog && at >= ends[len(ends)-2]
				if !report.Damaged && !(last && report.TornBytes > 0) {
					t.Fatalf("%s: not noticed: %+v", what, report)
				}
				if report.Damaged && (len(report.Kept) != 1 || !bytes.Equal(journalReadFile(t, filepath.Join(report.Kept[0], file[len("00000001/"):])), bad)) {
					t.Fatalf("%s: the damaged file was not kept: %+v", what, report)
				}
				if mask == 0xff {
					journalGoesOn(t, what, dir, j, b)
				}
			}
		}
	}
}

func TestJournalSurvivesADamagedMiddle(t *testing.T) {
	t.Parallel()
	for _, hole := range []int{1, 100, 4096, 70_000, 200_000} {
		dir := t.TempDir()
		b := &journalBook{m: map[string]string{}}
		j, _, err := openJournal(dir, journalSmall, b.replay, b.snapshot())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 400 {
			b.tell(t, j, fmt.Sprintf("k%d=%s", i, strings.Repeat("x", 1000)))
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		data := journalReadFile(t, journalSegment(dir, 1))
		clear(data[50_000 : 50_000+hole])
		journalWriteFile(t, journalSegment(dir, 1), data)

		what := fmt.Sprintf("%d zeros", hole)
		j, after, report := openJournalBook(t, dir, journalSmall)
		if !journalSubsequence(after.log, b.log) {
			t.Errorf("%s: replayed what was not written", what)
		}
		if got, least := len(after.log), 400-hole/1000-2; got < least {
			t.Errorf("%s: %d records replayed, want at least %d", what, got, least)
		}
		if !report.Damaged || len(report.Notes) == 0 || report.Generation != 2 {
			t.Errorf("%s: report %+v", what, report)
		}
		if got, want := journalNames(t, dir), []string{"00000002", "damaged-00000001-1"}; !slices.Equal(got, want) {
			t.Errorf("%s: folder holds %q, want %q", what, got, want)
		}
		journalGoesOn(t, what, dir, j, after)
	}
}

// A snapshot cut anywhere, without a generation to fall back on, gives what it
// can, and the log behind it.
func TestJournalSurvivesADamagedSnapshot(t *testing.T) {
	t.Parallel()
	master := t.TempDir()
	recs, _ := journalSample(t, master, 2)
	snapshot := journalReadFile(t, filepath.Join(master, "00000001", journalSnapshotName))
	log := journalReadFile(t, journalSegment(master, 1))
	for cut := range len(snapshot) {
		dir := t.TempDir()
		journalWriteFile(t, filepath.Join(dir, "00000001", journalSnapshotName), snapshot[:cut])
		journalWriteFile(t, journalSegment(dir, 1), log)
		j, b, report := openJournalBook(t, dir, journalSmall)
		if !report.Damaged || !journalSubsequence(b.log, slices.Concat(journalSampleSnapshot, recs)) || len(b.log) < len(recs) {
			t.Fatalf("cut at %d: replayed %q, report %+v", cut, b.log, report)
		}
		journalGoesOn(t, fmt.Sprintf("cut at %d", cut), dir, j, b)
	}
}

func TestJournalSurvivesMissingAndForeignFiles(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string){
		"no snapshot": func(t *testing.T, dir string) { journalRemove(t, filepath.Join(dir, "00000001", journalSnapshotName)) },
		"no segment":  func(t *testing.T, dir string) { journalRemove(t, journalSegment(dir, 1)) },
		"no log":      func(t *testing.T, dir string) { journalRemove(t, filepath.Dir(journalSegment(dir, 1))) },
		"empty folder": func(t *testing.T, dir string) {
			journalRemove(t, filepath.Join(dir, "00000001"))
			if err := os.Mkdir(filepath.Join(dir, "00000001"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a second segment": func(t *testing.T, dir string) {
			journalWriteFile(t, filepath.Join(dir, "00000001", "log", "00000000000000000004"), []byte("x"))
		},
		"a torn START": func(t *testing.T, dir string) {
			journalWriteFile(t, filepath.Join(dir, "00000001", "log", "00000000000000000003.START"), nil)
		},
		"a folder for a segment": func(t *testing.T, dir string) {
			journalRemove(t, journalSegment(dir, 1))
			journalWriteFile(t, filepath.Join(journalSegment(dir, 1), "x"), nil)
		},
		"a file for a generation": func(t *testing.T, dir string) {
			journalRemove(t, filepath.Join(dir, "00000001"))
			journalWriteFile(t, filepath.Join(dir, "00000001"), nil)
		},
		"strange names": func(t *testing.T, dir string) {
			for _, name := range []string{"1", "0000000x", "00000000", "999999999999999999999", "damaged-", "newer-x", "lost+found/x"} {
				journalWriteFile(t, filepath.Join(dir, name), nil)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			recs, _ := journalSample(t, dir, 3)
			damage(t, dir)
			j, b, _ := openJournalBook(t, dir, journalSmall)
			if !journalSubsequence(b.log, slices.Concat(journalSampleSnapshot, recs)) {
				t.Errorf("replayed %q", b.log)
			}
			journalGoesOn(t, name, dir, j, b)
		})
	}
}

func journalRemove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestJournalSetsANewerFormatAside(t *testing.T) {
	dir := t.TempDir()
	journalSample(t, dir, 2)
	newer := journalAppendHeader(nil, journalVersion+1, 1)
	newer = append(newer, "a layout that nobody here knows"...)
	journalWriteFile(t, filepath.Join(dir, "00000001", journalSnapshotName), newer)

	read := &journalBook{m: map[string]string{}}
	if report, err := readJournal(dir, read.replay); err != nil || len(report.Notes) != 1 || len(read.m) != 0 {
		t.Errorf("readJournal: %v, %+v, %v", err, report, read.m)
	}
	before := journalReadFile(t, journalSegment(dir, 1))
	j, b, report := openJournalBook(t, dir, journalSmall)
	if len(b.m) != 0 || report.Damaged || len(report.Notes) != 1 || report.Generation != 2 {
		t.Errorf("report %+v, book %v", report, b.m)
	}
	if got, want := journalNames(t, dir), []string{"00000002", "newer-00000001-1"}; !slices.Equal(got, want) {
		t.Fatalf("folder holds %q, want %q", got, want)
	}
	aside := filepath.Join(dir, "newer-00000001-1")
	if !bytes.Equal(journalReadFile(t, filepath.Join(aside, journalSnapshotName)), newer) ||
		!bytes.Equal(journalReadFile(t, filepath.Join(aside, journalLogName, journalSegmentName)), before) {
		t.Error("the newer generation was touched")
	}
	journalGoesOn(t, "beside a newer one", dir, j, b)
}

func TestJournalKeepsAFewDamagedGenerations(t *testing.T) {
	dir := t.TempDir()
	for range journalMaxKept + 4 {
		j, b, _ := openJournalBook(t, dir, journalSmall)
		b.tell(t, j, "a=1")
		b.tell(t, j, "b=1")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		data := journalReadFile(t, journalSegment(dir, j.number))
		data[0] ^= 0x55
		journalWriteFile(t, journalSegment(dir, j.number), data)
	}
	if got, want := len(journalNames(t, dir)), journalMaxKept+1; got != want {
		t.Errorf("folder holds %d names, want %d: %q", got, want, journalNames(t, dir))
	}
}

func TestJournalReadsWithoutChangingAnything(t *testing.T) {
	dir := t.TempDir()
	recs, ends := journalSample(t, dir, 4)
	data := journalReadFile(t, journalSegment(dir, 1))
	data[ends[0]+5] ^= 1
	journalWriteFile(t, journalSegment(dir, 1), append(data, "torn"...))
	journalWriteFile(t, filepath.Join(dir, "00000002.new", journalSnapshotName), []byte("half"))
	before := journalTree(t, dir)
	b := &journalBook{m: map[string]string{}}
	report, err := readJournal(dir, b.replay)
	if err != nil || !report.Damaged || report.Generation != 1 {
		t.Errorf("readJournal: %v, %+v", err, report)
	}
	if want := slices.Concat(journalSampleSnapshot, recs[:1], recs[2:]); !slices.Equal(b.log, want) {
		t.Errorf("replayed %q, want %q", b.log, want)
	}
	if !maps.Equal(journalTree(t, dir), before) {
		t.Error("readJournal changed the folder")
	}
	if _, err := readJournal(filepath.Join(dir, "nowhere"), b.replay); err == nil {
		t.Error("a journal that is not there was read")
	}
}
