//go:build root

// These tests mount file systems, so they need root: go test -tags root ./wal

package wal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// journalMount mounts a tmpfs of size bytes.
func journalMount(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a file system: run it as root, or without -tags root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount tmpfs on %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// journalFillDisk takes every byte that is left and returns how to give it back.
func journalFillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); journalFull(err) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return func() { journalRemove(t, path) }
}

func TestJournalSurvivesAFullDisk(t *testing.T) {
	disk := journalMount(t, 2<<20)
	dir := filepath.Join(disk, "journal")
	o := journalOptions{RollBytes: 64 << 10, Reserve: 256 << 10}
	j, b, _ := openJournalBook(t, dir, o)
	b.tell(t, j, "before=1")
	free := journalFillDisk(t, disk)

	// The reserve carries a good many facts, none of which the caller sees fail.
	told := 0
	var err error
	for ; told < 5_000; told++ {
		rec := fmt.Sprintf("k%d=%s", told%10, strings.Repeat("x", 1000+told%7))
		if err = j.Append([]byte(rec)); err != nil {
			break
		}
		b.apply(t, rec)
	}
	// Rolls give their space back, so the reserve lasts for as long as the
	// state is small: it may never run out.
	if told < 5_000 {
		t.Errorf("the reserve carried %d records of 1 KiB: %v", told, err)
	}
	if j.reserved {
		t.Error("the disk was not full: the reserve was not needed")
	}
	_, again, report := openJournalBook(t, dir, o)
	wantJournalBook(t, "on a full disk", again, b.m)
	if report.Damaged {
		t.Errorf("report %+v", report)
	}
	free()
	b.tell(t, j, "after=1")
	if info, err := os.Stat(filepath.Join(dir, journalReserveName)); err != nil || info.Size() != o.Reserve {
		t.Errorf("with space again there is no reserve: %v", err)
	}
}

// A write that the full disk cut short, then tried again: tidwall/wal by itself
// acknowledges the second and loses it.
func TestJournalSurvivesAShortWriteAndARetry(t *testing.T) {
	disk := journalMount(t, 2<<20)
	dir := filepath.Join(disk, "journal")
	j, b, _ := openJournalBook(t, dir, journalSmall) // no reserve
	value := 0
	free := journalFillDisk(t, disk)
	var err error
	for err == nil {
		value++
		rec := fmt.Sprintf("k=%d%s", value, strings.Repeat("x", 3000))
		if err = j.Append([]byte(rec)); err == nil {
			b.apply(t, rec)
		}
		if value > 10_000 {
			t.Fatal("the disk does not fill")
		}
	}
	if !journalFull(err) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	if err := j.Append([]byte("k=retried on a full disk")); err == nil {
		b.apply(t, "k=retried on a full disk")
	}
	acknowledged := maps.Clone(b.m)
	read := &journalBook{m: map[string]string{}}
	if _, err := readJournal(dir, read.replay); err != nil {
		t.Fatal(err)
	}
	wantJournalBook(t, "while it is full", read, acknowledged)

	// It opens on the full disk, too.
	full, again, _ := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "opened while it is full", again, acknowledged)
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
	free()
	b.tell(t, j, "k=retried with space")
	_, again, report := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after a retry", again, b.m)
	if report.Damaged {
		t.Errorf("report %+v", report)
	}
}

// Damage found on a full disk: the journal opens, keeps what was there, and
// records again as soon as it can.
func TestJournalOpensDamagedOnAFullDisk(t *testing.T) {
	disk := journalMount(t, 1<<20)
	dir := filepath.Join(disk, "journal")
	recs, ends := journalSample(t, dir, 3)
	data := journalReadFile(t, journalSegment(dir, 1))
	data[ends[0]+3] ^= 1
	journalWriteFile(t, journalSegment(dir, 1), data)
	free := journalFillDisk(t, disk)

	j, b, report := openJournalBook(t, dir, journalSmall)
	if !report.Damaged || b.m["log0"] != recs[0][len("log0="):] || len(b.m) != 4 {
		t.Errorf("book %v, report %+v", b.m, report)
	}
	free()
	b.tell(t, j, "more=1")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, b, report = openJournalBook(t, dir, journalSmall)
	if report.Damaged || len(report.Kept) != 1 {
		t.Errorf("report %+v", report)
	}
	journalGoesOn(t, "after the full disk", dir, j, b)
}

func TestJournalReadsAReadOnlyMedium(t *testing.T) {
	disk := journalMount(t, 1<<20)
	dir := filepath.Join(disk, "journal")
	recs, _ := journalSample(t, dir, 3)
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	b := &journalBook{m: map[string]string{}}
	if report, err := readJournal(dir, b.replay); err != nil || report.Records != len(recs)+2 {
		t.Errorf("readJournal: %v, %+v", err, report)
	}
	_, _, err := openJournal(dir, journalSmall, b.replay, b.snapshot())
	if err == nil || !strings.Contains(err.Error(), "mount it writable") {
		t.Errorf("openJournal on a read-only medium: %v", err)
	}
}

func TestLedgerSurvivesAFullDisk(t *testing.T) {
	disk := journalMount(t, 1<<20)
	dir := filepath.Join(disk, "state")
	l, _ := openTestLedger(t, dir, 64<<10)
	ledgerAppend(t, l, `{"first":1}`)
	want := []string{`{"first":1}`}
	free := journalFillDisk(t, disk)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		line := fmt.Sprintf(`{"n":%d,"v":"%s"}`, i, strings.Repeat("x", 3000))
		if err = l.Append([]byte(line)); err == nil {
			want = append(want, line)
		}
	}
	if !journalFull(err) {
		t.Fatalf("got %v, want %v", err, syscall.ENOSPC)
	}
	got, _ := ledgerLines(t, dir)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines on the full disk, want %d", len(got), len(want))
	}
	// What the short write left cannot be kept aside now; the ledger opens all the same.
	full, _ := openTestLedger(t, dir, 64<<10)
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
	free()
	again, _ := openTestLedger(t, dir, 64<<10)
	ledgerAppend(t, again, `{"last":1}`)
	if got, _ := ledgerLines(t, dir); !slices.Equal(got, append(want, `{"last":1}`)) {
		t.Errorf("%d lines after the full disk, want %d", len(got), len(want)+1)
	}
}
