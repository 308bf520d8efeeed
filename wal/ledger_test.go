package wal

import (
	"bytes"
	"encoding/json"
	"errors"
	goflag "flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var ledgerGolden = goflag.Bool("ledger.golden", false, "write testdata/ledger-v1 anew")

func openTestLedger(t testing.TB, dir string, maxBytes int64) (*ledger, []string) {
	t.Helper()
	l, notes, err := openLedger(dir, maxBytes)
	if err != nil {
		t.Fatalf("openLedger: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l, notes
}

func ledgerLines(t testing.TB, dir string) (lines, notes []string) {
	t.Helper()
	notes, err := readLedger(dir, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	})
	if err != nil {
		t.Fatalf("readLedger: %v", err)
	}
	return lines, notes
}

func ledgerAppend(t testing.TB, l *ledger, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := l.Append([]byte(line)); err != nil {
			t.Fatalf("Append(%s): %v", line, err)
		}
	}
}

func TestLedgerKeepsWhatAppendAcknowledged(t *testing.T) {
	dir := t.TempDir()
	l, notes := openTestLedger(t, dir, 0)
	want := []string{`{"key":"a","crc":"mine"}`, `{}`, `{"text":"\n \u00e9 {\"crc\":\"00000000\"}"}`, `{"n":[1,{"crc":"x"}]}`}
	ledgerAppend(t, l, want...)
	got, more := ledgerLines(t, dir)
	if !slices.Equal(got, want) || len(notes) != 0 || len(more) != 0 {
		t.Errorf("got %q, want %q; notes %q %q", got, want, notes, more)
	}
	for _, row := range strings.Split(strings.TrimSpace(string(journalReadFile(t, filepath.Join(dir, ledgerName)))), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(row), &m); err != nil {
			t.Errorf("%s is no JSON: %v", row, err)
		}
	}
	again, notes := openTestLedger(t, dir, 0) // killed, not closed
	ledgerAppend(t, again, `{"key":"b"}`)
	if got, _ := ledgerLines(t, dir); !slices.Equal(got, append(want, `{"key":"b"}`)) || len(notes) != 0 {
		t.Errorf("opened again: %q, notes %q", got, notes)
	}
}

func TestLedgerRefusesWhatIsNoLine(t *testing.T) {
	dir := t.TempDir()
	l, _ := openTestLedger(t, dir, 0)
	largest := `{"k":"` + strings.Repeat("x", ledgerMaxLine-len(`{"k":""}`)) + `"}`
	for _, line := range []string{"", "{", "}", "[]", `"x"`, "1", " {}", "{} ", "{}{}", "{\n}", `{"a":}`, largest + " ", `{"k":1` + largest} {
		if err := l.Append([]byte(line)); err == nil {
			t.Errorf("%.40q was taken", line)
		}
	}
	ledgerAppend(t, l, largest, largest)
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, []string{largest, largest}) || len(notes) != 0 {
		t.Errorf("%d lines, notes %q", len(got), notes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("{}")); err == nil {
		t.Error("a closed ledger took a line")
	}
	if _, _, err := openLedger(dir, -1); err == nil {
		t.Error("a negative size was taken")
	}
}

func TestLedgerRotatesAndReadsOldestFirst(t *testing.T) {
	dir := t.TempDir()
	l, _ := openTestLedger(t, dir, 200)
	var want []string
	for i := range 50 {
		line := fmt.Sprintf(`{"n":%d}`, i)
		ledgerAppend(t, l, line)
		want = append(want, line)
	}
	names := journalNames(t, dir)
	if len(names) < 5 || names[0] != "receipts-00000001.jsonl" || names[len(names)-1] != ledgerName {
		t.Errorf("folder holds %q", names)
	}
	for _, name := range names {
		if got := len(journalReadFile(t, filepath.Join(dir, name))); got > 200 {
			t.Errorf("%s has %d bytes", name, got)
		}
	}
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, want) || len(notes) != 0 {
		t.Errorf("got %q, notes %q", got, notes)
	}
	// Cut between the rename and the new file.
	if err := os.Rename(filepath.Join(dir, ledgerName), filepath.Join(dir, ledgerRotated(l.next))); err != nil {
		t.Fatal(err)
	}
	if got, _ := ledgerLines(t, dir); !slices.Equal(got, want) {
		t.Errorf("without a current file: %q", got)
	}
	again, _ := openTestLedger(t, dir, 200)
	ledgerAppend(t, again, `{"last":1}`)
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, append(want, `{"last":1}`)) || len(notes) != 0 {
		t.Errorf("after a cut rotation: %q, notes %q", got, notes)
	}
}

// After an error the tail of the file is unknown: the next Append cuts it back
// to what was acknowledged, and goes on in another file, whose blocks are others.
func TestLedgerGoesOnInAnotherFileAfterAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ledgerName)
	l, _ := openTestLedger(t, dir, 0)
	ledgerAppend(t, l, `{"a":1}`)
	if _, err := l.file.WriteAt([]byte(`{"half":"`+strings.Repeat("x", 100)), l.end); err != nil {
		t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte(`{"b":2}`)); err == nil {
		t.Fatal("Append on a broken file succeeded")
	}
	ledgerAppend(t, l, `{"c":3}`)
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, []string{`{"a":1}`, `{"c":3}`}) || len(notes) != 0 {
		t.Errorf("got %q, notes %q", got, notes)
	}
	if old, err := os.ReadFile(filepath.Join(dir, ledgerRotated(1))); err != nil || !strings.HasPrefix(string(old), `{"a":1,`) || strings.Count(string(old), "\n") != 1 {
		t.Errorf("the file that failed: %q, %v", old, err)
	}
	// Another file in its place is no reason to write a hole.
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	journalWriteFile(t, path, []byte("x"))
	ledgerAppend(t, l, `{"d":4}`)
	if got, _ := ledgerLines(t, dir); !slices.Equal(got, []string{`{"a":1}`, `{"d":4}`}) {
		t.Errorf("got %q", got)
	}
}

