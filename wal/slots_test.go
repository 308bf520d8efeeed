package wal

import (
	"bytes"
	"os"
	"testing"
)

// The number of a slot file that is gone must not be given to another stream
// while the facts still name it: freeing the one would free the other's bytes.
func TestASlotFileThatIsGoneIsNotGivenToTwoStreams(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	a := openStream(t, s, "a", 1<<20)
	for range 12 {
		check(t, a.Append(bytes.Repeat([]byte("a"), 40_000), Mark{}))
		check(t, a.Sync())
	}
	a.Seal()
	check(t, a.Sync())
	check(t, s.Close())
	check(t, os.Remove(s.slots.path(0)))

	s = openStore(t, dir)
	b := openStream(t, s, "b", 1<<20)
	var want []byte
	write := func() {
		rec := bytes.Repeat([]byte{byte(len(want))}, 40_000)
		check(t, b.Append(rec, Mark{}))
		check(t, b.Sync())
		want = append(want, rec...)
	}
	for range 12 {
		write()
	}
	check(t, s.Commit(Fact{Kind: Freed, Stream: 1}))
	a = openStream(t, s, "a", 1<<20)
	for range 30 {
		check(t, a.Append(bytes.Repeat([]byte("A"), 40_000), Mark{}))
		check(t, a.Sync())
	}
	if got := read(t, s, b, 0, int64(len(want))); !bytes.Equal(got, want) {
		t.Errorf("kept bytes of b differ")
	}
	check(t, s.Close())
}

// What is captured for a new destination must not go to the old one, let alone
// wait for one that is not there any more.
func TestANewDestinationBeginsANewObject(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	a := openStream(t, s, "a", 1<<20)
	check(t, a.Append([]byte("for d\n"), Mark{}))
	check(t, a.Sync())
	check(t, s.Close())
	s = openStore(t, dir)
	a = openStream(t, s, "a", 2<<20) // other parts are for the next object
	check(t, a.Append([]byte("for d\n"), Mark{}))
	a.SetLayout(Layout{PartSize: 1 << 20, Destination: "e"})
	check(t, a.Append([]byte("for e\n"), Mark{}))
	check(t, a.Sync())
	s.View(func(state *State) {
		var got []string
		for i := range state.Stream(a.ID()).Objects {
			got = append(got, state.Layout(&state.Stream(a.ID()).Objects[i]).Destination)
		}
		if len(got) != 2 || got[0] != "d" || got[1] != "e" {
			t.Errorf("objects go to %q, want one to d and one to e", got)
		}
	})
	check(t, s.Close())
}
