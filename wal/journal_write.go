package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// buildJournalGeneration makes everything of a generation, durable, under a
// name that does not count yet. Nothing is committed; a failure costs nothing.
func buildJournalGeneration(dir string, number uint64, snapshot iter.Seq[[]byte]) (size int64, err error) {
	folder := filepath.Join(dir, journalFolderName(number)+".new")
	defer func() {
		if err != nil {
			err = fmt.Errorf("write journal generation %d: %w", number, err)
			// A half-made folder would hold space that the next try needs. If it
			// cannot be removed now, the next try or start-up does it.
			_ = os.RemoveAll(folder)
		}
	}()
	if err := os.RemoveAll(folder); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Join(folder, journalLogName), journalDirMode); err != nil {
		return 0, err
	}
	err = writeJournalFile(filepath.Join(folder, journalSnapshotName), func(w io.Writer) error {
		size, err = writeJournalSnapshot(w, number, snapshot)
		return err
	})
	if err != nil {
		return 0, err
	}
	err = writeJournalFile(filepath.Join(folder, journalLogName, journalSegmentName), func(io.Writer) error { return nil })
	if err != nil {
		return 0, err
	}
	if err := syncDir(filepath.Join(folder, journalLogName)); err != nil {
		return 0, err
	}
	return size, syncDir(folder)
}

// commitJournalGeneration gives a built generation its name. If it fails, the
// generation may or may not be there after a power cut.
func commitJournalGeneration(dir string, number uint64) error {
	name := filepath.Join(dir, journalFolderName(number))
	err := os.Rename(name+".new", name)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("commit journal generation %d: %w", number, err)
	}
	return nil
}

// writeJournalSnapshot streams a snapshot to w and returns its size.
func writeJournalSnapshot(w io.Writer, number uint64, snapshot iter.Seq[[]byte]) (int64, error) {
	sum, size, count := uint32(0), int64(0), uint64(0)
	write := func(b []byte) error {
		sum = crc32.Update(sum, castagnoli, b)
		size += int64(len(b))
		_, err := w.Write(b)
		return err
	}
	if err := write(journalAppendHeader(nil, journalVersion, number)); err != nil {
		return 0, err
	}
	var buf []byte
	for rec := range snapshot {
		if len(rec) > journalMaxRecord {
			return 0, fmt.Errorf("a snapshot record has %d bytes; at most %d are allowed", len(rec), journalMaxRecord)
		}
		count++
		buf = journalAppendFrame(buf[:0], journalRecordMagic, number, count, rec)
		if err := write(buf); err != nil {
			return 0, err
		}
	}
	payload := binary.LittleEndian.AppendUint32(nil, sum)
	err := write(journalAppendFrame(buf[:0], journalEndMagic, number, count, payload))
	return size, err
}

// writeJournalFile makes a new file, fills it and syncs it.
func writeJournalFile(path string, fill func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, journalFileMode)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	err = fill(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// removeJournalGeneration removes all that there is of a generation that no
// longer counts. It is renamed first, so that a half-removed folder is never
// taken for a damaged one.
func removeJournalGeneration(dir string, number uint64) error {
	name := filepath.Join(dir, journalFolderName(number))
	for _, half := range []string{name + ".new", name + ".old"} {
		if err := os.RemoveAll(half); err != nil {
			return err
		}
	}
	if err := os.Rename(name, name+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return os.RemoveAll(name + ".old") // should it come back, start-up removes it again
}
