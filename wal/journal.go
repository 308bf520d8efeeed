package wal

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"syscall"

	tidwall "github.com/tidwall/wal"
)

// The journal keeps the facts about objects and parts. It is a chain of
// generations of which one counts:
//
//	dir/00000007/snapshot                   the whole state, when the generation began
//	dir/00000007/log/00000000000000000001   the facts since: one segment of tidwall/wal
//	dir/00000008.new                        a generation being made
//	dir/00000006.old                        one being removed
//	dir/reserve                             space to go on with when the disk is full
//	dir/damaged-00000005-1                  set aside for the operator; never read again
//	dir/newer-00000009-1                    written by a newer release; left as it is
//
// What the disk is assumed to do:
//
//	A1  When a sync of a file has returned nil, its bytes and its length survive a power cut.
//	A2  When a sync of a folder has returned nil, so do the names in it.
//	A3  A rename within a folder is atomic: after a cut there is the old name or the new.
//	A4  A write that was cut leaves any mixture of old bytes, new bytes, zeros and
//	    garbage where it wrote, at any length in between, and nothing elsewhere.
//	A5  After a failed sync nothing is known of what it covered; a second sync proves nothing.
//	A6  Any byte may rot at any time. A CRC32C shows it.
//
// Each operation, its commit point, and what start-up does on either side:
//
//	append   The sync in tidwall's Write. Before it: a torn tail, behind which
//	         nothing is ever written: the whole records in front of the tear are
//	         replayed, for each prefix of a batch is a legal state, and a new
//	         generation is rolled. After it: replayed. Without a tear the log goes
//	         on. The sync of its last append may have failed, so it is read past the
//	         page cache (A8 in doc.go), or have never been: the first append, whose
//	         sync covers all, comes before anything is acted on (A1, A4, A5).
//	roll     The sync of dir after the rename from N.new to N. Before it: N-1 counts,
//	         or already N; both hold the same facts, for nothing was appended to
//	         either since. N.new is removed. After it: N counts, N-1 is removed. No
//	         record goes to N before the commit, none to N-1 from the rename on (A2, A3).
//	remove   None is needed: the folder no longer counts. It is renamed to N.old
//	         first, so that half a folder is never taken for a damaged one (A3).
//	failure  After an error of append the segment may hold anything (A5): its handle
//	         is given up, nothing more is written to it, and the next append begins
//	         with a roll from memory. The same after an error at or behind the
//	         rename of a roll. An error before the rename costs nothing.
//	damage   Whatever follows a bad byte and still proves itself is replayed, a new
//	         generation is rolled, and only then is the damaged folder renamed, whole.
//	         Cut before: found again. Cut after: N counts (A3, A6).
//	reserve  Holds no facts. It is made under another name, synced and renamed; one
//	         that is lost is made again.
//
// A batch may be torn so that its later blocks reached the disk and its earlier
// ones did not. What is behind the gap proves itself, but not that the gap was
// ever acknowledged, and facts without those before them mislead. So each record
// says whether its own append wrote the one before it as well: behind a gap only
// what a later append followed is replayed.
//
// One thing cannot be told. Rot in the very last batch is like a torn write: it
// is reported as torn bytes, and what it said has to be asked of the destination
// again.

const (
	journalRollBytes = 1 << 20 // default of journalOptions.RollBytes
	journalReserve   = 2 << 20 // default of journalOptions.Reserve
	journalMaxLog    = 4 << 20 // a log is never longer when a batch begins
	journalRetryRoll = 256 << 10
)

// journalOptions are the sizes of a journal, in bytes.
type journalOptions struct {
	RollBytes int64 // a log that is longer is rolled; default 1 MiB, at most 4 MiB; it is held in memory
	Reserve   int64 // size of the reserve file; default 2 MiB; negative: none
	wear      *wear // counts what is written; nil: nobody does
}

// journalReport says what was found on start-up.
type journalReport struct {
	Generation uint64   // the newest that was read; from openJournal: the one now in use; 0: none
	Records    int      // replayed
	TornBytes  int64    // of an append that a cut interrupted
	Damaged    bool     // facts are missing
	Notes      []string // sentences for the operator
	Kept       []string // folders of damaged or newer generations, set aside
}

