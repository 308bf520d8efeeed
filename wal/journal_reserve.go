package wal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The reserve is a file whose blocks the journal takes back when the disk is
// full, so that facts (above all those that free space) can still be written.
const journalReserveName = "reserve"

// findReserve looks whether the reserve is there.
func (j *journal) findReserve() {
	info, err := os.Lstat(filepath.Join(j.dir, journalReserveName))
	j.reserved = err == nil && info.Mode().IsRegular() && info.Size() == j.options.Reserve
}

// makeReserve makes the reserve if it is missing and there is room for it twice
// over. It makes it under another name first, so that its size alone tells that
// it is whole. If that fails it is not tried again before the next roll: on
// flash, trying costs.
func (j *journal) makeReserve() (err error) {
	if j.reserved || j.noReserve || j.options.Reserve < 0 {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(j.dir, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", j.dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < 2*uint64(j.options.Reserve) {
		return fmt.Errorf("%d bytes are free, twice %d are needed", free, j.options.Reserve)
	}
	defer func() { j.noReserve = err != nil }()
	path := filepath.Join(j.dir, journalReserveName)
	for _, old := range []string{path, path + ".new"} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	j.options.wear.add(j.options.Reserve, 1)
	err = writeJournalFile(path+".new", func(w io.Writer) error {
		// Bytes without a pattern, or a file system that compresses would
		// reserve next to nothing. Nobody depends on what they are.
		_, err := io.CopyN(w, rand.NewChaCha8([32]byte{}), j.options.Reserve)
		return err
	})
	if err == nil {
		err = os.Rename(path+".new", path) // one that is lost is made again
	}
	if err != nil {
		// Half a reserve would only take space away.
		return errors.Join(err, os.RemoveAll(path+".new"))
	}
	j.reserved = true
	return nil
}

// freeReserve gives the blocks of the reserve back. It is false if there were none.
func (j *journal) freeReserve() bool {
	if !j.reserved {
		return false
	}
	j.reserved = false
	err := os.Remove(filepath.Join(j.dir, journalReserveName))
	// The blocks are free for good once the folder is synced.
	return errors.Join(err, syncDir(j.dir)) == nil
}
