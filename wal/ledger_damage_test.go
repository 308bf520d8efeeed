package wal

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func ledgerSample(t testing.TB) (data []byte, lines []string, ends []int) {
	t.Helper()
	for i := range 4 {
		line := fmt.Sprintf(`{"key":"k%d","v":"%s"}`, i, strings.Repeat("x", i*3))
		sealed, err := sealLedgerLine([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, sealed...)
		lines = append(lines, line)
		ends = append(ends, len(data))
	}
	return data, lines, ends
}

func TestLedgerSurvivesEveryCut(t *testing.T) {
	t.Parallel()
	data, lines, ends := ledgerSample(t)
	tails := map[string]string{
		"nothing": "", "zeros": strings.Repeat("\x00", 4096), "garbage": "\xff{\"crc\":\"\n{}\ngarbage",
		"much": strings.Repeat("x", 3*ledgerMaxLine),
	}
	for name, tail := range tails {
		for cut := range len(data) + 1 {
			dir := t.TempDir()
			what := fmt.Sprintf("cut at %d, then %s", cut, name)
			content := string(data[:cut]) + tail
			journalWriteFile(t, filepath.Join(dir, ledgerName), []byte(content))
			whole := 0
			// The line is all there a byte earlier: its newline proves nothing.
			for whole < len(ends) && (ends[whole] <= cut || ends[whole]-1 == cut && name != "much") {
				whole++
			}
			before, notes := ledgerLines(t, dir)
			least := lines[:whole]
			if !journalSubsequence(least, before) || !journalSubsequence(before, lines) {
				t.Fatalf("%s: read %q, want %q", what, before, least)
			}
			l, openNotes := openTestLedger(t, dir, 0)
			if (len(notes) == 0) != (len(openNotes) == 0) {
				t.Fatalf("%s: notes %q, at open %q", what, notes, openNotes)
			}
			ledgerAppend(t, l, `{"more":1}`)
			after, _ := ledgerLines(t, dir)
			if want := append(slices.Clone(before), `{"more":1}`); !slices.Equal(after, want) {
				t.Fatalf("%s: then %q, want %q", what, after, want)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLedgerKeepsTornBytesAside(t *testing.T) {
	dir := t.TempDir()
	data, lines, _ := ledgerSample(t)
	path := filepath.Join(dir, ledgerName)
	journalWriteFile(t, path, append(slices.Clone(data), `{"torn":1`...))
	l, notes := openTestLedger(t, dir, 0)
	if len(notes) != 1 {
		t.Errorf("notes %q", notes)
	}
	if got := string(journalReadFile(t, filepath.Join(dir, ledgerDamaged))); got != `{"torn":1` {
		t.Errorf("kept aside: %q", got)
	}
	if got := journalReadFile(t, path); !bytes.Equal(got, data) {
		t.Errorf("the file holds %q", got)
	}
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, lines) || len(notes) != 0 {
		t.Errorf("got %q, notes %q", got, notes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Not without bound.
	for range 3 {
		journalWriteFile(t, path, append(slices.Clone(data), bytes.Repeat([]byte("y"), ledgerMaxAside/2+1)...))
		l, _ := openTestLedger(t, dir, 0)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(journalReadFile(t, filepath.Join(dir, ledgerDamaged))); got != ledgerMaxAside {
		t.Errorf("%d bytes are kept aside, want %d", got, ledgerMaxAside)
	}
}

func TestLedgerSurvivesEveryFlip(t *testing.T) {
	t.Parallel()
	data, lines, _ := ledgerSample(t)
	for at := range data {
		for _, mask := range []byte{0x01, 0x20, 0xff, data[at] ^ '\n'} {
			if mask == 0 {
				continue
			}
			dir := t.TempDir()
			bad := slices.Clone(data)
			bad[at] ^= mask
			journalWriteFile(t, filepath.Join(dir, ledgerName), bad)
			what := fmt.Sprintf("byte %d ^ %#x", at, mask)
			got, notes := ledgerLines(t, dir)
			if !journalSubsequence(got, lines) {
				t.Fatalf("%s: read %q, written were %q", what, got, lines)
			}
			least := len(lines) - 1
			if data[at] == '\n' {
				least = len(lines)
			}
			if len(got) < least || len(notes) == 0 {
				t.Fatalf("%s: %d lines of %d, notes %q", what, len(got), len(lines), notes)
			}
			l, _ := openTestLedger(t, dir, 0)
			ledgerAppend(t, l, `{"more":1}`)
			if after, _ := ledgerLines(t, dir); !slices.Equal(after, append(got, `{"more":1}`)) {
				t.Fatalf("%s: then %q", what, after)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func FuzzLedger(f *testing.F) {
	data, _, _ := ledgerSample(f)
	f.Add([]byte{})
	f.Add(data)
	f.Add(data[:30])
	f.Add(bytes.ReplaceAll(data, []byte("\n"), []byte("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 0
		scan, err := scanLedger(bytes.NewReader(data), func(line []byte) error {
			lines++
			sealed, err := sealLedgerLine(line)
			if err == nil && !bytes.Contains(data, sealed[:len(sealed)-1]) {
				t.Fatalf("%q is not in the bytes", line)
			}
			return nil
		})
		if err != nil || scan.size != int64(len(data)) || scan.good > scan.size || scan.lines != lines {
			t.Fatalf("scan %+v of %d bytes, %d lines: %v", scan, len(data), lines, err)
		}
		again, err := scanLedger(bytes.NewReader(data[:scan.good]), nil)
		if err != nil || again.good != scan.good || again.lines != lines {
			t.Fatalf("the good part scans as %+v: %v", again, err)
		}
	})
}
