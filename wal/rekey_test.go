package wal

import "testing"

// keyedAs describes an object: the epoch of its key, and whether it follows another.
type keyedAs struct {
	epoch   uint64
	follows bool
}

func keysOf(s *State) (list []keyedAs) {
	st := s.Streams[0]
	for i := range st.Objects {
		o := &st.Objects[i]
		list = append(list, keyedAs{st.EpochOf(o), o.Follows})
	}
	return list
}

func TestObjectsThatGoOnUnderAnotherEpochSayWhereTheyFollowTheOneBefore(t *testing.T) {
	at := func(k Kind, start int64) Fact { return Fact{Kind: k, Stream: 1, Start: start, End: start + 10} }
	opened := func(start int64) Fact { return Fact{Kind: Opened, Stream: 1, Start: start, Run: 1} }
	intent := func(start int64, epoch uint64) Fact {
		return Fact{Kind: Intent, Stream: 1, Start: start, Op: OpPut, Key: "k", Epoch: epoch}
	}
	taken := func(start int64) Fact { return Fact{Kind: Reset, Stream: 1, Start: start, Flags: FlagTaken} }
	base := []Fact{{Kind: Made, Stream: 1, Name: "a", Epoch: 5}, {Kind: Shaped, Stream: 1, Size: 100},
		opened(0), at(Sealed, 0), opened(10), at(Sealed, 10), opened(20), at(Sealed, 20), opened(30), at(Sealed, 30)}
	rekeyed := Fact{Kind: Rekeyed, Stream: 1, Epoch: 6, Run: 1}
	for _, c := range []struct {
		name  string
		facts []Fact
		want  []keyedAs
	}{
		{"never", nil, []keyedAs{{5, false}, {5, false}, {5, false}, {5, false}}},
		{"with no key fixed", []Fact{rekeyed}, []keyedAs{{6, false}, {6, false}, {6, false}, {6, false}}},
		{"behind a key that is fixed", []Fact{intent(0, 0), intent(10, 5), rekeyed}, []keyedAs{{5, false}, {5, false}, {6, true}, {6, false}}},
		{"and that one is taken", []Fact{intent(0, 0), intent(10, 5), rekeyed, taken(10)}, []keyedAs{{5, false}, {6, true}, {6, true}, {6, false}}},
		{"between keys that are fixed", []Fact{intent(0, 0), intent(20, 0), rekeyed}, []keyedAs{{5, false}, {6, true}, {5, false}, {6, true}}},
		{"with a key fixed late", []Fact{intent(0, 0), rekeyed, intent(10, 5)}, []keyedAs{{5, false}, {5, false}, {6, true}, {6, false}}},
		{"behind what was let go", []Fact{at(Freed, 0), at(Freed, 10), rekeyed}, []keyedAs{{6, true}, {6, false}}},
		{"before any other", []Fact{intent(0, 0), intent(10, 0), intent(20, 0), intent(30, 0), rekeyed, opened(40), at(Sealed, 40), opened(50)},
			[]keyedAs{{5, false}, {5, false}, {5, false}, {5, false}, {6, true}, {6, false}}},
		{"and sliced", []Fact{at(Freed, 0), {Kind: Intent, Stream: 1, Start: 10, Op: OpCreate, Key: "k"}, {Kind: Reset, Stream: 1, Start: 10}, rekeyed, {Kind: Sliced, Stream: 1, Start: 10, Size: 4}},
			[]keyedAs{{6, true}, {6, false}, {6, true}, {6, false}}},
		{"twice", []Fact{intent(0, 0), rekeyed, intent(10, 6), {Kind: Rekeyed, Stream: 1, Epoch: 7, Run: 2}}, []keyedAs{{5, false}, {6, false}, {7, true}, {7, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fold(append(base[:len(base):len(base)], c.facts...))
			for _, s := range []*State{s, fold(snapshotOf(s))} {
				got := keysOf(s)
				if len(got) != len(c.want) {
					t.Fatalf("got %v, want %v", got, c.want)
				}
				for i := range got {
					if got[i] != c.want[i] {
						t.Errorf("got %v, want %v", got, c.want)
						break
					}
				}
			}
		})
	}
}

// twoStreams opens a store with two streams of one object each.
func twoStreams(t *testing.T, dir string) (*Store, *Stream, *Stream) {
	t.Helper()
	s, err := Open(Options{Dir: dir, SlotBytes: goldenSlot, MaxBytes: 8 * goldenSlot, Machine: "m"})
	check(t, err)
	a, b := openStream(t, s, "a", 1000), openStream(t, s, "b", 1000)
	return s, a, b
}

func TestATakenKeyGivesAllStreamsOneNewEpochAndOnlyOneInARun(t *testing.T) {
	dir := t.TempDir()
	s, a, b := twoStreams(t, dir)
	for _, st := range []*Stream{a, b} {
		check(t, st.Append([]byte("bytes\n"), Mark{}))
		st.Seal()
		check(t, st.Append([]byte("more\n"), Mark{}))
		st.Seal()
		check(t, st.Sync())
	}
	epochs := func() (id, ofA, ofB uint64) {
		s.View(func(state *State) {
			id, ofA, ofB = state.Epoch, state.Stream(a.ID()).KeyEpoch(), state.Stream(b.ID()).KeyEpoch()
		})
		return id, ofA, ofB
	}
	first, _, _ := epochs()
	intent := func(st *Stream, epoch uint64) {
		t.Helper()
		check(t, s.Commit(Fact{Kind: Intent, Stream: st.ID(), Op: OpPut, Key: "k", Epoch: epoch}))
	}
	rekey := func(st *Stream, want bool) {
		t.Helper()
		if done, err := s.Rekey(st.ID(), 0); done != want || err != nil {
			t.Fatalf("rekeyed: %v, %v", done, err)
		}
	}
	intent(a, first)
	intent(b, first)
	rekey(a, true)
	second, ofA, ofB := epochs()
	if second == first || ofA != second || ofB != second {
		t.Fatalf("epochs %x, %x and %x after %x", second, ofA, ofB, first)
	}
	rekey(b, true) // its key was fixed before: it needs no other epoch
	if id, _, _ := epochs(); id != second {
		t.Fatalf("a second object made the epoch %x after %x", id, second)
	}
	intent(a, second)
	rekey(a, false)
	if id, ofA, _ := epochs(); id != second || ofA != second {
		t.Fatalf("a run made two epochs")
	}
	check(t, s.Close())

	s, a, b = twoStreams(t, dir)
	if id, ofA, ofB := epochs(); id != second || ofA != second || ofB != second || a.ID() != 1 || b.ID() != 2 {
		t.Fatalf("after a restart: epochs %x, %x and %x, streams %d and %d", id, ofA, ofB, a.ID(), b.ID())
	}
	if p := a.Progress(); p.Kept != 11 {
		t.Errorf("the stream stands at %d after a restart", p.Kept)
	}
	rekey(a, true)
	if id, ofA, ofB := epochs(); id == second || ofA != id || ofB != id {
		t.Errorf("in the next run: epochs %x, %x and %x", id, ofA, ofB)
	}
	check(t, s.Close())
}

// What is cut off behind any fact of it leaves a state in which no stream begins
// anew under an epoch that has offsets already.
func TestEveryPrefixOfARekeyIsALegalState(t *testing.T) {
	made := []Fact{{Kind: Identity, Epoch: 5, Name: "m"}, {Kind: Made, Stream: 1, Name: "a", Epoch: 5}, {Kind: Made, Stream: 2, Name: "b", Epoch: 5}}
	batch := []Fact{{Kind: Identity, Epoch: 6, Name: "m"}, {Kind: Rekeyed, Stream: 1, Epoch: 6, Run: 1}, {Kind: Rekeyed, Stream: 2, Epoch: 6, Run: 1}}
	for n := range batch {
		s := fold(append(made[:3:3], batch[:n]...))
		for _, st := range s.Streams {
			anew := st.KeyEpoch() != s.Epoch // as Store.Stream decides
			for _, other := range s.Streams {
				if anew && other.Name == st.Name && other.KeyEpoch() == s.Epoch {
					t.Errorf("after %d facts stream %s begins anew under an epoch of its own past", n, st.Name)
				}
			}
			if anew && s.Epoch == 5 {
				t.Errorf("after %d facts stream %s begins anew under its first epoch", n, st.Name)
			}
		}
	}
}
