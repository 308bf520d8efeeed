package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// fold applies facts to a new state.
func fold(facts []Fact) *State {
	s := new(State)
	for _, f := range facts {
		s.apply(f)
	}
	s.idle = nil
	return s
}

// life draws a legal life of a device, as facts.
func life(t *rapid.T) []Fact {
	facts := []Fact{{Kind: Identity, Epoch: 9, Name: "m"}, {Kind: Started, Run: 1, ID: "boot", Time: 5},
		{Kind: Made, Stream: 1, Name: "a", Epoch: 9}, {Kind: Shaped, Stream: 1, Size: 100, Name: "d"},
		{Kind: Made, Stream: 2, Name: "b", Epoch: 9}, {Kind: Shaped, Stream: 2, Size: 70, Name: "e", Hash: "h"}}
	at, slot := map[uint32]int64{}, uint32(0)
	for range rapid.IntRange(0, 60).Draw(t, "steps") {
		s := fold(facts)
		st := s.Stream(rapid.Uint32Range(1, 2).Draw(t, "stream"))
		id := st.ID
		add := func(f Fact) { f.Stream = id; facts = append(facts, f) }
		o := st.last()
		var pick *Object
		if n := len(st.Objects); n > 0 {
			pick = &st.Objects[rapid.IntRange(0, n-1).Draw(t, "object")]
		}
		switch rapid.IntRange(0, 16).Draw(t, "what") {
		case 0:
			if o == nil || o.Sealed() {
				lost := rapid.Int64Range(0, 3).Draw(t, "lost")
				add(Fact{Kind: Opened, Start: at[id], Mono: at[id] + 1, Run: s.Run, Lost: lost, Flags: rapid.Uint8Range(0, 3).Draw(t, "flags")})
			}
		case 1:
			if o != nil && !o.Sealed() {
				add(Fact{Kind: Cut, Start: o.Start, N: o.NumParts() + 1, CRC: 7, Sum: "s"})
				at[id] = max(at[id], o.Start+int64(o.NumParts()+1)*s.Layout(o).PartSize)
			}
		case 2:
			if o != nil && !o.Sealed() {
				end := o.Start + int64(o.NumParts())*s.Layout(o).PartSize + rapid.Int64Range(1, 60).Draw(t, "tail")
				add(Fact{Kind: Sealed, Start: o.Start, End: end, CRC: 8, Sum: "t"})
				at[id] = end
			}
		case 3:
			slot++
			add(Fact{Kind: Roll, Slot: slot, Start: at[id]})
		case 4:
			if o == nil || o.Sealed() {
				n := rapid.Int64Range(1, 50).Draw(t, "hole")
				add(Fact{Kind: Gap, Start: at[id], End: at[id] + n, Lost: n})
				at[id] += n
			}
		case 5:
			if pick != nil {
				at, estimated := s.Captured(pick)
				add(Fact{Kind: Intent, Start: pick.Start, Op: OpCreate, Key: fmt.Sprint("k", pick.Start), Device: "gw", Lost: pick.Gap - rapid.Int64Range(0, pick.Gap).Draw(t, "late"), Time: max(at.UnixNano(), 1), // 0 is no time
					Epoch: rapid.SampledFrom([]uint64{0, st.KeyEpoch()}).Draw(t, "of"), Flags: bit(estimated, FlagEstimated) | bit(pick.Follows, FlagFollows)})
				add(Fact{Kind: Begun, Start: pick.Start, ID: "u"})
			}
		case 6, 7:
			if begun(pick) && pick.NumParts() > 0 {
				add(Fact{Kind: Stored, Start: pick.Start, N: rapid.IntRange(1, pick.NumParts()).Draw(t, "part"), ID: "etag"})
			}
		case 8:
			if begun(pick) && pick.NumParts() > 0 {
				add(Fact{Kind: Missing, Start: pick.Start, N: 1})
			}
		case 9:
			if pick != nil {
				add(Fact{Kind: Reset, Start: pick.Start, N: rapid.IntRange(0, 2).Draw(t, "resets")})
			}
		case 10:
			if pick != nil && pick.Sealed() {
				add(Fact{Kind: Completed, Start: pick.Start, ID: "e", Sum: "c", Archive: "a", Location: "l", Doubt: "?", Time: 5})
			}
		case 11:
			if pick != nil && pick.Sealed() {
				add(Fact{Kind: Dropped, Start: pick.Start, Doubt: "full"})
			}
		case 12:
			if pick != nil && pick.Sealed() {
				add(Fact{Kind: Freed, Start: pick.Start})
			}
		case 13:
			if pick != nil && pick.Sealed() {
				add(Fact{Kind: Reset, Start: pick.Start})
				add(Fact{Kind: Sliced, Start: pick.Start, Size: rapid.Int64Range(0, pick.Size()).Draw(t, "at"), Run: s.Run, Mono: rapid.Int64Range(0, 9).Draw(t, "mono")})
			}
		case 16:
			if pick != nil {
				add(Fact{Kind: Rekeyed, Epoch: rapid.Uint64Range(1, 3).Draw(t, "epoch"), Run: s.Run})
				add(Fact{Kind: Reset, Start: pick.Start, Flags: FlagTaken})
			}
		case 14:
			facts = append(facts, Fact{Kind: Started, Run: s.Run + 1, ID: rapid.SampledFrom([]string{"boot", "other", ""}).Draw(t, "boot"), Time: 5})
		case 15:
			facts = append(facts, Fact{Kind: Clock, Run: rapid.Uint32Range(0, s.Run).Draw(t, "run"), Mono: rapid.Int64Range(0, 9).Draw(t, "mono"),
				Time: rapid.Int64Range(0, 99).Draw(t, "wall"), N: rapid.IntRange(0, 3).Draw(t, "trust")})
		}
	}
	return facts
}

