package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ledgerRotated is the name of a rotated file.
func ledgerRotated(number int) string { return fmt.Sprintf("receipts-%08d.jsonl", number) }

// listLedger returns the numbers of the rotated files, ascending.
func listLedger(dir string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits := strings.TrimSuffix(strings.TrimPrefix(e.Name(), "receipts-"), ".jsonl")
		n, err := strconv.Atoi(digits)
		if err == nil && n > 0 && n <= ledgerMaxNumber && e.Name() == ledgerRotated(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// readLedger hands each line to fn, oldest first; a line is fn's to keep. It
// only reads, so it works on a read-only medium, and beside a running daemon,
// of which it then sees what was there when it was called. Damaged lines are
// left out and told in the notes. An error is fn's, or that of a folder or file
// that may not be opened.
func readLedger(dir string, fn func(line []byte) error) (notes []string, err error) {
	// The current file comes first: it may be rotated at any moment, and is then
	// known again among the rotated ones.
	current, err := os.Open(filepath.Join(dir, ledgerName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	var currentInfo os.FileInfo
	if current != nil {
		defer current.Close() // it is only read
		if currentInfo, err = current.Stat(); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
	}
	numbers, err := listLedger(dir)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	read := func(file *os.File) error {
		var failed error // fn's, which is not the file's
		scan, err := scanLedger(file, func(line []byte) error {
			failed = fn(line)
			return failed
		})
		notes = append(notes, scan.notes(file.Name())...)
		if err != nil && failed == nil {
			notes = append(notes, fmt.Sprintf("%s cannot be read behind byte %d: %v", file.Name(), scan.size, err))
		}
		return failed
	}
	for _, n := range numbers {
		file, err := os.Open(filepath.Join(dir, ledgerRotated(n)))
		if err != nil {
			return notes, fmt.Errorf("read ledger: %w", err)
		}
		info, err := file.Stat()
		if err == nil && currentInfo != nil && os.SameFile(info, currentInfo) {
			_ = file.Close() // it was only read
			break
		}
		err = errors.Join(err, read(file))
		_ = file.Close() // it was only read
		if err != nil {
			return notes, fmt.Errorf("read ledger: %w", err)
		}
	}
	if current != nil {
		if err := read(current); err != nil {
			return notes, fmt.Errorf("read ledger: %w", err)
		}
	}
	return notes, nil
}

// ledgerScan is what a walk over one file found.
type ledgerScan struct {
	size       int64 // bytes read
	good       int64 // end of the last row that holds a sound line
	terminated bool  // that row ends with a newline
	lines      int   // sound
	damaged    int   // rows before good with bytes that are no line
}

// notes says what is wrong with the file at path.
func (s ledgerScan) notes(path string) (notes []string) {
	if s.damaged > 0 {
		notes = append(notes, fmt.Sprintf("%s: %d damaged rows were left out, %d lines are sound", path, s.damaged, s.lines))
	}
	if tail := s.size - s.good; tail > 0 {
		notes = append(notes, fmt.Sprintf("%s: %d bytes behind its last sound line do not count", path, tail))
	}
	return notes
}

// scanLedger walks the rows of a file and hands the sound lines to fn, which
// may be nil. It holds at most two of the longest lines in memory.
func scanLedger(r io.Reader, fn func(line []byte) error) (ledgerScan, error) {
	in := bufio.NewReaderSize(r, 2*(ledgerMaxLine+1+ledgerTail+1))
	var s ledgerScan
	bad := 0 // rows without a line since good
	for {
		row, err := in.ReadSlice('\n')
		s.size += int64(len(row))
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			row, err = in.ReadSlice('\n')
			s.size += int64(len(row))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return s, err
		}
		if len(row) == 0 {
			return s, nil
		}
		terminated := err == nil
		if terminated {
			row = row[:len(row)-1]
		}
		var lines [][]byte
		line, sound := openLedgerLine(row)
		switch {
		case long: // no line is so long
		case sound:
			lines = [][]byte{line}
		default:
			lines = salvageLedgerLine(row)
		}
		if !sound || long {
			bad++
		}
		if len(lines) > 0 {
			s.good, s.terminated = s.size, terminated
			s.damaged, bad = s.damaged+bad, 0
			s.lines += len(lines)
		}
		for _, line := range lines {
			if fn == nil {
				continue
			}
			if err := fn(line); err != nil {
				return s, err
			}
		}
		if !terminated {
			return s, nil
		}
	}
}
