package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A roll may be cut at any step. Each case builds by hand what is then on disk:
// generation 1 with its log, and what was made of generation 2, whose snapshot
// says the same. The facts must be there, once, and nothing else be left.
func TestJournalSurvivesAnInterruptedRoll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := filepath.Join(dir, "first")
	recs, _ := journalSample(t, first, 3)
	want := &journalBook{m: map[string]string{}}
	want.apply(t, slices.Concat(journalSampleSnapshot, recs)...)

	second := filepath.Join(dir, "second")
	if err := os.Mkdir(second, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := buildJournalGeneration(second, 2, want.snapshot()); err != nil {
		t.Fatal(err)
	}
	snapshot := journalReadFile(t, filepath.Join(second, "00000002.new", journalSnapshotName))

	work := filepath.Join(dir, "work")
	check := func(what string, damaged bool, build func(old, next string)) {
		t.Helper()
		if err := os.RemoveAll(work); err != nil {
			t.Fatal(err)
		}
		old, next := filepath.Join(work, "00000001"), filepath.Join(work, "00000002")
		journalWriteFile(t, filepath.Join(old, journalSnapshotName), journalReadFile(t, filepath.Join(first, "00000001", journalSnapshotName)))
		journalWriteFile(t, journalSegment(work, 1), journalReadFile(t, journalSegment(first, 1)))
		build(old, next)
		j, b, report := openJournalBook(t, work, journalSmall)
		wantJournalBook(t, what, b, want.m)
		if report.Damaged != damaged || report.TornBytes != 0 || (len(report.Notes) != 0) != damaged {
			t.Errorf("%s: report %+v", what, report)
		}
		names := journalNames(t, work)
		kept := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == journalFolderName(j.number) })
		if len(kept) != len(report.Kept) || len(names) != len(kept)+1 {
			t.Errorf("%s: folder holds %q, kept %q", what, names, report.Kept)
		}
		journalGoesOn(t, what, work, j, b)
	}
	mkdir := func(path string) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}

	check("nothing made", false, func(_, next string) {})
	check("folder made", false, func(_, next string) { mkdir(next + ".new") })
	check("log folder made", false, func(_, next string) { mkdir(filepath.Join(next+".new", journalLogName)) })
	for cut := range len(snapshot) + 1 {
		check(fmt.Sprintf("snapshot cut at %d", cut), false, func(_, next string) {
			journalWriteFile(t, filepath.Join(next+".new", journalSnapshotName), snapshot[:cut])
		})
	}
	whole := func(folder string) {
		journalWriteFile(t, filepath.Join(folder, journalSnapshotName), snapshot)
		journalWriteFile(t, filepath.Join(folder, journalLogName, journalSegmentName), nil)
	}
	check("all made, not renamed", false, func(_, next string) { whole(next + ".new") })
	check("renamed", false, func(_, next string) { whole(next) })
	check("old renamed", false, func(old, next string) { whole(next); rename(old, old+".old") })
	check("old half removed", false, func(old, next string) {
		whole(next)
		rename(old, old+".old")
		journalRemove(t, filepath.Join(old+".old", journalSnapshotName))
	})
	check("old removed", false, func(old, next string) { whole(next); journalRemove(t, old) })

	// What no cut leaves, only a disk that lied or rots: the generation has its
	// name, but its snapshot is not whole. The older one is the better source.
	for cut := range len(snapshot) {
		check(fmt.Sprintf("renamed, snapshot cut at %d", cut), true, func(_, next string) {
			whole(next)
			journalWriteFile(t, filepath.Join(next, journalSnapshotName), snapshot[:cut])
		})
	}
	check("renamed, snapshot missing", true, func(_, next string) {
		whole(next)
		journalRemove(t, filepath.Join(next, journalSnapshotName))
	})
}

// The first generation of all may be cut as well; then there was nothing yet.
func TestJournalSurvivesAnInterruptedBeginning(t *testing.T) {
	for _, names := range [][]string{nil, {"snapshot"}, {"snapshot", "log/00000000000000000001"}} {
		dir := t.TempDir()
		for _, name := range names {
			journalWriteFile(t, filepath.Join(dir, "00000001.new", name), nil)
		}
		j, b, report := openJournalBook(t, dir, journalSmall)
		if report.Damaged || len(report.Notes) != 0 || len(b.m) != 0 || report.Records != 0 {
			t.Errorf("%q: report %+v", names, report)
		}
		journalGoesOn(t, fmt.Sprint(names), dir, j, b)
	}
}

// A number that was ever used, also by a folder set aside, is not used again:
// else bytes of one generation could be taken for another's.
func TestJournalNeverUsesAGenerationNumberTwice(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"damaged-00000005-1", "newer-00000009-2", "00000003.old"} {
		journalWriteFile(t, filepath.Join(dir, name, "x"), nil)
	}
	_, _, report := openJournalBook(t, dir, journalSmall)
	if got, want := report.Generation, uint64(10); got != want {
		t.Errorf("generation %d, want %d", got, want)
	}
}

// An older release may be started beside a newer one's half-finished roll: it
// goes on with its own generation, under its own number.
func TestJournalGoesOnBesideANewerGeneration(t *testing.T) {
	dir := t.TempDir()
	recs, _ := journalSample(t, dir, 2)
	journalWriteFile(t, filepath.Join(dir, "00000002", journalSnapshotName), journalAppendHeader(nil, journalVersion+1, 2))
	j, b, report := openJournalBook(t, dir, journalOptions{RollBytes: 200, Reserve: -1})
	if want := slices.Concat(journalSampleSnapshot, recs); !slices.Equal(b.log, want) || report.Generation != 1 {
		t.Errorf("replayed %q, want %q; report %+v", b.log, want, report)
	}
	for i := range 20 {
		b.tell(t, j, fmt.Sprintf("k=%d", i))
	}
	if j.number < 3 {
		t.Errorf("rolled to generation %d", j.number)
	}
	journalGoesOn(t, "beside a newer one", dir, j, b)
}

// From the rename of a roll on, either generation may be the one that start-up
// finds: if it fails there, nothing more may go to the present one.
func TestJournalGivesUpBothGenerationsWhenACommitFails(t *testing.T) {
	dir := t.TempDir()
	j, b, _ := openJournalBook(t, dir, journalOptions{RollBytes: 1, Reserve: -1})
	b.tell(t, j, "a=1")
	journalWriteFile(t, filepath.Join(dir, "00000002", "in the way"), nil)
	if err := j.Append([]byte("b=2")); err == nil {
		t.Fatal("Append succeeded although the roll was not committed")
	}
	if got := j.log; got != nil {
		t.Error("the log of the present generation is still in use")
	}
	b.tell(t, j, "c=3")
	if got, want := journalNames(t, dir), []string{"00000003"}; !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	_, again, _ := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after a failed commit", again, map[string]string{"a": "1", "c": "3"})
}