// journal is durable memory for small records. It is not safe for concurrent
// use: whoever guards the state that the snapshot is taken from guards it too.
// One process at a time may have it open; the lock of the state folder sees to it.
type journal struct {
	dir      string
	options  journalOptions
	snapshot iter.Seq[[]byte]

	log     *tidwall.Log // nil: the next Append begins with a roll
	number  uint64       // of the generation that log belongs to, or of the one given up; 0: none yet
	highest uint64       // number ever used
	index   uint64       // of the last entry of log
	bytes   int64        // in log
	rollAt  int64        // bytes of log from which it is rolled
	old     []uint64     // generations that no longer count and are still there
	closed  bool

	reserved  bool // the reserve file is there, whole
	noReserve bool // it could not be made; tried again after the next roll
}

// openJournal opens the journal in dir, making it if there is none, and hands
// each record of the newest usable generation to replay: those of its snapshot,
// then those of its log, in order. A record is replay's to keep; an error of
// replay ends openJournal. Damage is no error: what is provable is replayed,
// the rest is reported, and a new generation is begun. What was replayed is
// durable once the first Append has returned nil; before, the caller may not act
// on it.
//
// snapshot must yield records, each of at most 64 KiB, that rebuild the state
// which the replayed and the appended records have led to. It is called within
// openJournal, after the last replay, and within Append. A yielded slice may be
// used again by it once yield returns.
//
// On a full disk the journal opens, and Append fails until there is space.
func openJournal(dir string, o journalOptions, replay func(rec []byte) error, snapshot iter.Seq[[]byte]) (*journal, journalReport, error) {
	if o.RollBytes == 0 {
		o.RollBytes = journalRollBytes
	}
	if o.Reserve == 0 {
		o.Reserve = journalReserve
	}
	if o.RollBytes < 0 || o.RollBytes > journalMaxLog {
		return nil, journalReport{}, fmt.Errorf("open journal: roll size of %d bytes; it must be 1 to %d", o.RollBytes, journalMaxLog)
	}
	j := &journal{dir: dir, options: o, snapshot: snapshot}
	report, err := j.start(replay)
	if err != nil {
		j.giveUp()
		return nil, report, fmt.Errorf("open journal %s: %w%s", dir, err, journalHint(err))
	}
	return j, report, nil
}

// Append makes recs durable, in order, before it returns nil. Each has at most
// 64 KiB, all of them at most 1 MiB. After an error any prefix of them may turn
// up again on start-up, or nothing; the generation is given up, and the next
// Append begins with a new one from snapshot. So the caller changes its state
// only when Append has returned nil; facts that it has applied before and
// appends late are then both in the snapshot and in the log, which replay must bear.
//
// On a full disk Append goes on in the reserve.
func (j *journal) Append(recs ...[]byte) error {
	if j.closed {
		return errors.New("append to journal: it is closed")
	}
	total := 0
	for _, rec := range recs {
		if len(rec) > journalMaxRecord {
			return fmt.Errorf("append to journal: a record has %d bytes; at most %d are allowed", len(rec), journalMaxRecord)
		}
		total += len(rec)
	}
	if total > journalMaxBatch {
		return fmt.Errorf("append to journal: a batch has %d bytes; at most %d are allowed", total, journalMaxBatch)
	}
	if j.log == nil || j.bytes >= min(j.rollAt, journalMaxLog) {
		// A log that is merely long goes on if it cannot be rolled now, up to
		// what memory allows.
		if err := j.roll(); err != nil && (j.log == nil || j.bytes >= journalMaxLog) {
			return fmt.Errorf("append to journal: %w", err)
		}
	}
	err := j.write(recs)
	if journalFull(err) && j.freeReserve() {
		if err = j.roll(); err == nil {
			err = j.write(recs)
		}
	}
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	// The reserve was used up: make it again as soon as there is room. Without
	// it the journal goes on as well. Costs one statfs, and only while it is missing.
	_ = j.makeReserve()
	return nil
}

