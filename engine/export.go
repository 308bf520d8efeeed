package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// unlimited stands for a destination whose limits are not known.
var unlimited = transport.Limits{MaxPut: math.MaxInt64}

// ExportSelection says what to export. Offsets are bytes of the stream.
type ExportSelection struct {
	Stream string // Export needs it if the folder holds more than one; else "" is all
	Epoch  string // of several streams with one name; for Export by default the newest
	From   int64
	To     int64 // 0: all that is kept
	Object bool  // only the object that holds From, from its start to its end
}

// ExportReport says what was written, and what was not to be had. Bytes that
// were not to be had are left out, so Extents say what is where.
type ExportReport struct {
	File        string         `json:"file,omitempty"` // of ExportObjects
	Stream      string         `json:"stream"`
	Epoch       string         `json:"epoch"`
	Start       int64          `json:"start"` // asked for, offsets in the stream
	End         int64          `json:"end"`
	Bytes       int64          `json:"bytes"`                    // written
	CRC32C      string         `json:"crc32c"`                   // of those, hexadecimal
	SHA256      string         `json:"sha256"`                   // likewise
	FirstTime   time.Time      `json:"first_time,omitzero"`      // when the object's first byte was captured
	Estimated   bool           `json:"time_estimated,omitempty"` // FirstTime is a guess: the clock was not known
	Open        bool           `json:"open,omitempty"`           // the object has no end yet
	Gap         int64          `json:"gap,omitempty"`            // bytes known lost just before the object
	GapUnknown  bool           `json:"gap_unknown,omitempty"`    // and others
	Destination string         `json:"destination,omitempty"`    // that the object is meant for
	Key         string         `json:"key,omitempty"`            // once it is fixed
	Extents     []ExportExtent `json:"extents"`                  // written, in order
	Missing     []ExportExtent `json:"missing"`                  // archived already, dropped, or damaged
}

// ExportExtent is a run of bytes of a stream.
type ExportExtent struct {
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Why   string `json:"why,omitempty"`
}

const damaged = "damaged"

// Damaged counts the bytes that should be there and cannot be read.
func (r *ExportReport) Damaged() (n int64) {
	for _, m := range r.Missing {
		if m.Why == damaged {
			n += m.End - m.Start
		}
	}
	return n
}

// Export writes the bytes that a state folder still holds of a stream to w, in
// order: those not yet archived. It never writes to the folder, which may be
// stopped, full, damaged or on a read-only medium. Bytes that cannot be read
// are left out and reported.
func Export(stateDir string, sel ExportSelection, w io.Writer) (ExportReport, error) {
	x, err := newExport(stateDir, sel)
	if err != nil {
		return ExportReport{}, err
	}
	defer x.store.Close()
	var r ExportReport
	var id uint32
	var live []ExportReport
	for _, st := range x.streams {
		if sel.Stream == "" && id != 0 && st.name != r.Stream {
			return ExportReport{}, fmt.Errorf("export from %s: it holds several streams: name one with --stream", stateDir)
		}
		id, live = st.id, st.objects
		r = ExportReport{Stream: st.name, Epoch: st.epoch, Start: sel.From, End: st.kept}
	}
	if id == 0 {
		return ExportReport{}, fmt.Errorf("export from %s: it holds no stream", stateDir)
	}
	if sel.To != 0 {
		r.End = sel.To
	}
	if sel.Object {
		r = live[0]
		sel.From = r.Start
	}
	sec, err := x.store.Section(id, 0, r.End)
	if err != nil {
		return r, fmt.Errorf("export from %s: %w", stateDir, err)
	}
	defer sec.Close()
	sum := r.sum(w)
	at := sel.From
	for _, o := range live {
		from, to := max(o.Start, at), min(o.End, r.End)
		if from >= to {
			continue
		}
		r.miss(at, from, "archived, or a gap")
		if err := r.extent(sec, from, to, sum); err != nil {
			return r, fmt.Errorf("export from %s: %w", stateDir, err)
		}
		at = to
	}
	r.miss(at, r.End, "archived, or a gap")
	sum.done(&r)
	return r, nil
}

