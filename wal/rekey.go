package wal

import (
	"cmp"
	"sort"
)

// A stream whose keys others take goes on under another epoch. That happens where
// a state folder was copied: the two devices have one epoch and the same offsets,
// and after the copy other bytes. The stream stays the same, with its offsets,
// slots and frames; what changes is the epoch in the keys of objects, from those
// on whose key was not fixed. So the objects of a stream can have several epochs,
// and one that Follows begins where those of an epoch before end.

// KeyEpoch is the epoch of keys that the stream's objects get from now on.
func (st *StreamState) KeyEpoch() uint64 { return cmp.Or(st.keys, st.Epoch) }

// EpochOf is the epoch of the object's key: as it was fixed, or as it would be now.
func (st *StreamState) EpochOf(o *Object) uint64 {
	if o.keyed() {
		return cmp.Or(o.Up.Epoch, st.Epoch)
	}
	return st.KeyEpoch()
}

// keyed says whether the object's key is fixed.
func (o *Object) keyed() bool { return o.Up != nil && o.Up.Key != "" }

// rekey folds in Rekeyed.
func (st *StreamState) rekey(f Fact) {
	if f.Epoch == 0 || f.Epoch == st.keys {
		return
	}
	st.keys, st.rekeyed = f.Epoch, f.Run
	if f.N == 1 { // in a snapshot the objects say so themselves
		st.follows = f.Flags&FlagFollows != 0
		return
	}
	old := true // what was let go had keys of an epoch before
	for i := range st.Objects {
		o := &st.Objects[i]
		was := old
		if old = o.keyed(); was && !old {
			o.Follows = o.Start > 0
		}
	}
	st.follows = old && (len(st.Objects) > 0 || st.freed > 0)
}

// late sees to it that what is behind an object follows it, whose key was fixed
// only after a Rekeyed, but made before.
func (st *StreamState) late(o *Object) {
	if st.keys == 0 || st.EpochOf(o) == st.keys {
		return
	}
	switch next := st.behind(o); {
	case next == nil:
		st.follows = true
	case !next.keyed():
		next.Follows = true
	}
}

// behind returns the next object behind o, nil if there is none.
func (st *StreamState) behind(o *Object) *Object {
	i := sort.Search(len(st.Objects), func(i int) bool { return st.Objects[i].Start > o.Start })
	if i == len(st.Objects) {
		return nil
	}
	return &st.Objects[i]
}

// rekeyFact puts the fact of a snapshot that says so, if the stream was rekeyed.
func (st *StreamState) rekeyFact(put func(Fact)) {
	if st.keys != 0 {
		put(Fact{Kind: Rekeyed, Stream: st.ID, Epoch: st.keys, Run: st.rekeyed, N: 1, Flags: bit(st.follows, FlagFollows)})
	}
}

// Rekey gives an object another key, since others hold the one that it has:
// nothing may be left of it at the destination, nor come to be there, under that
// one. Is its epoch the one that new keys get, they get a new one from now on:
// those of every stream that has the state folder's, which is made anew too, or
// else of this stream alone. That is done once in a run, so that a destination
// which calls every key taken gets no more than one epoch each time that it is
// asked from the beginning; after that Rekey returns false, and nothing changes.
//
// Durable when it returns nil. Safe for concurrent use.
func (s *Store) Rekey(stream uint32, start int64) (done bool, err error) {
	s.rekeying.Lock()
	defer s.rekeying.Unlock()
	var facts []Fact
	s.View(func(state *State) {
		st := state.Stream(stream)
		if st == nil || st.Object(start) == nil {
			return
		}
		if now := st.KeyEpoch(); st.EpochOf(st.Object(start)) == now {
			if st.rekeyed == state.Run {
				return
			}
			epoch := newEpoch()
			if now == state.Epoch { // first, or a stream would be made anew that has none of it
				facts = append(facts, Fact{Kind: Identity, Epoch: epoch, Name: state.Machine})
			}
			for _, other := range state.Streams {
				if other == st || other.KeyEpoch() == now && now == state.Epoch {
					facts = append(facts, Fact{Kind: Rekeyed, Stream: other.ID, Epoch: epoch, Run: state.Run})
				}
			}
		}
		facts = append(facts, Fact{Kind: Reset, Stream: stream, Start: start, Flags: FlagTaken})
	})
	if facts == nil {
		return false, nil
	}
	return true, s.Commit(facts...)
}
