// Package wal is Dray's memory: everything that must survive a power cut. It
// keeps the payload of streams (the spool), the facts about objects and parts
// (the journal) and the proof of what is archived (the receipts) in one state
// folder, held by one process:
//
//	state/
//	  lock                     flock of the process, with its number
//	  spool/00000000.slot …    payload: fixed-size slots, written in full once, then reused
//	  journal/00000007/…       facts: a snapshot, and a log of tidwall/wal since
//	  receipts.jsonl …         one line for each finished object
//
// It must never hold payload in memory that is already kept, never free bytes
// without the word of its caller, and never take damaged bytes for good ones.
// It decides nothing about uploads: it folds facts (State), and package engine
// derives from them what to do.
//
// # The spool
//
// A slot begins with a header block; frames follow, each on a block of its own:
//
//	0        4 KiB                8 KiB                    12 KiB            8 MiB
//	+--------+--------+-----------+--------+---------------+-----------------+
//	| slot   | frame  | payload   | frame  | payload       | stale, or zeros |
//	| header | header | and zeros | header | and zeros     |                 |
//	+--------+--------+-----------+--------+---------------+-----------------+
//
// The bytes of both headers are drawn above the types header and slotHeader. A
// frame says where in its stream it belongs, in which run it was written, what
// had been kept before it, and carries a CRC32C of itself and of its payload.
//
// Which slots hold which bytes of a stream is said by the Roll facts. A slot
// whose bytes belong to no live object is free and will be written over; since
// its blocks exist, a sync is one fdatasync that writes no metadata.
//
// # Assumptions about the disk
//
// A1 to A6 stand in journal.go, with the commit points of the journal and the
// receipts. The spool adds these:
//
//	A7  A write within a file's existing, once written blocks changes nothing
//	    else; fdatasync makes it durable. (Overwriting flash pages in place is
//	    the translation layer's business.)
//	A8  A read with O_DIRECT tells what flash holds, whatever the page cache does;
//	    where a file system has no such reads, so does one behind
//	    POSIX_FADV_DONTNEED, which drops the clean pages that a failed sync left.
//
// # Commit points of the spool, and what start-up does on either side
//
//	sync    fdatasync of the slot. Before: the frames may be there, torn, partly
//	        there, or not. Start-up takes each that follows its predecessor and
//	        stops at the first that does not; it syncs the slot before it calls
//	        any of them kept, since they may have come from the page cache of a
//	        killed process. It reads them past that cache, since the last sync may
//	        have failed and left there what flash does not have (A5, A8). Frames
//	        of a record whose last frame is missing are wiped before that, so that
//	        no later frame is taken for their rest.
//	        After: kept.
//	roll    The journal's sync of Roll. Before: the slot belongs to nobody. After:
//	        the stream's bytes from Roll's base on are looked for there only. All
//	        below base was synced before, in the slots before it. The slot's
//	        header is written behind Roll; without it the slot is empty, and the
//	        next sync takes another for the same base.
//	fail    A write or fdatasync that failed is not repeated on the same blocks
//	        (A5). Its frames are still in memory and go to another slot, with a
//	        base at what is kept. What the failed slot holds beyond that base is
//	        never looked at.
//	free    The journal's sync of Freed, at the latest together with the Roll that
//	        reuses the slot: in one batch, in that order. Before: the object's
//	        bytes are still there. After: they may be written over.
//	make    The folder's sync behind the rename of a slot file written in full
//	        under another name. Before: a leftover, removed at start-up.
//
// Why stale bytes can never be taken for good ones: a frame counts only if its
// checksums hold, its stream and epoch are right, it begins exactly where its
// predecessor ended (or says that the offsets between hold nothing), and its
// run is not below its predecessor's. Offsets that were kept are never used
// again, so a former life of the slot has lower ones; offsets that were torn are
// used again, but by a later run, which outranks the survivors.
//
// Why a torn tail and rot are told apart: every frame says what was kept when it
// was written. A bad frame below what a later good one, or the journal, calls
// kept is rot: the bytes are a gap, counted. Above that it was never kept.
//
// Rot in an object that waits shows when it is read to be sent. Section says from
// where to where, and the next read asks the flash again; whoever reads decides
// when that is proof, and drops what is lost (Sliced, Dropped).
//
// # Digests
//
// Each frame's CRC32C is put together into its part's, so a part is not read
// again to be checksummed. What a destination needs beside it runs along with
// the frames. The header of each slot holds both as they stood at its base;
// start-up reads the newest slot alone and has them again.
//
// An object that was sliced (slice.go) has parts whose digests nobody knows; they
// are read once more to be sent.
//
// # Clocks
//
// Nothing here goes by the wall clock: order, identity and ages do not depend on
// it. A frame carries the boot clock, which is never stepped, and the run in
// which it was written. Clock facts say what the boot clock of a run is worth
// (clock.go), so that an object which was captured before the time was known
// gets its time once it is, as long as its key is not fixed. The first Intent
// fixes both.
//
// What is believed: the kernel's word that the clock is synchronised, before a
// server's, before a wall clock that nobody vouches for but that could be right.
// So a battery-backed clock that is a year wrong is believed until something
// better is heard in that boot; what had its key by then keeps it. A boot that
// learned nothing begins where the boot before it was last seen.
//
// # Locks
//
// Stream.Append and Seal take only the stream's mutex and never wait for flash.
// Sync holds the stream's syncing lock over its I/O. The journal is written
// under Store.writing; Store.mu guards the folded state, is never held over
// I/O, and is taken last.
package wal