// ExportObjects writes each object that a state folder still holds bytes of to
// the writer that create returns for its name, and tells done what became of it.
// Beside the folder's facts it holds one frame in memory. An error of create or
// done ends it. What is said of the folder at Export holds here too.
func ExportObjects(stateDir string, sel ExportSelection, create func(name string) (io.WriteCloser, error), done func(ExportReport) error) error {
	x, err := newExport(stateDir, sel)
	if err != nil {
		return err
	}
	defer x.store.Close()
	for _, st := range x.streams {
		sec, err := x.store.Section(st.id, 0, st.kept)
		if err != nil {
			return fmt.Errorf("export from %s: %w", stateDir, err)
		}
		defer sec.Close()
		for _, r := range st.objects {
			if sel.To != 0 {
				r.End = min(r.End, sel.To)
			}
			if !sel.Object {
				r.Start = max(r.Start, sel.From)
			}
			if r.Start >= r.End {
				continue
			}
			r.File = fmt.Sprintf("%s-%s-%020d", r.Stream, r.Epoch, r.Start)
			w, err := create(r.File)
			if err != nil {
				return fmt.Errorf("export from %s: %w", stateDir, err)
			}
			sum := r.sum(w)
			err = r.extent(sec, r.Start, r.End, sum)
			sum.done(&r)
			if err = errors.Join(err, w.Close()); err == nil {
				err = done(r)
			}
			if err != nil {
				return fmt.Errorf("export from %s: %w", stateDir, err)
			}
		}
	}
	return nil
}

// exported is a state folder, and what of it was asked for.
type exported struct {
	store   *wal.Store
	streams []exportedStream
}

type exportedStream struct {
	id          uint32
	name, epoch string
	kept        int64
	objects     []ExportReport // as they would be if all can be read
}

func newExport(stateDir string, sel ExportSelection) (*exported, error) {
	s, err := wal.Read(stateDir)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", stateDir, err)
	}
	x := &exported{store: s}
	s.View(func(state *wal.State) {
		for _, st := range state.Streams {
			e := exportedStream{id: st.ID, name: st.Name, epoch: wal.EpochText(st.KeyEpoch()), kept: s.Kept(st.ID)}
			if sel.Stream != "" && e.name != sel.Stream || sel.Epoch != "" && e.epoch != sel.Epoch && wal.EpochText(st.Epoch) != sel.Epoch {
				continue
			}
			for i := range st.Objects {
				if r := exportReport(state, st, &e, &st.Objects[i]); !st.Objects[i].Dropped && (!sel.Object || r.Start <= sel.From && sel.From < r.End) {
					e.objects = append(e.objects, r)
				}
			}
			if !sel.Object || len(e.objects) > 0 {
				x.streams = append(x.streams, e)
			}
		}
	})
	if len(x.streams) == 0 && sel != (ExportSelection{}) {
		s.Close()
		if sel.Object {
			return nil, fmt.Errorf("export from %s: no object that it holds has offset %d of stream %q", stateDir, sel.From, sel.Stream)
		}
		return nil, fmt.Errorf("export from %s: it holds no stream %q", stateDir, sel.Stream)
	}
	return x, nil
}

func exportReport(state *wal.State, stream *wal.StreamState, st *exportedStream, o *wal.Object) ExportReport {
	r := ExportReport{Stream: st.name, Epoch: wal.EpochText(stream.EpochOf(o)), Start: o.Start, End: o.End, Open: !o.Sealed(),
		Gap: o.Gap, GapUnknown: o.GapUnknown, Destination: state.Layout(o).Destination}
	if r.Open {
		r.End = st.kept
	}
	if o.Up != nil {
		r.Key = o.Up.Key
	}
	r.FirstTime, r.Estimated = state.Captured(o)
	return r
}

func (r *ExportReport) miss(from, to int64, why string) {
	if from < to {
		r.Missing = append(r.Missing, ExportExtent{from, to, why})
	}
}

// extent writes [from, to) of a section that begins with the stream, passing
// over what is damaged. Going on behind the extent before is cheap.
func (r *ExportReport) extent(sec *wal.Section, from, to int64, w io.Writer) error {
	for from < to {
		if _, err := sec.Seek(from, io.SeekStart); err != nil {
			return err
		}
		n, err := io.Copy(w, io.LimitReader(sec, to-from))
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
		end := min(damage.To, to)
		r.miss(damage.From, end, damaged)
		from = end
	}
	return nil
}

// sum begins a report's checksums over what is written to w.
func (r *ExportReport) sum(w io.Writer) *sums {
	r.Extents, r.Missing = []ExportExtent{}, []ExportExtent{}
	s := &sums{crc: crc32.New(crc32.MakeTable(crc32.Castagnoli)), sha: sha256.New()}
	s.Writer = io.MultiWriter(w, s.crc, s.sha)
	return s
}

type sums struct {
	io.Writer
	crc, sha interface {
		io.Writer
		Sum(b []byte) []byte
	}
}

func (s *sums) done(r *ExportReport) {
	r.CRC32C, r.SHA256 = hex.EncodeToString(s.crc.Sum(nil)), hex.EncodeToString(s.sha.Sum(nil))
}