// Close releases the journal. What Append has made durable stays so, whatever
// Close returns. Closing twice is safe.
func (j *journal) Close() error {
	if j.closed {
		return nil
	}
	j.closed = true
	if j.log == nil {
		return nil
	}
	j.giveUp()
	return nil
}

// write appends recs to the log and syncs it.
func (j *journal) write(recs [][]byte) error {
	if len(recs) == 0 {
		return nil
	}
	var batch tidwall.Batch
	var frame []byte
	size := int64(0)
	for i, rec := range recs {
		index, mark := j.index+uint64(i)+1, uint64(0)
		if i > 0 {
			mark = journalMore
		}
		frame = journalAppendFrame(frame[:0], journalRecordMagic, j.number, index|mark, rec)
		batch.Write(index, frame)
		size += journalEntrySize(len(frame))
	}
	j.options.wear.add(size, 1)
	if err := j.log.WriteBatch(&batch); err != nil {
		j.log = nil // not closed: tidwall would sync once more what has failed (A5)
		return err
	}
	j.index += uint64(len(recs))
	j.bytes += size
	return nil
}

// giveUp closes the log for good. Everything that it acknowledged is durable.
func (j *journal) giveUp() {
	if j.log == nil {
		return
	}
	// Nothing is expected of this file any more: an error tells nothing new.
	_ = j.log.Close()
	j.log = nil
}

// roll begins the next generation from snapshot. If it fails before its commit
// the present generation goes on; else there is none.
func (j *journal) roll() error {
	next := j.highest + 1
	size, err := buildJournalGeneration(j.dir, next, j.snapshot)
	if journalFull(err) && j.freeReserve() {
		size, err = buildJournalGeneration(j.dir, next, j.snapshot)
	}
	if err != nil {
		j.rollAt = j.bytes + journalRetryRoll
		return err
	}
	j.options.wear.add(size, 2) // the snapshot, and the empty log
	// From the rename on the new generation may be the one that start-up finds,
	// so nothing may go to the present one any more, come what may.
	j.giveUp()
	if j.number != 0 {
		j.old = append(j.old, j.number)
	}
	j.number, j.highest = next, next
	if err := commitJournalGeneration(j.dir, next); err != nil {
		return err
	}
	if err := j.attach(next, 0, 0, size); err != nil {
		return err
	}
	j.removeOld()
	j.noReserve = false
	return nil
}

// attach opens the log of a committed generation, which has entries in bytes.
func (j *journal) attach(number, entries uint64, bytes, snapshot int64) error {
	log, err := tidwall.Open(filepath.Join(j.dir, journalFolderName(number), journalLogName), &tidwall.Options{
		SegmentSize:      1 << 30, // never reached: the log stays one segment
		SegmentCacheSize: 1,
		AllowEmpty:       true,
		DirPerms:         journalDirMode,
		FilePerms:        journalFileMode,
	})
	if err != nil {
		return fmt.Errorf("open log of journal generation %d: %w", number, err)
	}
	if last, err := log.LastIndex(); err != nil || last != entries {
		return errors.Join(fmt.Errorf("open log of journal generation %d: it has %d entries, %d were read before", number, last, entries), err, log.Close())
	}
	j.log, j.number, j.index, j.bytes = log, number, entries, bytes
	j.rollAt = min(max(j.options.RollBytes, snapshot/2), journalMaxLog)
	return nil
}

// removeOld removes what no longer counts. What cannot be removed now is
// ignored by start-up and removed then, or by the next roll.
func (j *journal) removeOld() {
	left := j.old[:0]
	for _, number := range j.old {
		if removeJournalGeneration(j.dir, number) != nil {
			left = append(left, number)
		}
	}
	j.old = left
}

// journalFull says that err is for want of space.
func journalFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// journalEntrySize is what tidwall writes for a frame of n bytes.
func journalEntrySize(n int) int64 {
	size := int64(n) + 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// journalHint says what an operator can do about err.
func journalHint(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "; mount it writable"
	case journalFull(err):
		return "; free some space on its disk"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "; it must belong to the user that runs this program"
	}
	return ""
}
