package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/seed-7270d448/dray/wal"
)

// Ownership is what tells the uploads of one state folder from all others. Its
// JSON names are a contract: a running daemon hands it to its commands.
type Ownership struct {
	Epoch string `json:"epoch"` // of this state folder now
	// Past are epochs that this state folder had before, on other hardware. A
	// card that was cloned shares them with the device that it was cloned from.
	Past    []string   `json:"past_epochs,omitempty"`
	Uploads []OwnedKey `json:"uploads"`
	// Notes are what the journal could not tell; then Uploads may lack some.
	Notes []string `json:"notes,omitempty"`
}

// OwnedKey is a key that the journal has plans with.
type OwnedKey struct {
	Destination string `json:"destination"`
	Key         string `json:"key"`
	// UploadID is the upload that goes on under the key. Empty: a call is under
	// way or its reply was lost, and start-up or the running daemon settles
	// whatever is found there.
	UploadID string `json:"upload_id,omitempty"`
}

// Ownership returns which uploads the engine's journal owns. It does not wait
// for flash or link.
func (e *Engine) Ownership() (own Ownership) {
	e.store.View(func(s *wal.State) { own = ownership(s) })
	return own
}

// ReadOwnership reads it from a state folder on which no engine runs, without
// writing to it.
func ReadOwnership(stateDir string) (Ownership, error) {
	s, err := wal.Read(stateDir)
	if err != nil {
		return Ownership{}, fmt.Errorf("read the journal of %s: %w", stateDir, err)
	}
	defer s.Close()
	var own Ownership
	s.View(func(state *wal.State) { own = ownership(state) })
	own.Notes = s.Notes()
	return own, nil
}

func ownership(s *wal.State) Ownership {
	own := Ownership{Epoch: wal.EpochText(s.Epoch), Uploads: []OwnedKey{}}
	past := map[string]bool{}
	for _, st := range s.Streams {
		past[wal.EpochText(st.Epoch)], past[wal.EpochText(st.KeyEpoch())] = true, true
		for i := range st.Objects {
			if up := st.Objects[i].Up; up != nil && up.Key != "" && up.Done == nil {
				past[wal.EpochText(st.EpochOf(&st.Objects[i]))] = true
				own.Uploads = append(own.Uploads, OwnedKey{Destination: s.Layout(&st.Objects[i]).Destination, Key: up.Key, UploadID: up.ID})
			}
		}
	}
	delete(past, own.Epoch)
	own.Past = slices.Sorted(maps.Keys(past))
	return own
}
