package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// The ledger is the list of receipts, one JSON object a line (see
// ledger_line.go), in the order in which they were written:
//
//	receipts-00000001.jsonl   rotated, oldest first
//	receipts-00000002.jsonl
//	receipts.jsonl            the current one
//	receipts.exported         up to which of them all was exported (ledger_keep.go)
//	receipts.damaged          bytes found behind the last sound line of a current one
//
// Under the assumptions A1 to A8 (journal.go, doc.go), the commit point of an append
// is the sync of the current file. Before it there is a torn tail: start-up
// moves it to receipts.damaged, the next append of the same process cuts it off
// and goes on in another file (A5). After it the line is never written again. A rotation is a rename, a
// new file, and the sync of the folder; cut in between, the file has one name or
// the other and no line is lost.
const (
	ledgerName      = "receipts.jsonl"
	ledgerDamaged   = "receipts.damaged"
	ledgerMaxBytes  = 4 << 20 // default size at which the current file is rotated
	ledgerMaxAside  = 1 << 20 // bytes of receipts.damaged
	ledgerMaxNumber = 99_999_999
)

// ledger appends receipts. It is not safe for concurrent use. One process at a
// time may have it open; the lock of the state folder sees to it.
type ledger struct {
	dir      string
	maxBytes int64
	next     int      // number of the next rotated file
	file     *os.File // the current file; nil: its tail is unknown, or it has yet to be made
	end      int64    // bytes of it that are acknowledged
	spoiled  bool     // a write or a sync of it failed: another file has to be begun
	closed   bool
	wear     *wear

	keepBytes int64                  // of all receipts, beyond which old ones go; 0: all stay
	precious  func(line []byte) bool // lines that stay until they are exported; nil: none
}

// openLedger opens the ledger in dir, making it if it is not there. What a
// power cut or rot left behind the last sound line is moved aside; the notes
// are sentences about it for the operator. The current file is rotated before
// it grows beyond maxBytes; 0 means 4 MiB.
func openLedger(dir string, maxBytes int64) (*ledger, []string, error) {
	if maxBytes == 0 {
		maxBytes = ledgerMaxBytes
	}
	if maxBytes < 0 {
		return nil, nil, fmt.Errorf("open ledger: rotation at %d bytes; it must be more than 0", maxBytes)
	}
	l := &ledger{dir: dir, maxBytes: maxBytes}
	notes, err := l.start()
	if err != nil {
		return nil, notes, errors.Join(fmt.Errorf("open ledger in %s: %w%s", dir, err, journalHint(err)), l.Close())
	}
	return l, notes, nil
}

// Append makes line durable before it returns nil. It is one JSON object of at
// most 64 KiB without a newline. After an error the line is not in the ledger
// once a later Append has succeeded; until then it may be.
func (l *ledger) Append(line []byte) error {
	if err := l.append(line); err != nil {
		return fmt.Errorf("append to ledger: %w", err)
	}
	return nil
}

func (l *ledger) append(line []byte) error {
	if l.closed {
		return errors.New("it is closed")
	}
	sealed, err := sealLedgerLine(line)
	if err != nil {
		return err
	}
	if l.spoiled {
		if err := l.leave(); err != nil {
			return err
		}
	}
	if l.file == nil {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	if l.end > 0 && l.end+int64(len(sealed)) > l.maxBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	l.wear.add(int64(len(sealed)), 1)
	_, err = l.file.WriteAt(sealed, l.end)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		// Neither the bytes nor a second sync of them can be trusted now.
		l.spoiled = true
		return errors.Join(err, l.release())
	}
	l.end += int64(len(sealed))
	return nil
}

