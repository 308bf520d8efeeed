package wal

import (
	"path/filepath"
	"testing"
)

// The end of an object is durable with the next fact that has to be, and not
// while the journal takes none; then a new generation has it, also if no fact
// comes with it.
func TestAnEndIsWrittenOnceTheJournalHasIt(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 64<<10)
	written := func() (yes bool) {
		s.View(func(state *State) {
			ss := state.Stream(st.ID())
			yes = ss.Written(ss.last())
		})
		return yes
	}
	seal := func() {
		t.Helper()
		check(t, st.Append([]byte("some words\n"), Mark{}))
		st.Seal()
		check(t, st.Sync())
	}
	seal()
	check(t, s.Commit())
	if !written() {
		t.Error("an end that was committed is not written")
	}
	seal()
	if written() {
		t.Error("an end that was only noted is written")
	}
	home := s.journal.dir
	s.journal.dir = filepath.Join(dir, "lock", "none") // no generation can be made
	s.journal.log = nil
	if s.Commit() == nil || written() {
		t.Error("a journal that takes nothing has an end")
	}
	s.journal.dir = home
	check(t, s.Commit())
	if !written() {
		t.Error("an end is not written with the next generation")
	}
	crash(s)
	s = openStore(t, dir)
	st = openStream(t, s, "a", 64<<10)
	if !written() {
		t.Error("what start-up has read from the journal is not written")
	}
	check(t, s.Close())
}