func begun(o *Object) bool { return o != nil && o.Up != nil && o.Up.ID != "" }

func snapshotOf(s *State) (facts []Fact) {
	for f := range s.Facts() {
		facts = append(facts, f)
	}
	return facts
}

// same compares two states by what they hold, not by how their slices grew.
func same(a, b *State) error {
	if x, y := fmt.Sprintf("%+v", snapshotOf(a)), fmt.Sprintf("%+v", snapshotOf(b)); x != y {
		return fmt.Errorf("states differ:\n%s\n%s", x, y)
	}
	for i := range a.Streams {
		x, y := a.Streams[i], b.Streams[i]
		for j := range x.Objects {
			// Upload is behind a pointer, so it is compared by what it points to.
			o, p := x.Objects[j], y.Objects[j]
			if !reflect.DeepEqual(uploadOf(o), uploadOf(p)) || a.Layout(&o) != b.Layout(&p) {
				return fmt.Errorf("object %d: %+v %+v differ", j, o, p)
			}
			o.Up, p.Up, o.layout, p.layout = nil, nil, 0, 0
			if o != p {
				return fmt.Errorf("object %d: %+v %+v differ", j, o, p)
			}
		}
		if a.known(x) != b.known(y) || x.Archived() != y.Archived() || fmt.Sprint(x.slots) != fmt.Sprint(y.slots) {
			return fmt.Errorf("stream %d: known %d, %d; archived %d, %d; slots %v, %v", i, a.known(x), b.known(y), x.Archived(), y.Archived(), x.slots, y.slots)
		}
	}
	return nil
}

// uploadOf returns what is known of o's upload: none is as good as an empty one.
func uploadOf(o Object) Upload {
	if o.Up == nil {
		return Upload{}
	}
	return *o.Up
}

func TestASnapshotRebuildsTheStateItWasTakenFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := fold(life(t))
		if err := same(fold(snapshotOf(want)), want); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEveryPrefixOfTheJournalIsALegalState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := life(t)
		n := rapid.IntRange(0, len(facts)).Draw(t, "prefix")
		s := fold(facts[:n])
		for _, st := range s.Streams {
			for i := range st.Objects {
				o := &st.Objects[i]
				if i < len(st.Objects)-1 && !o.Sealed() {
					t.Fatalf("object %d is open and not the last", i)
				}
				if o.Sealed() && o.NumParts() != int((o.Size()+s.Layout(o).PartSize-1)/s.Layout(o).PartSize) {
					t.Fatalf("object %d of %d bytes has %d parts", i, o.Size(), o.NumParts())
				}
				if i > 0 && o.Start < st.Objects[i-1].End {
					t.Fatalf("object %d begins at %d, before the end of its predecessor at %d", i, o.Start, st.Objects[i-1].End)
				}
			}
		}
	})
}

// A batch that a failed append may or may not have written is replayed behind a
// snapshot that has it already.
func TestSeeingFactsTwiceChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := life(t)
		want := fold(facts)
		// These are committed, never noted, so no batch reaches from before them to behind them.
		committed := 0
		for i, f := range facts {
			if f.Kind == Sliced || f.Kind == Rekeyed {
				committed = i
			} else if f.Kind == Reset {
				committed = i + 1
			}
		}
		again := facts[rapid.IntRange(committed, len(facts)).Draw(t, "from"):]
		got := fold(append(snapshotOf(want), again...))
		if err := same(got, want); err != nil {
			t.Fatal(err)
		}
	})
}

func TestADroppedObjectIsInTheGapOfTheNextAlsoBeyondAHole(t *testing.T) {
	s := fold([]Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Opened, Stream: 1}, {Kind: Sealed, Stream: 1, End: 100},
		{Kind: Gap, Stream: 1, Start: 100, End: 110, Lost: 10}, {Kind: Opened, Stream: 1, Start: 110}, {Kind: Sealed, Stream: 1, Start: 110, End: 120},
		{Kind: Dropped, Stream: 1}})
	if got := s.Streams[0].Objects[1].Gap; got != 110 {
		t.Errorf("a gap of %d bytes before the next object, want 110", got)
	}
}

