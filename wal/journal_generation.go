package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	journalSnapshotName = "snapshot"
	journalLogName      = "log"
	journalSegmentName  = "00000000000000000001" // tidwall/wal's name for the segment that begins with entry 1

	journalMaxScan  = 64 << 20 // bytes of a log that are looked at; a sound one holds a tenth of it
	journalDirMode  = 0o700
	journalFileMode = 0o600
)

// journalFolderName is the folder of a generation.
func journalFolderName(number uint64) string { return fmt.Sprintf("%08d", number) }

// journalNumber returns the generation number at the start of name and what
// follows it.
func journalNumber(name string) (number uint64, rest string, ok bool) {
	digits := len(name) - len(strings.TrimLeft(name, "0123456789"))
	if digits > 18 {
		return 0, "", false
	}
	number, err := strconv.ParseUint(name[:digits], 10, 64)
	if err != nil || number == 0 || name[:digits] != journalFolderName(number) {
		return 0, "", false
	}
	return number, name[digits:], true
}

// journalList is what the names in a journal's folder say.
type journalList struct {
	generations []uint64 // ascending
	leftovers   []string // names of folders half made or half removed, which hold nothing that counts
	highest     uint64   // number ever used, also by folders set aside
}

func listJournal(dir string) (journalList, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return journalList{}, fmt.Errorf("list journal: %w", err)
	}
	var l journalList
	for _, e := range entries {
		name := e.Name()
		aside := strings.TrimPrefix(strings.TrimPrefix(name, "damaged-"), "newer-")
		number, rest, ok := journalNumber(aside)
		if !ok {
			continue
		}
		l.highest = max(l.highest, number)
		switch {
		case aside != name || !e.IsDir():
		case rest == "":
			l.generations = append(l.generations, number)
		case rest == ".new" || rest == ".old":
			l.leftovers = append(l.leftovers, name)
		}
	}
	slices.Sort(l.generations)
	return l, nil
}

// journalFound is what reading one generation found.
type journalFound struct {
	newer    uint32 // not 0: the format version of a newer release, which is not looked into
	whole    bool   // the snapshot is complete and right
	snapshot int64  // bytes of the snapshot
	records  int    // in snapshot and log
	entries  uint64 // in the log
	good     int64  // bytes of the log from its start that are in order
	torn     int64  // bytes of a torn tail behind them
	damage   []string
}

// readJournalGeneration reads a generation and hands its records to emit,
// which may be nil. What is damaged is told in damage; an error means that
// emit failed or that the files may not be opened.
func readJournalGeneration(dir string, number uint64, emit func([]byte) error) (journalFound, error) {
	var found journalFound
	folder := filepath.Join(dir, journalFolderName(number))
	damaged := func(format string, args ...any) {
		found.damage = append(found.damage, fmt.Sprintf("journal generation %d: ", number)+fmt.Sprintf(format, args...))
	}

	file, size, err := openJournalFile(filepath.Join(folder, journalSnapshotName))
	switch {
	case journalUnreadable(err):
		damaged("its snapshot cannot be opened: %v", err)
	case err != nil:
		return found, err
	default:
		s := scanJournalFile(file, math.MaxInt64, number, emit)
		version, whole, err := s.scanSnapshot()
		_ = file.Close() // it was only read
		if err != nil {
			return found, err
		}
		if version > journalVersion {
			found.newer = version
			return found, nil
		}
		found.whole, found.snapshot, found.records = whole, size, s.records
		if !whole {
			damaged("its snapshot is damaged behind byte %d of %d; %d records of it could be read", s.good, size, s.records)
		}
		if s.readErr != nil {
			damaged("its snapshot cannot be read to the end: %v", s.readErr)
		}
	}

	names, err := os.ReadDir(filepath.Join(folder, journalLogName))
	if err != nil && !journalUnreadable(err) {
		return found, fmt.Errorf("read journal: %w", err)
	}
	for _, e := range names {
		if e.Name() != journalSegmentName {
			damaged("its log holds %q, which is none of ours", e.Name())
		}
	}
	log, size, err := openJournalLog(filepath.Join(folder, journalLogName, journalSegmentName))
	if journalUnreadable(err) {
		damaged("its log cannot be opened: %v", err)
		return found, nil
	}
	if err != nil {
		return found, err
	}
	s, err := scanJournalLog(log, number, emit)
	_ = log.Close() // it was only read
	if err != nil {
		return found, err
	}
	found.records += s.records
	found.entries, found.good = s.last, s.good
	switch {
	case s.readErr != nil:
		damaged("its log cannot be read behind byte %d: %v", s.off, s.readErr)
	case s.broken:
		damaged("its log is damaged behind byte %d of %d; %d records of it could be read", s.good, size, s.records)
	default:
		found.torn = size - s.good
	}
	return found, nil
}

// scanJournalLog walks a log twice: which records were acknowledged is known
// only once the last append has been seen.
func scanJournalLog(file io.ReaderAt, number uint64, emit func([]byte) error) (*journalScanner, error) {
	first := scanJournalFile(file, journalMaxScan, number, nil)
	if err := first.scanLog(); err != nil {
		return nil, err
	}
	s := scanJournalFile(file, journalMaxScan, number, emit)
	s.acked = first.start
	return s, s.scanLog()
}

// scanJournalFile returns a scanner of a file's first limit bytes, which asks flash again for what is
// not in order: only what it says twice is damage.
func scanJournalFile(file io.ReaderAt, limit int64, number uint64, emit func([]byte) error) *journalScanner {
	from := func(off int64) io.Reader { return io.NewSectionReader(file, off, limit-off) }
	s := newJournalScanner(from(0), number, emit)
	s.again = func(off int64) io.Reader {
		askAgain(file)
		return from(off)
	}
	return s
}

// openJournalFile opens a regular file for reading and returns its size.
func openJournalFile(path string) (*os.File, int64, error) { return openRegular(path, os.Open) }

// openJournalLog does so for a log, which is read as flash has it: whether the
// last append reached it, no sync may have said.
func openJournalLog(path string) (*flashReader, int64, error) { return openRegular(path, openFlash) }

func openRegular[F any](path string, open func(path string) (F, error)) (file F, size int64, err error) {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	if err == nil {
		file, err = open(path)
	}
	if err != nil {
		return file, 0, fmt.Errorf("read journal: %w", err)
	}
	return file, info.Size(), nil
}

// journalUnreadable says that err is what a missing or rotten file gives, as
// against one that we may not open now (permission, too many files): that is
// for the operator, and no reason to go on without it.
func journalUnreadable(err error) bool {
	for _, rotten := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.EIO, syscall.EUCLEAN, syscall.EBADMSG} {
		if errors.Is(err, rotten) {
			return true
		}
	}
	return false
}
