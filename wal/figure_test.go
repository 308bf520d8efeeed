package wal

import (
	"path/filepath"
	"testing"
)

func TestTheLastFigureOfANameOutlivesRestartsAndSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open := func() *Store {
		s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 4 * goldenSlot})
		check(t, err)
		return s
	}
	figure := func(s *Store, name string) (f Fact) {
		s.View(func(state *State) { f = state.Figure(name) })
		return f
	}
	s := open()
	check(t, s.Commit(Fact{Kind: Figure, Name: "spent", Start: 20261, Size: 100}, Fact{Kind: Figure, Name: "pause", Time: 7}))
	check(t, s.Commit(Fact{Kind: Figure, Name: "spent", Start: 20261, End: 20290, Size: 250}))
	s.Note(Fact{Kind: Figure, Name: "pause"}) // with nothing in it: forgotten
	check(t, s.Close())

	want := Fact{Kind: Figure, Name: "spent", Start: 20261, End: 20290, Size: 250}
	s = open()
	if got := figure(s, "spent"); got != want {
		t.Errorf("after a restart: got %+v, want %+v", got, want)
	}
	if got := figure(s, "pause"); got != (Fact{}) {
		t.Errorf("a figure that was forgotten: got %+v", got)
	}
	var again State
	s.View(func(state *State) {
		for f := range state.Facts() {
			again.apply(f)
		}
	})
	if got := again.Figure("spent"); got != want {
		t.Errorf("from a snapshot: got %+v, want %+v", got, want)
	}
	check(t, s.Close())
}

func TestFiguresAreBounded(t *testing.T) {
	var s State
	for i := range maxFigures + 10 {
		s.apply(Fact{Kind: Figure, Name: EpochText(uint64(i)), Size: 1})
	}
	s.apply(Fact{Kind: Figure, Name: EpochText(0), Size: 2})
	if len(s.figures) != maxFigures || s.Figure(EpochText(0)).Size != 2 {
		t.Errorf("%d figures, the first one %+v", len(s.figures), s.Figure(EpochText(0)))
	}
}
