package wal

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A journal that can take nothing for a long time must neither fill memory with
// what it could not take nor choke on it when it can again.
func TestFactsThatAJournalCouldNotTakeForLongAreTakenWhenItCan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot})
	check(t, err)
	home, bytes := s.journal.dir, s.journal.bytes
	s.journal.dir, s.journal.bytes = filepath.Join(dir, "lock", "none"), journalMaxLog // no generation can be made, and this log is full
	long := strings.Repeat("n", 1000)
	for i := range 3000 {
		s.Note(Fact{Kind: Figure, Name: fmt.Sprint(i%100, long), Size: int64(i)})
	}
	if s.size > journalMaxBatch {
		t.Errorf("%d bytes of facts wait in memory", s.size)
	}
	if err := s.Commit(Fact{Kind: Figure, Name: "last", Size: 1}); err == nil {
		t.Fatal("a journal that cannot be written took a fact")
	}
	s.journal.dir, s.journal.bytes = home, bytes
	check(t, s.Commit(Fact{Kind: Figure, Name: "last", Size: 2}))
	check(t, s.Close())
	s, err = Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot})
	check(t, err)
	defer s.Close()
	s.View(func(state *State) {
		for i := 2900; i < 3000; i++ {
			if got := state.Figure(fmt.Sprint(i%100, long)).Size; got != int64(i) {
				t.Fatalf("figure %d: got %d", i%100, got)
			}
		}
		if got := state.Figure("last").Size; got != 2 {
			t.Errorf("the last figure: got %d, want 2", got)
		}
	})
}
