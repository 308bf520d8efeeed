package engine

import (
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// Report is what a state folder holds, found without changing anything in it.
type Report struct {
	StateDir string         `json:"state_dir"`
	Epoch    string         `json:"epoch"`
	Run      uint32         `json:"run"`
	Clean    bool           `json:"clean_stop"` // the last run ended in order
	Clock    string         `json:"clock"`      // how far its last boot knew the time, as ClockStatus.Trust
	Flash    FlashStatus    `json:"flash"`
	Receipts int            `json:"receipts"`
	Waiting  int64          `json:"waiting_bytes"`           // kept, not yet archived
	Oldest   time.Time      `json:"oldest_waiting,omitzero"` // when the first of them was captured
	Damaged  *int64         `json:"damaged_bytes,omitempty"` // of those; only from ReadAll
	Streams  []StreamReport `json:"streams"`
	Objects  []ObjectReport `json:"objects"` // live ones, in stream order
	Notes    []string       `json:"notes,omitempty"`
}

// StreamReport is one stream of a state folder. Offsets are bytes.
type StreamReport struct {
	Name     string `json:"name"`
	Epoch    string `json:"epoch"`
	Kept     int64  `json:"kept"`
	Archived int64  `json:"archived"`
	Waiting  int64  `json:"waiting"` // to be archived; what was dropped is not
	Gaps     int64  `json:"gaps"`
	GapBytes int64  `json:"gap_bytes"`
	Slots    int    `json:"slots"`
	Objects  int    `json:"objects"`
}

// ObjectReport is one object that is not archived yet.
type ObjectReport struct {
	Stream      string    `json:"stream"`
	Epoch       string    `json:"epoch"`
	Start       int64     `json:"start"`
	End         int64     `json:"end"` // so far, while it is open
	Open        bool      `json:"open,omitempty"`
	Destination string    `json:"destination"`
	Key         string    `json:"key,omitempty"` // once it is fixed
	UploadID    string    `json:"upload_id,omitempty"`
	Parts       int       `json:"parts"`
	Stored      int       `json:"parts_stored"`
	Next        string    `json:"next"` // what will be done with it
	FirstTime   time.Time `json:"first_time"`
	Estimated   bool      `json:"time_estimated,omitempty"`
	Gap         int64     `json:"gap,omitempty"`
}

// Inspect says what a state folder holds: one that is stopped, full, damaged
// or on a read-only medium. It never writes to it.
func Inspect(stateDir string) (Report, error) {
	s, err := wal.Read(stateDir)
	if err != nil {
		return Report{}, fmt.Errorf("inspect %s: %w", stateDir, err)
	}
	defer s.Close()
	if err := settleReceipts(s, stateDir); err != nil { // as the next start-up will, but here only in memory
		return Report{}, fmt.Errorf("inspect %s: %w", stateDir, err)
	}
	r := Report{StateDir: stateDir, Streams: []StreamReport{}, Objects: []ObjectReport{}, Notes: s.Notes()}
	s.View(func(state *wal.State) {
		r.Epoch, r.Run, r.Clean = wal.EpochText(state.Epoch), state.Run, state.Stopped
		_, trust := state.Clock(0)
		r.Clock = trust.String()
		_, all := s.Wear()
		r.Flash = flashStatus(all, 0)
		for _, st := range state.Streams {
			kept := s.Kept(st.ID)
			r.Streams = append(r.Streams, StreamReport{Name: st.Name, Epoch: wal.EpochText(st.KeyEpoch()), Kept: kept, Archived: min(st.Archived(), kept),
				Waiting: waitingBytes(st, kept), Gaps: st.Gaps, GapBytes: st.GapBytes, Slots: st.Slots(), Objects: len(st.Objects)})
			for i := range st.Objects {
				o := objectReport(state, st, &st.Objects[i], kept)
				r.Objects = append(r.Objects, o)
				if !st.Objects[i].Dropped && (r.Oldest.IsZero() || o.FirstTime.Before(r.Oldest)) {
					r.Oldest = o.FirstTime
				}
			}
			r.Waiting += waitingBytes(st, kept)
		}
	})
	err = ReadReceipts(stateDir, func(Receipt) error { r.Receipts++; return nil })
	return r, err
}

// waitingBytes are those of a stream that are to be archived.
func waitingBytes(st *wal.StreamState, kept int64) (n int64) {
	for i := range st.Objects {
		switch o := &st.Objects[i]; {
		case o.Dropped:
		case o.Sealed():
			n += o.Size()
		default:
			n += max(kept-o.Start, 0)
		}
	}
	return n
}

// ReadAll reads every byte that waits, and counts those that are damaged.
func (r *Report) ReadAll() error {
	var damaged int64
	err := ExportObjects(r.StateDir, ExportSelection{}, func(string) (io.WriteCloser, error) { return nowhere{io.Discard}, nil },
		func(o ExportReport) error { damaged += o.Damaged(); return nil })
	r.Damaged = &damaged
	return err
}

type nowhere struct{ io.Writer }

// Close does nothing.
func (nowhere) Close() error { return nil }

// health says in a line how well the folder is.
func (r *Report) health() string {
	switch {
	case r.Damaged != nil && *r.Damaged > 0:
		return fmt.Sprintf("BAD: %d bytes that wait cannot be read; dray export gives the others", *r.Damaged)
	case len(r.Notes) > 0:
		return "look at the notes below"
	case r.Damaged != nil:
		return "good: every byte that waits was read"
	}
	return "good, as far as its journal and newest slots say; --check reads every byte that waits"
}

func objectReport(state *wal.State, st *wal.StreamState, o *wal.Object, kept int64) ObjectReport {
	at, estimated := state.Captured(o)
	r := ObjectReport{Stream: st.Name, Epoch: wal.EpochText(st.EpochOf(o)), Start: o.Start, End: o.End, Open: !o.Sealed(),
		Destination: state.Layout(o).Destination, Parts: o.NumParts(), FirstTime: at, Estimated: estimated, Gap: o.Gap}
	if r.Open {
		r.End = kept
	}
	if up := o.Up; up != nil {
		r.Key, r.UploadID = up.Key, up.ID
		for _, p := range up.Parts {
			if p.Stored {
				r.Stored++
			}
		}
	}
	none := func(int) bool { return false }
	// What a destination takes whole is not known here; a lone part may go out so.
	switch s := next(state, o, unlimited, fit{}, none, false, false); s.action {
	case actSend:
		r.Next = fmt.Sprintf("send part %d", s.part)
	case actWait:
		r.Next = "wait for more bytes"
	case actPut:
		r.Next = "send it"
	default:
		r.Next = s.action.String()
	}
	return r
}

// WriteText writes the report for a person: one screen, the objects that need
// the most attention first.
func (r Report) WriteText(w io.Writer) error {
	how := "was cut off, or is still at work"
	if r.Clean {
		how = "ended in order"
	}
	fmt.Fprintf(w, "%s: epoch %s, run %d %s, %d receipts\n", r.StateDir, r.Epoch, r.Run, how, r.Receipts)
	fmt.Fprintf(w, "health: %s\n", r.health())
	if r.Waiting > 0 {
		fmt.Fprintf(w, "%d bytes wait, the oldest since %s; ", r.Waiting, r.Oldest.Format(time.RFC3339))
	}
	fmt.Fprintf(w, "%d bytes were written to flash in its life; its clock was %s\n\n", r.Flash.WrittenBytes, r.Clock)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STREAM\tKEPT\tARCHIVED\tWAITING\tGAPS\tSLOTS\tOBJECTS")
	for _, s := range r.Streams {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d (%d bytes)\t%d\t%d\n", s.Name, s.Kept, s.Archived, s.Waiting, s.Gaps, s.GapBytes, s.Slots, s.Objects)
	}
	if len(r.Objects) > 0 {
		const most = 20
		objects := append([]ObjectReport(nil), r.Objects...)
		sort.SliceStable(objects, func(i, j int) bool { return objects[i].UploadID > objects[j].UploadID && objects[j].UploadID == "" })
		fmt.Fprintln(t, "\t\nOBJECT\tBYTES\tPARTS\tDESTINATION\tNEXT")
		for _, o := range objects[:min(most, len(objects))] {
			fmt.Fprintf(t, "%s@%d\t%d\t%d of %d stored\t%s\t%s\n", o.Stream, o.Start, o.End-o.Start, o.Stored, o.Parts, o.Destination, o.Next)
		}
		if more := len(objects) - most; more > 0 {
			fmt.Fprintf(t, "and %d more\n", more)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	return nil
}
