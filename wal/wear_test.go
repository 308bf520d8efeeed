package wal

import (
	"fmt"
	"testing"
)

func TestWhatFlashTookIsCountedOverRestarts(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	st := openStream(t, s, "a", 1<<20)
	record := make([]byte, 10<<10)
	before, _ := s.Wear()
	for range 12 {
		check(t, st.Append(record, Mark{Raw: true}))
		check(t, st.Sync())
	}
	after, all := s.Wear()
	// Two slots are made and filled with zeros, each is announced, and 12 syncs take three blocks.
	frames := int64(12 * 3 * blockSize)
	if w := after.Written - before.Written; w < frames+testSlot || w > frames+6*testSlot {
		t.Errorf("%d bytes were written for %d of frames", w, frames)
	}
	if n := after.Syncs - before.Syncs; n < 12 || n > 40 {
		t.Errorf("%d syncs", n)
	}
	check(t, s.Receipt([]byte(`{"a":1}`)))
	if w, _ := s.Wear(); w.Written != after.Written+blockSize || w.Syncs != after.Syncs+1 {
		t.Errorf("a receipt makes %+v of %+v", w, after)
	}
	check(t, s.Stop())
	check(t, s.Close())

	s = openStore(t, dir)
	since, total := s.Wear()
	if total.Written < all.Written+blockSize || total.Written-since.Written < all.Written || total.Syncs <= all.Syncs || total.Up < all.Up || since.Up > total.Up {
		t.Errorf("after a restart %+v of %+v, before %+v", since, total, all)
	}
	check(t, s.Close())
}

func TestTheCountOfWearCostsNoSync(t *testing.T) {
	s := openStore(t, t.TempDir())
	before, _ := s.Wear()
	for i := range 100 {
		check(t, s.Commit(Fact{Kind: Figure, Name: fmt.Sprint(i), Size: 1}))
	}
	after, _ := s.Wear()
	if n := after.Syncs - before.Syncs; n != 100 {
		t.Errorf("%d syncs for 100 commits", n)
	}
	check(t, s.Close())
}
