package wal

import (
	"path/filepath"
	"testing"
)

// A Completed that the journal could not take is owed until it is written, also
// if other facts were written between its two tries.
func TestWhatAReceiptRestsOnIsDurableFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot})
	check(t, err)
	defer s.Close()
	check(t, s.Settle())
	home := s.journal.dir
	s.journal.giveUp()
	s.journal.dir = filepath.Join(dir, "lock", "none")
	done := Fact{Kind: Completed, Stream: 1, ID: "etag"}
	if s.Commit(done) == nil {
		t.Fatal("a journal that cannot be written took a fact")
	}
	s.journal.dir = home
	check(t, s.Commit(Fact{Kind: Figure, Name: "other", Size: 1}))
	s.Note(done)
	if before := s.journal.bytes; s.Settle() != nil || s.journal.bytes == before {
		t.Error("what was noted is not written")
	}
	if before := s.journal.bytes; s.Settle() != nil || s.journal.bytes != before {
		t.Error("with nothing owed something was written")
	}
	s.Note(Fact{Kind: Figure, Name: "other", Size: 2}) // can wait
	if before := s.journal.bytes; s.Settle() != nil || s.journal.bytes != before {
		t.Error("what can wait was written")
	}
}
