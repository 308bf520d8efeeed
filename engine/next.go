package engine

import (
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// action is what an object needs next.
type action uint8

const (
	actWait     action = iota // nothing, until more is known
	actPut                    // send it whole
	actCreate                 // begin its upload
	actSend                   // send part step.part
	actComplete               // make the parts into the object
	actReceipt                // write its receipt down and let the bytes go
	actAbort                  // given up: end what the destination holds of it
	actFree                   // given up, and nothing is left behind: let it go
	actMend                   // cut out of it what flash has lost
	actSlice                  // it does not fit the link: make two of it
)

var actionNames = [...]string{"wait", "put", "create", "send part", "complete", "write receipt", "abort", "free", "mend", "slice"}

func (a action) String() string { return actionNames[a] }

// remote says whether the action talks to the destination.
func (a action) remote() bool {
	return a != actWait && a != actReceipt && a != actFree && a != actMend && a != actSlice
}

// alone says whether nothing else may be done to the object meanwhile.
func (a action) alone() bool { return a != actSend }

// step is the next action for an object, and for actSend the part.
type step struct {
	action action
	part   int
}

// next derives from the facts what to do with an object now. It is the only
// place that decides it, live and after a restart alike. busy says which parts
// are on their way already; rotten, that bytes of it which must still be sent
// are proven lost; mute, that nothing can be written down now: then no upload is
// begun, since a power cut would leave it behind and unknown; f, what fits the link.
func next(s *wal.State, o *wal.Object, lim transport.Limits, f fit, busy func(part int) bool, rotten, mute bool) step {
	up := o.Up
	if up == nil {
		up = &wal.Upload{}
	}
	part := s.Layout(o).PartSize
	switch {
	case o.Dropped && (up.ID != "" || up.Op == wal.OpCreate):
		return step{action: actAbort}
	case o.Dropped:
		return step{action: actFree}
	case up.Done != nil:
		return step{action: actReceipt}
	case rotten && o.Sliceable():
		return step{action: actMend}
	case rotten && o.Sealed() && !inDoubt(o):
		return step{action: actAbort}
	case o.Sliceable() && f.tooLarge(min(o.Size(), part), lim):
		return step{action: actSlice}
	case o.Sealed() && up.ID == "" && up.Op != wal.OpCreate && (o.NumParts() == 1 || mute || up.Op == wal.OpPut) && o.Size() <= lim.MaxPut:
		return step{action: actPut}
	}
	missing, stored := 0, 0
	for n := 1; n <= o.NumParts(); n++ {
		switch p, _, _ := s.Part(o, n); {
		case p.Stored:
			stored++
		case missing == 0 && !busy(n):
			missing = n
		}
	}
	switch {
	case o.Sealed() && stored == o.NumParts():
		return step{action: actComplete}
	case missing == 0, up.ID == "" && mute:
		return step{action: actWait}
	case f.hopeless(part, lim) && !o.Sealed(): // it is about to be: then it can be sliced
		return step{action: actWait}
	case f.hopeless(part, lim) && up.Op == wal.OpCreate: // begun, perhaps: what is there of it stands in the way
		return step{action: actAbort}
	case up.ID == "":
		return step{action: actCreate}
	}
	return step{action: actSend, part: missing}
}