// A file in which nothing was acknowledged is not kept for it.
func TestLedgerReplacesAnEmptyFileAfterAnError(t *testing.T) {
	dir := t.TempDir()
	l, _ := openTestLedger(t, dir, 0)
	for range 3 {
		if err := l.file.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append([]byte(`{"a":1}`)); err == nil {
			t.Fatal("Append on a broken file succeeded")
		}
		if err := l.leave(); err != nil {
			t.Fatal(err)
		}
	}
	ledgerAppend(t, l, `{"b":2}`)
	if got, notes := ledgerLines(t, dir); !slices.Equal(got, []string{`{"b":2}`}) || len(notes) != 0 {
		t.Errorf("got %q, notes %q", got, notes)
	}
	if numbers, err := listLedger(dir); err != nil || len(numbers) != 0 {
		t.Errorf("rotated files %v, %v, want none", numbers, err)
	}
}

// A tail that cannot be kept aside leaves the file as it is; the ledger goes on.
func TestLedgerRotatesWhatItCannotMend(t *testing.T) {
	dir := t.TempDir()
	data, lines, _ := ledgerSample(t)
	journalWriteFile(t, filepath.Join(dir, ledgerName), append(slices.Clone(data), "torn"...))
	journalWriteFile(t, filepath.Join(dir, ledgerDamaged, "a folder"), nil)
	l, notes := openTestLedger(t, dir, 0)
	if len(notes) != 2 {
		t.Errorf("notes %q", notes)
	}
	ledgerAppend(t, l, `{"more":1}`)
	if got, _ := ledgerLines(t, dir); !slices.Equal(got, append(lines, `{"more":1}`)) {
		t.Errorf("got %q", got)
	}
}

func TestLedgerReadsWithoutChangingAnything(t *testing.T) {
	dir := t.TempDir()
	data, lines, _ := ledgerSample(t)
	journalWriteFile(t, filepath.Join(dir, ledgerRotated(3)), data)
	journalWriteFile(t, filepath.Join(dir, ledgerName), append([]byte("bad\n"), data[:len(data)-9]...))
	before := journalTree(t, dir)
	got, notes := ledgerLines(t, dir)
	if want := append(slices.Clone(lines), lines[:3]...); !slices.Equal(got, want) || len(notes) != 2 {
		t.Errorf("got %q, want %q, notes %q", got, want, notes)
	}
	if !maps.Equal(journalTree(t, dir), before) {
		t.Error("readLedger changed the folder")
	}
	stop := errors.New("stop")
	if _, err := readLedger(dir, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	if _, err := readLedger(filepath.Join(dir, "nowhere"), nil); err == nil {
		t.Error("a ledger that is not there was read")
	}
}

func TestLedgerFormatIsTheGoldenOne(t *testing.T) {
	golden := filepath.Join("testdata", "ledger-v1", ledgerName)
	lines := []string{
		`{"stream":"gps","epoch":"5d41402a","start":0,"end":65536,"key":"gw/gps/2026/11/22/gps-5d41402a-0.log"}`,
		`{"stream":"gps","epoch":"5d41402a","start":65536,"end":65540,"archive_id":"x-y_z"}`, `{}`,
	}
	dir := t.TempDir()
	l, _ := openTestLedger(t, dir, 0)
	ledgerAppend(t, l, lines...)
	written := journalReadFile(t, filepath.Join(dir, ledgerName))
	if *ledgerGolden {
		journalWriteFile(t, golden, written)
	}
	if !bytes.Equal(written, journalReadFile(t, golden)) {
		t.Errorf("a ledger is not written as it was: %s", written)
	}
	if got, notes := ledgerLines(t, filepath.Dir(golden)); !slices.Equal(got, lines) || len(notes) != 0 {
		t.Errorf("golden: %q, notes %q", got, notes)
	}
}

func TestLedgerModel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(root, fmt.Sprint(run))
		if err := os.Mkdir(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		maxBytes := rapid.Int64Range(1, 400).Draw(rt, "max")
		var l *ledger
		var kept []string
		open := func() {
			var err error
			if l, _, err = openLedger(dir, maxBytes); err != nil {
				rt.Fatal(err)
			}
		}
		open()
		count := 0
		next := func() string { count++; return fmt.Sprintf(`{"n":%d}`, count) }
		check := func() {
			var got []string
			if _, err := readLedger(dir, func(line []byte) error { got = append(got, string(line)); return nil }); err != nil {
				rt.Fatal(err)
			}
			if !slices.Equal(got, kept) {
				rt.Fatalf("got %q, want %q", got, kept)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				line := next()
				if err := l.Append([]byte(line)); err != nil {
					rt.Fatal(err)
				}
				kept = append(kept, line)
				check()
			},
			"append fails": func(rt *rapid.T) {
				if l.file == nil {
					return
				}
				if err := l.file.Close(); err != nil {
					rt.Fatal(err)
				}
				if err := l.Append([]byte(next())); err == nil {
					rt.Fatal("Append on a closed file succeeded")
				}
				check()
			},
			"cut": func(rt *rapid.T) {
				sealed, err := sealLedgerLine([]byte(next()))
				if err != nil {
					rt.Fatal(err)
				}
				torn := sealed[:rapid.IntRange(0, len(sealed)-2).Draw(rt, "cut")]
				if l.file != nil {
					if _, err := l.file.WriteAt(torn, l.end); err != nil {
						rt.Fatal(err)
					}
				}
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				open()
				check()
			},
		})
		if err := l.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
