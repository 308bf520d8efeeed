package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// adopt takes up slots that the journal does not speak of any more, since the
// fact that gave them to a stream has rotted: what is in the header of a slot was
// true when it was written, and behind a Roll that was durable. It also asks the
// slots for the names of streams whose Made is lost. In a sound state folder it
// changes nothing; it reads a block of each slot that is not in use.
func (s *Store) adopt(spool string) error {
	entries, err := os.ReadDir(spool)
	if errors.Is(err, os.ErrNotExist) || len(s.state.Streams) == 0 {
		return nil // setAside deals with a spool that nothing speaks of
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	used := s.usedSlots()
	var heads []adoptable
	for _, e := range entries {
		n, ok := slotNumber(e.Name())
		if st := s.state.Stream(used[n]); !ok || st != nil && st.Epoch != 0 {
			continue
		}
		r, err := openSlotReader(filepath.Join(spool, e.Name()))
		if err != nil {
			continue // whoever needs it will say so
		}
		if h, ok, err := r.slotHeader(); err == nil && ok {
			heads = append(heads, adoptable{n, h})
		}
		_ = r.f.Close() // it was only read
	}
	sort.Slice(heads, func(i, j int) bool { return heads[i].base < heads[j].base })
	for _, h := range heads {
		st := s.state.Stream(h.id.stream)
		if st != nil && st.Epoch == 0 {
			s.derive(Fact{Kind: Made, Stream: st.ID, Name: h.name, Epoch: h.id.epoch})
			s.note("journal: the name of stream %s is lost; a slot tells it", h.name)
		}
		if _, known := used[h.slot]; known || st == nil || st.Epoch != h.id.epoch || !s.state.wants(st, h.base) {
			continue
		}
		// The fact comes behind those of the objects in the slot, which are to be
		// derived from it: without them it would let go of the slot before it.
		st.insert(extent{h.slot, h.base, h.posID, h.posOff})
		s.adopted = append(s.adopted, Fact{Kind: Roll, Stream: st.ID, Slot: h.slot, Start: h.base, Epoch: h.posID, Size: h.posOff})
		s.note("journal: that slot %d holds bytes of stream %s from %d on is lost; the slot tells it", h.slot, st.Name, h.base)
	}
	return nil
}

// adoptable is a slot that tells whose it was.
type adoptable struct {
	slot uint32
	slotHeader
}

// wants says whether a slot with that base is missing among the stream's: the
// newest is never let go, and of the others those that objects need, or of whose
// bytes no fact tells.
func (s *State) wants(st *StreamState, base int64) bool {
	n := len(st.slots)
	if n == 0 || st.slots[n-1].base < base {
		return true
	}
	i, same := slices.BinarySearchFunc(st.slots, base, compareBase)
	return !same && (st.needed(base, st.slots[i].base) || st.slots[i].base > max(s.floor(st), st.counted))
}

// insert puts a slot where its base belongs, unless there is one.
func (st *StreamState) insert(e extent) {
	if i, same := slices.BinarySearchFunc(st.slots, e.base, compareBase); !same {
		st.slots = slices.Insert(st.slots, i, e)
	}
}

// usedSlots are the slots that facts name, with the number of their stream.
func (s *Store) usedSlots() map[uint32]uint32 {
	used := map[uint32]uint32{}
	for _, st := range s.state.Streams {
		for _, e := range st.slots {
			used[e.slot] = st.ID
		}
	}
	return used
}

// nameLost gives those streams a name of which nothing tells it any more. A stream of
// their real name begins anew, so it gets an epoch of its own: their keys must not
// meet.
func (s *Store) nameLost() {
	lost := false
	for _, st := range s.state.Streams {
		if st.Epoch == 0 {
			lost = true
			s.derive(Fact{Kind: Made, Stream: st.ID, Name: fmt.Sprintf("lost-%d", st.ID), Epoch: s.state.Epoch})
			s.note("journal: the name of stream %d is lost; it is called %s, and new bytes go on under a new epoch", st.ID, st.Name)
		}
	}
	if lost {
		s.state.Epoch = 0 // identify makes a new one
	}
}

// complete notes what was adopted, and asks the spool about objects whose Opened
// is lost.
func (s *Store) complete() {
	for _, f := range s.adopted {
		s.derive(f)
	}
	s.adopted = nil
	for _, st := range s.state.Streams {
		for i := range st.Objects {
			o := &st.Objects[i]
			if o.Run != 0 || !o.Sealed() {
				continue
			}
			body, err := s.Section(st.ID, o.Start, o.End)
			if err != nil {
				continue
			}
			if _, err := body.Read(make([]byte, 1)); err == nil && body.head.offset == o.Start {
				h := body.head
				s.derive(Fact{Kind: Opened, Stream: st.ID, Start: o.Start, Run: h.run, Mono: h.mono, Lost: h.lost, Flags: h.flags & FlagLostUnknown})
			}
			_ = body.Close() // it was only read
		}
	}
}
