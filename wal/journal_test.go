package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// journalBook is a caller of the journal: a map that is told "key=value".
type journalBook struct {
	m   map[string]string
	log []string // every record replayed, in order
}

func (b *journalBook) replay(rec []byte) error {
	key, value, ok := strings.Cut(string(rec), "=")
	if !ok {
		return fmt.Errorf("replayed %q, which nobody wrote", rec)
	}
	b.m[key] = value
	b.log = append(b.log, string(rec))
	return nil
}

func (b *journalBook) snapshot() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, key := range slices.Sorted(maps.Keys(b.m)) {
			if !yield([]byte(key + "=" + b.m[key])) {
				return
			}
		}
	}
}

var journalSmall = journalOptions{Reserve: -1}

// openJournalBook opens a journal and the book that it holds.
func openJournalBook(t testing.TB, dir string, o journalOptions) (*journal, *journalBook, journalReport) {
	t.Helper()
	b := &journalBook{m: map[string]string{}}
	j, report, err := openJournal(dir, o, b.replay, b.snapshot())
	if err != nil {
		t.Fatalf("openJournal: %v", err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return j, b, report
}

// tell appends recs and, when they are durable, applies them.
func (b *journalBook) tell(t testing.TB, j *journal, recs ...string) {
	t.Helper()
	if err := j.Append(journalBytes(recs)...); err != nil {
		t.Fatalf("Append(%q): %v", recs, err)
	}
	b.apply(t, recs...)
}

func (b *journalBook) apply(t testing.TB, recs ...string) {
	t.Helper()
	for _, rec := range recs {
		if err := b.replay([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
}

func journalBytes(recs []string) (out [][]byte) {
	for _, rec := range recs {
		out = append(out, []byte(rec))
	}
	return out
}

// journalSegment is the path of a generation's log segment.
func journalSegment(dir string, number uint64) string {
	return filepath.Join(dir, journalFolderName(number), journalLogName, journalSegmentName)
}

// journalNames returns the names in dir, sorted.
func journalNames(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantJournalBook(t testing.TB, what string, got *journalBook, want map[string]string) {
	t.Helper()
	if !maps.Equal(got.m, want) {
		t.Errorf("%s: got %v, want %v", what, got.m, want)
	}
}

func journalReadFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func journalWriteFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// journalTree returns every path below dir with what it holds.
func journalTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			tree[path] = "folder"
			return nil
		}
		data, err := os.ReadFile(path)
		tree[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestJournalKeepsWhatAppendAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j, b, report := openJournalBook(t, dir, journalSmall)
	if report.Records != 0 || report.Damaged || len(report.Notes) != 0 || report.Generation != 1 {
		t.Errorf("a new journal: report %+v", report)
	}
	b.tell(t, j, "a=1")
	b.tell(t, j, "b=2", "c=3", "a=4")
	b.tell(t, j, "empty=")

	// Not closed: the process was killed.
	_, again, report := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after a kill", again, b.m)
	if got, want := again.log, []string{"a=1", "b=2", "c=3", "a=4", "empty="}; !slices.Equal(got, want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
	if report.Records != 5 || report.Damaged || report.TornBytes != 0 || len(report.Notes) != 0 {
		t.Errorf("report %+v", report)
	}

	read := &journalBook{m: map[string]string{}}
	if _, err := readJournal(dir, read.replay); err != nil {
		t.Fatal(err)
	}
	wantJournalBook(t, "readJournal", read, b.m)
}

func TestJournalRollsAndLeavesOneGeneration(t *testing.T) {
	dir := t.TempDir()
	o := journalOptions{RollBytes: 1000, Reserve: -1}
	j, b, _ := openJournalBook(t, dir, o)
	for i := range 200 {
		b.tell(t, j, fmt.Sprintf("key%d=%d", i%7, i))
		if j.bytes > 1100 {
			t.Fatalf("the log has %d bytes", j.bytes)
		}
	}
	if j.number < 5 {
		t.Errorf("generation %d after 200 records of 40 bytes", j.number)
	}
	if got, want := journalNames(t, dir), []string{journalFolderName(j.number)}; !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	if info, err := os.Stat(journalSegment(dir, j.number)); err != nil || info.Size() != j.bytes {
		t.Errorf("log has %v bytes (%v), counted %d", info.Size(), err, j.bytes)
	}
	_, again, _ := openJournalBook(t, dir, o)
	wantJournalBook(t, "after rolls", again, b.m)
}

func TestJournalDoesNotRollAtEachAppendWhenTheSnapshotIsLarge(t *testing.T) {
	j, b, _ := openJournalBook(t, t.TempDir(), journalOptions{RollBytes: 100, Reserve: -1})
	b.apply(t, "large="+strings.Repeat("x", 20_000))
	for range 100 {
		b.tell(t, j, "small=1")
	}
	if got := j.number; got > 2 {
		t.Errorf("%d generations for 4 KiB of log", got)
	}
}

func TestJournalBoundsRecordsAndBatches(t *testing.T) {
	dir := t.TempDir()
	j, b, _ := openJournalBook(t, dir, journalSmall)
	largest := "k=" + strings.Repeat("v", journalMaxRecord-2)
	b.tell(t, j, largest)
	if err := j.Append([]byte(largest + "v")); err == nil {
		t.Error("a record of 64 KiB and one byte was taken")
	}
	if err := j.Append(slices.Repeat([][]byte{[]byte(largest)}, 17)...); err == nil {
		t.Error("a batch of more than 1 MiB was taken")
	}
	b.tell(t, j, slices.Repeat([]string{largest}, 16)...)
	if err := j.Append(); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	_, again, report := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "largest record", again, b.m)
	if report.Damaged || report.TornBytes != 0 {
		t.Errorf("report %+v", report)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]byte("a=1")); err == nil {
		t.Error("a closed journal took a record")
	}
	for _, o := range []journalOptions{{RollBytes: -1}, {RollBytes: journalMaxLog + 1}} {
		if _, _, err := openJournal(dir, o, b.replay, b.snapshot()); err == nil {
			t.Errorf("options %+v were taken", o)
		}
	}
}

func TestJournalStopsWhenReplayFails(t *testing.T) {
	dir := t.TempDir()
	j, b, _ := openJournalBook(t, dir, journalSmall)
	b.tell(t, j, "a=1")
	before := journalTree(t, dir)
	stop := errors.New("stop")
	_, _, err := openJournal(dir, journalSmall, func([]byte) error { return stop }, b.snapshot())
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	if !maps.Equal(before, journalTree(t, dir)) {
		t.Error("a failed open changed the journal")
	}
}

// After an error of the log nothing may be left to chance: the batch that
// failed and was tried again is there, once the second try returned nil.
func TestJournalGoesOnInANewGenerationAfterAnError(t *testing.T) {
	dir := t.TempDir()
	j, b, _ := openJournalBook(t, dir, journalSmall)
	b.tell(t, j, "a=1")
	if err := j.log.Close(); err != nil { // what an I/O error leaves behind
		t.Fatal(err)
	}
	if err := j.Append([]byte("b=2")); err == nil {
		t.Fatal("Append on a broken log succeeded")
	}
	b.tell(t, j, "b=3")
	if got, want := journalNames(t, dir), []string{"00000002"}; !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	_, again, report := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after an error", again, map[string]string{"a": "1", "b": "3"})
	if report.Damaged {
		t.Errorf("report %+v", report)
	}
}

func TestJournalSurvivesAFailedRoll(t *testing.T) {
	dir := t.TempDir()
	b := &journalBook{m: map[string]string{}}
	bad := false
	snapshot := func(yield func([]byte) bool) {
		if bad && !yield(make([]byte, journalMaxRecord+1)) {
			return
		}
		b.snapshot()(yield)
	}
	j, _, err := openJournal(dir, journalOptions{RollBytes: 500, Reserve: -1}, b.replay, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := range 20 { // past the size at which it rolls
		bad = i >= 3
		b.tell(t, j, fmt.Sprintf("k%d=%s", i, strings.Repeat("x", 100)))
	}
	if got, want := journalNames(t, dir), []string{"00000001"}; !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	j.giveUp()
	if err := j.Append([]byte("lost=1")); err == nil {
		t.Error("Append without a log and without a snapshot succeeded")
	}
	_, again, _ := openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after failed rolls", again, b.m)

	bad = false
	b.tell(t, j, "z=1")
	_, again, _ = openJournalBook(t, dir, journalSmall)
	wantJournalBook(t, "after a roll at last", again, b.m)
}

func TestJournalReserveIsMadeWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	o := journalOptions{Reserve: 100_000}
	j, _, _ := openJournalBook(t, dir, o)
	path := filepath.Join(dir, journalReserveName)
	if got := len(journalReadFile(t, path)); got != 100_000 {
		t.Fatalf("the reserve has %d bytes", got)
	}
	if !j.freeReserve() || j.freeReserve() {
		t.Error("the reserve can be freed once")
	}
	if err := j.Append([]byte("a=1")); err != nil {
		t.Fatal(err)
	}
	if got := len(journalReadFile(t, path)); got != 100_000 {
		t.Errorf("made again, the reserve has %d bytes", got)
	}
	journalWriteFile(t, path, bytes.Repeat([]byte{1}, 50))
	journalWriteFile(t, path+".new", []byte("half made"))
	openJournalBook(t, dir, o)
	if got := len(journalReadFile(t, path)); got != 100_000 {
		t.Errorf("a reserve of the wrong size became %d bytes", got)
	}
	if got, want := journalNames(t, dir), []string{"00000001", "reserve"}; !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}
