package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ledgerExported says up to which rotated file the receipts have been exported:
//
//	receipts.exported         a decimal number and a newline
const ledgerExported = "receipts.exported"

// keep removes the oldest rotated files while all receipts together take more
// than keepBytes. One with a line that precious names stays until it is exported,
// also beyond the bound: for some archives the receipt is the only way back. The
// newest rotated file always stays, so that numbers are never used twice. It
// returns how many files stay only since they were not exported.
func (l *ledger) keep() (waiting int) {
	numbers, err := listLedger(l.dir)
	if err != nil || l.keepBytes <= 0 || len(numbers) == 0 {
		return 0
	}
	total := l.end
	sizes := make([]int64, len(numbers))
	for i, n := range numbers {
		if info, err := os.Lstat(filepath.Join(l.dir, ledgerRotated(n))); err == nil {
			sizes[i] = info.Size()
			total += sizes[i]
		}
	}
	exported := readExported(l.dir)
	for i, n := range numbers[:len(numbers)-1] {
		if total <= l.keepBytes {
			break
		}
		path := filepath.Join(l.dir, ledgerRotated(n))
		if n > exported && l.holdsPrecious(path) {
			waiting++
			continue
		}
		if os.Remove(path) == nil { // else the next rotation tries again
			total -= sizes[i]
		}
	}
	return waiting
}

// holdsPrecious says whether a line of the file must not be lost. A file that
// cannot be read to its end may hold one.
func (l *ledger) holdsPrecious(path string) bool {
	if l.precious == nil {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer file.Close() // it is only read
	found := errors.New("found")
	_, err = scanLedger(file, func(line []byte) error {
		if l.precious(line) {
			return found
		}
		return nil
	})
	return err != nil
}

// readExported returns the number of the last exported file, 0 if there is none.
func readExported(dir string) int {
	file, err := os.Open(filepath.Join(dir, ledgerExported))
	if err != nil {
		return 0
	}
	defer file.Close() // it is only read
	b, err := io.ReadAll(io.LimitReader(file, 32))
	n, bad := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || bad != nil || n < 0 {
		return 0
	}
	return n
}

// ExportReceipts is ReadReceipts, and once done, when fn has succeeded with all
// lines, notes durably that they have a home elsewhere: the rotated files among
// them may then be removed. The lines of the file that is still written to count
// with the next export. done may be nil; the note is made once it has returned nil.
// A process that runs on the folder may go on.
func ExportReceipts(dir string, fn func(line []byte) error, done func() error) error {
	numbers, err := listLedger(dir)
	if err != nil {
		return fmt.Errorf("export receipts: %w", err)
	}
	if err := ReadReceipts(dir, fn); err != nil {
		return err
	}
	if done != nil {
		if err := done(); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		return nil
	}
	path := filepath.Join(dir, ledgerExported)
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("export receipts: %w", err)
	}
	_, err = fmt.Fprintf(file, "%d\n", numbers[len(numbers)-1])
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("export receipts: %w", err)
	}
	return nil
}