// Metadata that is on its way tells what was known when the call was announced;
// the first object behind it that can still tell the rest does.
func TestALossIsToldByTheFirstObjectThatStillCan(t *testing.T) {
	facts := []Fact{{Kind: Made, Stream: 1, Name: "a"}}
	for i := range int64(4) {
		facts = append(facts, Fact{Kind: Opened, Stream: 1, Start: i * 10}, Fact{Kind: Sealed, Stream: 1, Start: i * 10, End: i*10 + 10})
	}
	s := fold(append(facts, Fact{Kind: Intent, Stream: 1, Start: 10, Op: OpCreate, Key: "k1"}, Fact{Kind: Dropped, Stream: 1},
		Fact{Kind: Intent, Stream: 1, Start: 20, Op: OpCreate, Key: "k2", Lost: 4}, Fact{Kind: Dropped, Stream: 1, Start: 30}))
	var got []int64
	for _, o := range s.Streams[0].Objects {
		got = append(got, o.Gap)
	}
	// Of the ten bytes of the first, the third told four; the other six are the fourth's, which takes them along.
	if want := fmt.Sprint([]int64{0, 0, 4, 6}); fmt.Sprint(got) != want || s.Streams[0].carry != 16 || s.Streams[0].GapBytes != 20 {
		t.Errorf("gaps %v and %d to come of %d, want %s and 16 of 20", got, s.Streams[0].carry, s.Streams[0].GapBytes, want)
	}
}

func TestAGapAtTheEndIsAsGoodAsArchived(t *testing.T) {
	s := fold([]Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Opened, Stream: 1}, {Kind: Sealed, Stream: 1, End: 100},
		{Kind: Gap, Stream: 1, Start: 100, End: 110, Lost: 10}, {Kind: Freed, Stream: 1}})
	if got := s.Streams[0].Archived(); got != 110 {
		t.Errorf("archived up to %d, want 110", got)
	}
}

func TestAnyFactsInAnyOrderFoldWithoutPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		facts := life(t)
		for i := len(facts) - 1; i > 0; i-- {
			if rapid.Bool().Draw(t, "drop") {
				facts = append(facts[:i], facts[i+1:]...)
			}
		}
		s := fold(facts)
		if err := same(fold(snapshotOf(s)), s); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFactReadsBackAsItWasWritten(t *testing.T) {
	for _, want := range new(State).sample() {
		got, err := decodeFact(want.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

// A text from outside may be of any length. It must not get where start-up would
// not read it again, nor keep other facts from being written.
func TestAFactThatCouldNotBeReadAgainIsNotWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := openStore(t, dir)
	long := strings.Repeat("x", maxText+1)
	half := long[:maxText/2+1]
	for _, f := range []Fact{
		{Kind: Figure, Name: long, Size: 1},
		{Kind: Figure, Name: half, Key: half, Size: 1},
		{Kind: Figure, Name: "n", Size: 1, N: 1<<20 + 1},
		{Kind: Figure, Name: "n", Size: 1, N: -1},
		{Kind: kindEnd, Name: "n"},
	} {
		if err := s.Commit(Fact{Kind: Figure, Name: "along", Size: 1}, f); !errors.Is(err, ErrFact) {
			t.Errorf("%s with N %d and texts of %d and %d bytes: got %v, want ErrFact", f.Kind, f.N, len(f.Name), len(f.Key), err)
		}
		s.Note(f)
	}
	check(t, s.Commit(Fact{Kind: Figure, Name: long[:maxText], Size: 2}))
	check(t, s.Close())
	s = openStore(t, dir)
	defer s.Close()
	if notes := s.Notes(); len(notes) > 0 {
		t.Errorf("start-up says %q", notes)
	}
	s.View(func(state *State) {
		for name, want := range map[string]int64{long[:maxText]: 2, long: 0, half: 0, "n": 0, "along": 0} {
			if got := state.Figure(name).Size; got != want {
				t.Errorf("the figure with a name of %d bytes: got %d, want %d", len(name), got, want)
			}
		}
	})
}

// sample has every field of Fact set once.
func (*State) sample() []Fact {
	return []Fact{
		{Kind: Opened, Flags: 3, Stream: 1 << 31, Run: 7, Start: 1 << 62, Time: -5, Lost: 9},
		{Kind: Cut, N: 10_000, CRC: 1<<32 - 1, Sum: string([]byte{0, 255})},
		{Kind: Intent, Op: OpComplete, Key: "k", Device: "d"},
		{Kind: Totals, End: 1, Gaps: 2, GapBytes: 3, Size: 4, Mono: 6},
		{Kind: Completed, ID: "e", Archive: "a", Location: "l", Doubt: "?", Name: "n", Hash: "h", Slot: 3, Epoch: 1<<64 - 1},
	}
}

func FuzzDecodeFact(f *testing.F) {
	for _, fact := range new(State).sample() {
		f.Add(fact.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fact, err := decodeFact(b)
		if err != nil {
			return
		}
		again, err := decodeFact(fact.AppendTo(nil))
		if err != nil || again != fact {
			t.Errorf("%x: %+v does not read back: %+v, %v", b, fact, again, err)
		}
		s := fold([]Fact{{Kind: Made, Stream: 1, Name: "a"}, {Kind: Opened, Stream: 1}})
		s.apply(fact)
	})
}
