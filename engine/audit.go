package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/seed-7270d448/dray/transport"
)

// AuditSelection says what to audit. The zero value is everything.
type AuditSelection struct {
	Prefix string // only keys that begin with it
	Device string // only objects of this device
	Stream string // only objects of this stream
	// Quick believes keys that hold {epoch} and {start}, and listed sizes, where
	// one object of the same device, stream and folder has confirmed them. Only
	// that object, and those behind a hole, are asked for; then gap_bytes counts
	// what these say.
	Quick bool
}

// The problems that an audit can find.
const (
	AuditHole       = "hole"       // no object holds the bytes, and none says that they were lost
	AuditOverlap    = "overlap"    // two objects hold the bytes
	AuditUnreadable = "unreadable" // an object whose identity makes no sense
)

// Audit is what an archive proves about itself. Its JSON names are a contract.
type Audit struct {
	Objects int64       `json:"objects"` // Dray's, of the selection
	Others  int64       `json:"others"`  // without Dray's identity, or outside the selection
	Series  []Series    `json:"series"`  // by device, stream and epoch
	Bad     []BadObject `json:"unreadable,omitempty"`
	BadMore int64       `json:"unreadable_more,omitempty"` // beyond those listed
}

// A Series is all objects of one device, stream and epoch. Offsets are bytes.
type Series struct {
	Device  string `json:"device"`
	Stream  string `json:"stream"`
	Epoch   string `json:"epoch"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	End     int64  `json:"end"` // behind the last object; what is not archived yet is not seen

	GapBytes   int64    `json:"gap_bytes"`             // known lost, as the metadata says
	GapUnknown int64    `json:"gap_unknown,omitempty"` // objects before which more was lost, nobody knows how much
	Gaps       []Extent `json:"gaps,omitempty"`        // offsets that no object holds, accounted for by metadata
	Problems   []Flaw   `json:"problems,omitempty"`
	More       int64    `json:"more,omitempty"` // gaps and problems beyond those listed
	Found      int64    `json:"found"`          // problems in all
}

// A Flaw is a place where objects do not tile.
type Flaw struct {
	Kind string `json:"kind"`
	Extent
	Key  string `json:"key"`            // of the object behind a hole, or of one that overlaps
	With string `json:"with,omitempty"` // of the object that it overlaps
	Gap  int64  `json:"gap,omitempty"`  // bytes of a hole that metadata accounts for
}

// BadObject is an object that says it is Dray's and not which.
type BadObject struct {
	Key string `json:"key"`
	Why string `json:"why"`
}

// Bounds of what an audit lists and tells apart; beyond them it counts, or gives up.
const (
	maxFlaws  = 1000    // of one series, and as many gaps
	maxBad    = 1000    //
	maxSeries = 100_000 //
)

// AuditArchive reads a destination, and nothing else, and finds out whether the
// objects of each device, stream and epoch tile their stream: each begins where
// the one before it ended, or says how many bytes were lost before it.
//
// It lists all objects and asks for the identity of each, several at a time.
// No order of keys is assumed, and memory depends on the number of streams and
// holes, not of objects. An object that arrives during the audit may be missed.
//
// Not every loss takes offsets (bytes that a port dropped were never part of the
// stream), and metadata counts both kinds together: a hole that is no greater
// than what the object behind it says was lost is taken for that loss.
func AuditArchive(ctx context.Context, to transport.Destination, sel AuditSelection) (Audit, error) {
	c, ok := to.(transport.Catalogue)
	if !ok {
		return Audit{}, errors.New("audit: the destination cannot list objects")
	}
	a := auditor{Audit: Audit{Series: []Series{}}, series: map[seriesID]*series{}, sel: sel}
	keys := keyReader{known: map[string]seriesID{}}
	stat := func(ctx context.Context, key string) (stored *transport.Stored, err error) {
		err = ask(ctx, func() (err error) {
			stored, err = c.Stat(ctx, key)
			return err
		})
		return stored, err
	}
	feed := func(yield func(transport.Entry) error) error { return c.Objects(ctx, sel.Prefix, yield) }
	look := func(ctx context.Context, e transport.Entry) (f found, err error) {
		f.key = e.Key
		if slices.Contains(strings.Split(e.Key, "/"), transport.TrialFolder) {
			return f, nil
		}
		if sel.Quick {
			if f.id, f.tile, f.ours = keys.read(e); f.ours {
				return f, nil
			}
		}
		stored, err := stat(ctx, e.Key)
		if transport.KindOf(err) == transport.Invalid { // of this object: it is encrypted with another key, or with none
			f.ours, f.bad = true, err
			return f, nil
		}
		if err != nil || stored == nil || stored.Metadata["dray-stream"] == "" && stored.Metadata["dray-epoch"] == "" {
			return f, err
		}
		f.ours = true
		if f.id, f.tile, f.bad = readIdentity(e.Key, *stored); f.bad == nil && sel.Quick {
			keys.learn(f.id, f.tile)
		}
		return f, nil
	}
	err := bulk(ctx, feed, look, a.add)
	for _, s := range a.series {
		if err == nil {
			err = s.askGaps(ctx, stat)
		}
	}
	if err != nil {
		return Audit{}, fmt.Errorf("audit: %w", err)
	}
	return a.report(), nil
}

// AuditList is AuditArchive for objects that list describes, as an inventory
// does of a destination that cannot be asked. An object that is there twice is an
// overlap of its own key.
func AuditList(list func(fn func(key string, s transport.Stored) error) error, sel AuditSelection) (Audit, error) {
	a := auditor{Audit: Audit{Series: []Series{}}, series: map[seriesID]*series{}, sel: sel}
	err := list(func(key string, s transport.Stored) error {
		if sel.Prefix != "" && !strings.HasPrefix(key, sel.Prefix) {
			return nil
		}
		return a.add(readObject(key, s))
	})
	if err != nil {
		return Audit{}, fmt.Errorf("audit: %w", err)
	}
	return a.report(), nil
}

// readObject finds out whether an object is Dray's, and which.
func readObject(key string, s transport.Stored) (f found) {
	f.key = key
	if trial := slices.Contains(strings.Split(key, "/"), transport.TrialFolder); trial || s.Metadata["dray-stream"] == "" && s.Metadata["dray-epoch"] == "" {
		return f
	}
	f.ours = true
	f.id, f.tile, f.bad = readIdentity(key, s)
	return f
}

// found is one object and what was found out about it.
type found struct {
	key  string
	ours bool // it says that it is Dray's
	bad  error
	id   seriesID
	tile tile
}

// seriesID tells one series from another.
type seriesID struct{ device, stream, epoch string }

// series is a Series in the making.
type series struct {
	Series
	tiling
}

type auditor struct {
	Audit
	sel    AuditSelection
	series map[seriesID]*series
}

// add takes in one object.
func (a *auditor) add(f found) error {
	switch {
	case f.bad != nil && len(a.Bad) < maxBad:
		a.Bad = append(a.Bad, BadObject{f.key, f.bad.Error()})
		return nil
	case f.bad != nil:
		a.BadMore++
		return nil
	case !f.ours, a.sel.Device != "" && f.id.device != a.sel.Device, a.sel.Stream != "" && f.id.stream != a.sel.Stream:
		a.Others++
		return nil
	}
	s := a.series[f.id]
	if s == nil {
		if len(a.series) == maxSeries {
			return fmt.Errorf("more than %d streams; audit them by folder or device", maxSeries)
		}
		s = &series{Series: Series{Device: f.id.device, Stream: f.id.stream, Epoch: f.id.epoch}}
		a.series[f.id] = s
	}
	a.Objects++
	s.Objects++
	s.Bytes += f.tile.end - f.tile.start
	s.End = max(s.End, f.tile.end)
	s.lost(f.tile)
	twice, with, err := s.add(f.tile)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", f.id.stream, f.id.device, err)
	}
	if twice.Start < twice.End {
		s.flaw(Flaw{Kind: AuditOverlap, Extent: twice, Key: f.key, With: with})
	}
	return nil
}

// lost counts what an object's metadata says was lost before it.
func (s *series) lost(n tile) {
	s.GapBytes += n.gap
	if n.unknown {
		s.GapUnknown++
	}
}

func (s *series) flaw(f Flaw) {
	s.Found++
	if len(s.Problems) < maxFlaws {
		s.Problems = append(s.Problems, f)
	} else {
		s.More++
	}
}

// readIdentity reads what an object's metadata says of it.
func readIdentity(key string, s transport.Stored) (id seriesID, n tile, err error) {
	m := s.Metadata
	id = seriesID{m["dray-device"], m["dray-stream"], m["dray-epoch"]}
	for _, name := range []string{"dray-device", "dray-stream", "dray-epoch", "dray-start"} {
		if m[name] == "" {
			return id, n, fmt.Errorf("it has no %s", name)
		}
	}
	n.key, n.unknown, n.follows = key, m["dray-gap-unknown"] != "", m["dray-follows"]
	if n.start, err = offset(m["dray-start"]); err != nil {
		return id, n, fmt.Errorf("dray-start: %w", err)
	}
	if gap := m["dray-gap"]; gap != "" {
		if n.gap, err = offset(gap); err != nil {
			return id, n, fmt.Errorf("dray-gap: %w", err)
		}
	}
	if s.Size < 1 || s.Size > math.MaxInt64-n.start {
		return id, n, fmt.Errorf("%d bytes from offset %d on", s.Size, n.start)
	}
	n.end = n.start + s.Size
	return id, n, nil
}

func offset(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q is not a number of bytes", text)
	}
	return n, nil
}

// report closes the series: what lies between their covers is gaps or holes.
func (a *auditor) report() Audit {
	for _, s := range a.series {
		s.between(func(e Extent, behind cover) {
			switch e.Start = max(e.Start, a.before(s, behind)); {
			case e.Start >= e.End: // it is in other epochs of the stream
			case !behind.unknown && behind.gap < e.End-e.Start:
				s.flaw(Flaw{Kind: AuditHole, Extent: e, Key: behind.key, Gap: behind.gap})
			case len(s.Gaps) < maxFlaws:
				s.Gaps = append(s.Gaps, e)
			default:
				s.More++
			}
		})
		sort.SliceStable(s.Problems, func(i, j int) bool { return s.Problems[i].Start < s.Problems[j].Start })
		a.Audit.Series = append(a.Audit.Series, s.Series)
	}
	sort.Slice(a.Audit.Series, func(i, j int) bool {
		x, y := &a.Audit.Series[i], &a.Audit.Series[j]
		return cmp.Or(cmp.Compare(x.Device, y.Device), cmp.Compare(x.Stream, y.Stream), cmp.Compare(x.Epoch, y.Epoch)) < 0
	})
	sort.Slice(a.Bad, func(i, j int) bool { return a.Bad[i].Key < a.Bad[j].Key })
	return a.Audit
}

// before returns up to where the epochs that a cover follows hold its stream, by
// their own account. Two devices with one past share what they follow, so it says
// no more than that.
func (a *auditor) before(s *series, c cover) (end int64) {
	if c.follows == "" {
		return 0
	}
	for id, other := range a.series {
		if other != s && id.device == s.Device && id.stream == s.Stream && (id.epoch == c.follows || other.followed(c.follows)) {
			end = max(end, other.End)
		}
	}
	return end
}

// followed says whether any of the covers follows that epoch.
func (t *tiling) followed(epoch string) bool {
	return slices.ContainsFunc(t.covers, func(c cover) bool { return c.follows == epoch })
}

// Err returns nil if all objects tile and can be told.
func (a Audit) Err() error {
	var flaws int64
	for _, s := range a.Series {
		flaws += s.Found
	}
	bad := int64(len(a.Bad)) + a.BadMore
	if flaws+bad == 0 {
		return nil
	}
	return fmt.Errorf("%d holes or overlaps, %d objects that cannot be told", flaws, bad)
}
