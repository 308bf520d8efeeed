package wal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Old receipts go once all of them are beyond the bound; those that alone name an
// archive only once they were exported.
func TestReceiptsAreBoundedAndThoseOfVaultsStayUntilExported(t *testing.T) {
	dir := t.TempDir()
	l, _ := openTestLedger(t, dir, 200)
	l.keepBytes = 1000
	l.precious = func(line []byte) bool { return bytes.Contains(line, []byte("archive_id")) }
	add := func(from, n int, more string) {
		for i := from; i < from+n; i++ {
			ledgerAppend(t, l, fmt.Sprintf(`{"n":%d%s}`, i, more))
		}
	}
	size := func() (n int64) {
		entries, err := os.ReadDir(dir)
		check(t, err)
		for _, e := range entries {
			info, err := e.Info()
			check(t, err)
			n += info.Size()
		}
		return n
	}
	add(0, 20, "")
	add(20, 20, `,"archive_id":"x"`)
	add(100, 200, "")
	lines, _ := ledgerLines(t, dir)
	if lines[0] == `{"n":0}` || lines[len(lines)-1] != `{"n":299}` {
		t.Errorf("the first line is %s, the last %s", lines[0], lines[len(lines)-1])
	}
	ids := 0
	for _, line := range lines {
		if l.precious([]byte(line)) {
			ids++
		}
	}
	if ids != 20 || size() > 1000+1000 {
		t.Errorf("%d of 20 archive IDs are left, in %d bytes", ids, size())
	}
	exported := 0
	if err := ExportReceipts(dir, func([]byte) error { exported++; return fmt.Errorf("no room") }, nil); err == nil || readExported(dir) != 0 {
		t.Errorf("an export that failed counts: %v, up to %d", err, readExported(dir))
	}
	exported = 0
	check(t, ExportReceipts(dir, func([]byte) error { exported++; return nil }, func() error { return nil }))
	if exported != len(lines) {
		t.Errorf("%d lines exported, want %d", exported, len(lines))
	}
	add(300, 100, "")
	if lines, _ = ledgerLines(t, dir); size() > 1000+200 || bytes.Contains(fmt.Append(nil, lines), []byte("archive_id")) {
		t.Errorf("%d bytes are left, %s first", size(), lines[0])
	}
	// What cannot be read is no reason to remove it.
	check(t, os.WriteFile(filepath.Join(dir, ledgerExported), []byte("rubbish"), 0o600))
	if readExported(dir) != 0 {
		t.Error("rubbish counts as an export")
	}
}
