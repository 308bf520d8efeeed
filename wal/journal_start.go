package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// journalLoaded is what the generations on disk amount to.
type journalLoaded struct {
	journalList
	report journalReport
	live   uint64       // the generation to go on with; 0: a new one is needed
	found  journalFound // of live
}

// loadJournal replays the newest usable generation. It only reads.
//
// That is the newest whose snapshot is whole. Newer ones whose snapshot is
// damaged began in the state where it ended, so what they can prove is replayed
// behind it.
func loadJournal(dir string, replay func(rec []byte) error) (journalLoaded, error) {
	list, err := listJournal(dir)
	l := journalLoaded{journalList: list}
	if err != nil {
		return l, err
	}
	var use []uint64 // to replay, newest first
	for _, number := range slices.Backward(l.generations) {
		found, err := readJournalGeneration(dir, number, nil)
		if err != nil {
			return l, err
		}
		if found.newer != 0 {
			l.note("journal generation %d was written by a newer release (format %d, this one reads up to %d); it is left as it is, and what it says is not known here", number, found.newer, journalVersion)
			continue
		}
		use = append(use, number)
		if found.whole {
			break
		}
	}
	for i, number := range slices.Backward(use) {
		found, err := readJournalGeneration(dir, number, replay)
		if err != nil {
			return l, fmt.Errorf("replay generation %d: %w", number, err)
		}
		l.report.Generation = number
		l.report.Records += found.records
		l.report.TornBytes += found.torn
		l.report.Notes = append(l.report.Notes, found.damage...)
		if len(found.damage) > 0 {
			l.report.Damaged = true
		}
		if found.torn > 0 {
			l.note("journal generation %d: %d bytes of an unfinished write at its end do not count", number, found.torn)
		}
		if i == 0 && !l.report.Damaged && found.torn == 0 {
			l.live, l.found = number, found
		}
	}
	return l, nil
}

func (l *journalLoaded) note(format string, args ...any) {
	l.report.Notes = append(l.report.Notes, fmt.Sprintf(format, args...))
}

// readJournal hands the records of the newest usable generation to replay, as
// openJournal does, and changes nothing: it works on a read-only medium, on a
// full disk and on a damaged journal. The journal must not be open elsewhere:
// it takes no lock and would see it change.
func readJournal(dir string, replay func(rec []byte) error) (journalReport, error) {
	l, err := loadJournal(dir, replay)
	if err != nil {
		return l.report, fmt.Errorf("read journal %s: %w", dir, err)
	}
	return l.report, nil
}

// start brings j from what is on disk to where Append can go on.
func (j *journal) start(replay func(rec []byte) error) (journalReport, error) {
	err := os.Mkdir(j.dir, journalDirMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return journalReport{}, err
	}
	// A run that was killed may have renamed a generation and not synced that. The
	// name of dir itself is Store's to sync.
	if err := syncDir(j.dir); err != nil {
		return journalReport{}, err
	}
	l, err := loadJournal(j.dir, replay)
	if err != nil {
		return l.report, err
	}
	j.highest = l.highest
	for _, name := range l.leftovers {
		if err := os.RemoveAll(filepath.Join(j.dir, name)); err != nil {
			l.note("a leftover of the journal cannot be removed: %v", err)
		}
	}
	j.findReserve()
	if l.live != 0 {
		if err := j.attach(l.live, l.found.entries, l.found.good, l.found.snapshot); err != nil {
			l.note("journal generation %d cannot be gone on with, so a new one was begun: %v", l.live, err)
		}
	}
	if j.log == nil {
		err := j.roll()
		if journalFull(err) {
			l.note("the disk is full: nothing can be recorded until there is space: %v", err)
			return l.report, nil
		}
		if err != nil {
			return l.report, err
		}
		l.report.Generation = j.number
	}
	for _, number := range l.generations {
		if number != j.number {
			j.retire(number, &l)
		}
	}
	if err := j.makeReserve(); err != nil {
		l.note("no space is reserved for a full disk: %v", err)
	}
	return l.report, nil
}

// retire clears away a generation that does not count: a sound one is removed,
// one that is damaged or of a newer release is set aside as it is.
func (j *journal) retire(number uint64, l *journalLoaded) {
	found, err := readJournalGeneration(j.dir, number, nil)
	if err == nil && found.newer == 0 && len(found.damage) == 0 {
		if err := removeJournalGeneration(j.dir, number); err != nil {
			j.old = append(j.old, number)
		}
		return
	}
	kind := "damaged-"
	if found.newer != 0 {
		kind = "newer-"
	}
	name, err := j.setAside(kind, number)
	if err != nil {
		l.note("journal generation %d cannot be set aside: %v", number, err)
		return
	}
	l.report.Kept = append(l.report.Kept, name)
}

const journalMaxKept = 8 // damaged generations kept for the operator

// setAside renames the folder of a generation to a name that is free, and keeps
// at most journalMaxKept damaged ones: flash that rots must not fill the disk.
func (j *journal) setAside(kind string, number uint64) (string, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	var damaged []string // in the order of their numbers
	for _, e := range entries {
		taken[e.Name()] = true
		if strings.HasPrefix(e.Name(), "damaged-") {
			damaged = append(damaged, e.Name())
		}
	}
	for len(damaged) >= journalMaxKept {
		if err := os.RemoveAll(filepath.Join(j.dir, damaged[0])); err != nil {
			return "", err
		}
		damaged = damaged[1:]
	}
	n := 1
	for taken[fmt.Sprintf("%s%s-%d", kind, journalFolderName(number), n)] {
		n++
	}
	to := filepath.Join(j.dir, fmt.Sprintf("%s%s-%d", kind, journalFolderName(number), n))
	if err := os.Rename(filepath.Join(j.dir, journalFolderName(number)), to); err != nil {
		return "", err
	}
	return to, syncDir(j.dir)
}