// Close releases the ledger. Every acknowledged line is durable whatever it
// returns. Closing twice is safe.
func (l *ledger) Close() error {
	l.closed = true
	if err := l.release(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

func (l *ledger) release() error {
	file := l.file
	l.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}

// start finds the end of the current file and clears away what is behind it.
func (l *ledger) start() (notes []string, err error) {
	rotated, err := listLedger(l.dir)
	if err != nil {
		return nil, err
	}
	l.next = 1
	if len(rotated) > 0 {
		l.next = rotated[len(rotated)-1] + 1
	}
	path := filepath.Join(l.dir, ledgerName)
	if l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	scan, err := lastLedgerScan(path)
	if err == nil {
		notes = scan.notes(path)
		l.end = scan.good
		err = l.trim(scan)
	}
	if err == nil {
		return notes, syncDir(l.dir)
	}
	// The file cannot be read to its end or not be mended (a full disk, rot): it
	// stays as it is, under the name of an old one, which readers bear.
	notes = append(notes, fmt.Sprintf("%s cannot be mended and was rotated as it is: %v", path, err))
	return notes, l.rotate()
}

// lastLedgerScan walks the current file as flash has it: the sync of the last
// line may have failed. Only what flash says twice is damage.
func lastLedgerScan(path string) (scan ledgerScan, err error) {
	file, err := openFlash(path)
	if err != nil {
		return scan, err
	}
	for range 2 {
		file.forget()
		scan, err = scanLedger(io.NewSectionReader(file, 0, math.MaxInt64), nil)
		if err == nil && scan.damaged == 0 && scan.good == scan.size {
			break
		}
	}
	return scan, errors.Join(err, file.Close())
}

// trim makes the current file end with its last sound line, durably. What was
// behind it is kept aside.
func (l *ledger) trim(scan ledgerScan) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if tail := info.Size() - scan.good; tail > 0 {
		if err := l.keepAside(scan.good, tail); err != nil {
			return err
		}
		if err := l.file.Truncate(scan.good); err != nil {
			return err
		}
	}
	if scan.good > 0 && !scan.terminated {
		if _, err := l.file.WriteAt([]byte("\n"), scan.good); err != nil {
			return err
		}
		l.end++
	}
	// What start-up found it may hand out, so a second cut must not take it away.
	return l.file.Sync()
}

// keepAside appends n bytes of the current file to receipts.damaged, durably,
// as far as that may grow. Zeros are what a cut leaves: they tell nothing.
func (l *ledger) keepAside(from, n int64) error {
	empty, err := isZero(io.NewSectionReader(l.file, from, n))
	if err != nil || empty {
		return err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, ledgerDamaged), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		room := max(0, ledgerMaxAside-info.Size())
		_, err = io.Copy(file, io.NewSectionReader(l.file, from, min(n, room)))
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return syncDir(l.dir)
}

func isZero(r io.Reader) (bool, error) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if c != 0 {
				return false, nil
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return true, err
		}
	}
}

// leave gives up the current file, on which a write or a sync failed, and begins
// another: its blocks may be bad. What was not acknowledged is cut off.
func (l *ledger) leave() error {
	if err := l.reopen(); err != nil {
		return err
	}
	l.spoiled = false
	if l.end > 0 {
		return l.rotate()
	}
	if err := os.Remove(filepath.Join(l.dir, ledgerName)); err != nil {
		return err
	}
	if err := l.release(); err != nil {
		return err
	}
	return l.reopen()
}

// reopen opens the current file after an error and cuts off what was not
// acknowledged, or makes it if a rotation got no further.
func (l *ledger) reopen() error {
	file, err := os.OpenFile(filepath.Join(l.dir, ledgerName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < l.end {
		// Not the file that was left: whatever it is, nothing in it is ours.
		l.file = file
		return l.rotate()
	}
	if err == nil {
		err = file.Truncate(l.end)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file = file
	return nil
}

// rotate gives the current file the next number and begins another. A rename
// that fails leaves everything as it was.
func (l *ledger) rotate() error {
	if l.next > ledgerMaxNumber {
		return fmt.Errorf("%d receipt files are numbered; move some away", ledgerMaxNumber)
	}
	to := filepath.Join(l.dir, ledgerRotated(l.next))
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is in the way", to), err)
	}
	if err := os.Rename(filepath.Join(l.dir, ledgerName), to); err != nil {
		return err
	}
	l.next++
	l.end = 0
	if err := l.release(); err != nil {
		return err
	}
	if err := l.reopen(); err != nil { // which syncs the folder
		return err
	}
	l.keep()
	return nil
}
