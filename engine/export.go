package engine

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// unlimited stands for a destination whose limits are not known.
var unlimited = transport.Limits{MaxPut: math.MaxInt64}

// ExportSelection says what to export. Offsets are bytes of the stream.
type ExportSelection struct {
	Stream string // required if the folder holds more than one
	Epoch  string // of several streams with one name; default the newest
	From   int64
	To     int64 // 0: all that is kept
}

// ExportReport says what was written, and what was not to be had.
type ExportReport struct {
	Stream  string         `json:"stream"`
	Epoch   string         `json:"epoch"`
	Bytes   int64          `json:"bytes"`
	Extents []ExportExtent `json:"extents"` // written, in order
	Missing []ExportExtent `json:"missing"` // archived already, dropped, or damaged
}

// ExportExtent is a run of bytes of a stream.
type ExportExtent struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Why   string `json:"why,omitempty"`
}

// Export writes the bytes that a state folder still holds of a stream to w, in
// order: those not yet archived. It never writes to the folder, which may be
// stopped, full, damaged or on a read-only medium. Bytes that cannot be read
// are left out and reported.
func Export(stateDir string, sel ExportSelection, w io.Writer) (ExportReport, error) {
	s, err := wal.Read(stateDir)
	if err != nil {
		return ExportReport{}, fmt.Errorf("export from %s: %w", stateDir, err)
	}
	defer s.Close()
	var live []ExportExtent
	var id uint32
	var r ExportReport
	s.View(func(state *wal.State) {
		for _, st := range state.Streams {
			if sel.Stream != "" && st.Name != sel.Stream || sel.Epoch != "" && wal.EpochText(st.Epoch) != sel.Epoch {
				continue
			}
			if sel.Stream == "" && id != 0 && st.Name != r.Stream {
				err = errors.New("it holds several streams: name one with --stream")
			}
			id, live = st.ID, nil
			r = ExportReport{Stream: st.Name, Epoch: wal.EpochText(st.Epoch), Extents: []ExportExtent{}, Missing: []ExportExtent{}}
			for i := range st.Objects {
				if o := &st.Objects[i]; !o.Dropped {
					end := o.End
					if !o.Sealed() {
						end = s.Kept(st.ID)
					}
					live = append(live, ExportExtent{Start: o.Start, End: end})
				}
			}
		}
	})
	if id == 0 && err == nil {
		err = fmt.Errorf("it holds no stream %q", sel.Stream)
	}
	if err != nil {
		return r, fmt.Errorf("export from %s: %w", stateDir, err)
	}
	if sel.To == 0 {
		sel.To = s.Kept(id)
	}
	at := sel.From
	for _, e := range live {
		from, to := max(e.Start, at), min(e.End, sel.To)
		if from >= to {
			continue
		}
		r.miss(at, from, "archived, or a gap")
		if err := r.extent(s, id, from, to, w); err != nil {
			return r, fmt.Errorf("export from %s: %w", stateDir, err)
		}
		at = to
	}
	r.miss(at, sel.To, "archived, or a gap")
	return r, nil
}

func (r *ExportReport) miss(from, to int64, why string) {
	if from < to {
		r.Missing = append(r.Missing, ExportExtent{from, to, why})
	}
}

// extent writes [from, to), passing over what is damaged.
func (r *ExportReport) extent(s *wal.Store, id uint32, from, to int64, w io.Writer) error {
	for from < to {
		sec, err := s.Section(id, from, to)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, sec)
		sec.Close()
		if n > 0 {
			r.Extents = append(r.Extents, ExportExtent{Start: from, End: from + n})
			r.Bytes += n
			from += n
		}
		var damage *wal.DamageError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &damage):
			return err
		}
		r.miss(damage.From, damage.To, "damaged")
		from = damage.To
	}
	return nil
}
