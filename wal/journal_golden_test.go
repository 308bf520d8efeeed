package wal

import (
	"bytes"
	goflag "flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var journalGolden = goflag.Bool("journal.golden", false, "write testdata/journal-v1 anew")

// testdata/journal-v1 is a generation as format version 1 writes it. It must
// stay readable, and as long as the version is 1, be written byte for byte so.
func TestJournalFormatIsTheGoldenOne(t *testing.T) {
	golden := filepath.Join("testdata", "journal-v1")
	make1 := func(dir string) *journalBook {
		b := &journalBook{m: map[string]string{"stream": "gps", "epoch": "5d41402a"}}
		j, _, err := openJournal(dir, journalSmall, b.replay, b.snapshot())
		if err != nil {
			t.Fatal(err)
		}
		b.tell(t, j, "upload=2~first")
		b.tell(t, j, "part1=stored", "part2=stored", "empty=")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if *journalGolden {
		journalRemove(t, golden)
		if err := os.MkdirAll(golden, 0o755); err != nil {
			t.Fatal(err)
		}
		make1(golden)
	}

	work := filepath.Join(t.TempDir(), "journal")
	want := make1(work)
	err := filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(work, path)
		if err == nil && !bytes.Equal(journalReadFile(t, path), journalReadFile(t, filepath.Join(golden, rel))) {
			t.Errorf("%s is not what version %d was; a new layout needs a new version", rel, journalVersion)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	read := &journalBook{m: map[string]string{}}
	report, err := readJournal(golden, read.replay)
	if err != nil || report.Damaged || report.Records != 6 || report.Generation != 1 {
		t.Errorf("readJournal: %v, %+v", err, report)
	}
	wantJournalBook(t, "golden", read, want.m)
	if got, want := read.log, []string{"epoch=5d41402a", "stream=gps", "upload=2~first", "part1=stored", "part2=stored", "empty="}; !slices.Equal(got, want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
}
