package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// shelf is a destination that holds descriptions of objects.
type shelf struct {
	transport.Destination
	mu      sync.Mutex
	objects map[string]transport.Stored
	fails   []error // what the next calls of Stat say
	stats   int
}

func (s *shelf) Stat(_ context.Context, key string) (*transport.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats++
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		return nil, err
	}
	o, ok := s.objects[key]
	if !ok {
		return nil, nil
	}
	return &o, nil
}

// Objects lists in the order of a map, which is none.
func (s *shelf) Objects(_ context.Context, prefix string, fn func(transport.Entry) error) error {
	for key, o := range s.objects {
		if strings.HasPrefix(key, prefix) {
			if err := fn(transport.Entry{Key: key, Size: o.Size}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shelf) Uploads(context.Context, string, func(transport.Upload, time.Time) error) error {
	return nil
}

// put shelves an object of size bytes at start.
func (s *shelf) put(key string, start, size int64, more ...string) {
	m := map[string]string{"dray-device": "gw", "dray-stream": "gps", "dray-epoch": "e1", "dray-start": strconv.FormatInt(start, 10), "dray-gap": "0"}
	for i := 0; i < len(more); i += 2 {
		m[more[i]] = more[i+1]
	}
	if s.objects == nil {
		s.objects = map[string]transport.Stored{}
	}
	s.objects[key] = transport.Stored{Size: size, Metadata: m}
}

func TestAuditTellsHolesFromGaps(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(s *shelf)
		want []engine.Flaw
		gaps []engine.Extent
	}{
		{"whole", func(s *shelf) { s.put("a", 0, 10); s.put("b", 10, 5); s.put("c", 15, 1) }, nil, nil},
		{"a hole", func(s *shelf) { s.put("a", 0, 10); s.put("c", 15, 1) },
			[]engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 10, End: 15}, Key: "c"}}, nil},
		{"no beginning", func(s *shelf) { s.put("b", 10, 5) },
			[]engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 0, End: 10}, Key: "b"}}, nil},
		{"a gap", func(s *shelf) { s.put("a", 0, 10); s.put("c", 15, 1, "dray-gap", "5") },
			nil, []engine.Extent{{Start: 10, End: 15}}},
		{"a gap of unknown size", func(s *shelf) { s.put("a", 0, 10); s.put("c", 15, 1, "dray-gap-unknown", "true") },
			nil, []engine.Extent{{Start: 10, End: 15}}},
		{"a hole greater than its gap", func(s *shelf) { s.put("a", 0, 10); s.put("c", 15, 1, "dray-gap", "4") },
			[]engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 10, End: 15}, Key: "c", Gap: 4}}, nil},
		{"a loss that took no offsets", func(s *shelf) { s.put("a", 0, 10); s.put("b", 10, 5, "dray-gap", "4") }, nil, nil},
		{"another stream in between", func(s *shelf) { s.put("a", 0, 10); s.put("b", 10, 5, "dray-stream", "log") },
			[]engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 0, End: 10}, Key: "b"}}, nil},
		{"another epoch that goes on", func(s *shelf) {
			s.put("a", 0, 10)
			s.put("taken", 10, 5)
			s.put("b", 10, 5, "dray-epoch", "e2", "dray-follows", "e1")
			s.put("c", 15, 5)
			s.put("d", 20, 5, "dray-epoch", "e2", "dray-follows", "e1")
		}, nil, nil},
		{"a third that goes on", func(s *shelf) {
			s.put("a", 0, 10)
			s.put("b", 10, 5, "dray-epoch", "e2", "dray-follows", "e1")
			s.put("c", 15, 5, "dray-epoch", "e3", "dray-follows", "e1")
		}, nil, nil},
		{"another epoch that goes on behind a hole", func(s *shelf) { s.put("a", 0, 8); s.put("b", 10, 5, "dray-epoch", "e2", "dray-follows", "e1") },
			[]engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 8, End: 10}, Key: "b"}}, nil},
		{"a hole in another epoch that goes on", func(s *shelf) {
			s.put("a", 0, 30)
			s.put("b", 10, 5, "dray-epoch", "e2", "dray-follows", "e1")
			s.put("c", 20, 5, "dray-epoch", "e2")
		}, []engine.Flaw{{Kind: engine.AuditHole, Extent: engine.Extent{Start: 15, End: 20}, Key: "c"}}, nil},
		{"not Dray's", func(s *shelf) {
			s.put("a", 0, 10)
			s.objects["x"] = transport.Stored{Size: 3}
			s.put("dray-doctor/gw/x", 50, 5)
		}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &shelf{}
			tt.fill(s)
			a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{})
			if quick, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{Quick: true}); err != nil || fmt.Sprint(quick) != fmt.Sprint(a) {
				t.Errorf("of keys that say nothing: got %v, %v, want %v", quick, err, a)
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []engine.Flaw
			var gaps []engine.Extent
			for _, series := range a.Series {
				got, gaps = append(got, series.Problems...), append(gaps, series.Gaps...)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) || fmt.Sprint(gaps) != fmt.Sprint(tt.gaps) {
				t.Errorf("got problems %v, gaps %v; want %v, %v", got, gaps, tt.want, tt.gaps)
			}
			if (a.Err() != nil) != (len(tt.want) > 0) {
				t.Errorf("Err: %v with %d problems", a.Err(), len(tt.want))
			}
		})
	}
}

func TestAuditNamesBothObjectsOfAnOverlap(t *testing.T) {
	s := &shelf{}
	s.put("a", 0, 10)
	s.put("b", 8, 10)
	a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{})
	if err != nil {
		t.Fatal(err)
	}
	f := a.Series[0].Problems
	if len(f) != 1 || f[0].Kind != engine.AuditOverlap || f[0].Extent != (engine.Extent{Start: 8, End: 10}) || f[0].Key == f[0].With {
		t.Errorf("got %+v, want one overlap of 8 to 10 between a and b", f)
	}
}

func TestAuditSaysWhichObjectsCannotBeTold(t *testing.T) {
	for name, spoil := range map[string]func(o *transport.Stored){
		"no start":        func(o *transport.Stored) { delete(o.Metadata, "dray-start") },
		"no device":       func(o *transport.Stored) { delete(o.Metadata, "dray-device") },
		"a word as start": func(o *transport.Stored) { o.Metadata["dray-start"] = "many" },
		"before zero":     func(o *transport.Stored) { o.Metadata["dray-start"] = "-1" },
		"a bad gap":       func(o *transport.Stored) { o.Metadata["dray-gap"] = "1e3" },
		"empty":           func(o *transport.Stored) { o.Size = 0 },
		"beyond all": func(o *transport.Stored) {
			o.Metadata["dray-start"], o.Size = "9223372036854775807", 1
		},
	} {
		s := &shelf{}
		s.put("a", 0, 10)
		o := s.objects["a"]
		o.Metadata = maps.Clone(o.Metadata)
		spoil(&o)
		s.objects["a"] = o
		a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{})
		if err != nil || len(a.Bad) != 1 || a.Bad[0].Key != "a" || a.Err() == nil {
			t.Errorf("%s: got %+v, %v, want a to be told as bad", name, a, err)
		}
	}
}

func TestAnObjectThatCannotBeAskedForDoesNotEndAnAudit(t *testing.T) {
	s := &shelf{fails: []error{&transport.Error{Op: "stat", Kind: transport.Invalid, Err: errors.New("status 400 BadRequest")}}}
	s.put("a", 0, 10)
	a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{})
	if err != nil || len(a.Bad) != 1 || a.Bad[0].Key != "a" || !strings.Contains(a.Bad[0].Why, "400") || a.Err() == nil {
		t.Errorf("got %+v, %v, want the object named as one that cannot be told", a, err)
	}
}

func TestAuditOfManyObjectsSelectsAndAsksForEachOnce(t *testing.T) {
	s := &shelf{}
	const n = 20_000
	for i := range int64(n) {
		s.put(fmt.Sprintf("gw/%d", rand.Uint64()), i*7, 7)
	}
	s.put("other/1", 0, 5, "dray-device", "other")
	a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{Device: "gw"})
	if err != nil || a.Objects != n || a.Others != 1 || len(a.Series) != 1 || a.Series[0].End != 7*n || a.Err() != nil {
		t.Errorf("got %+v, %v", a, err)
	}
	if s.stats != n+1 {
		t.Errorf("asked %d times, want %d", s.stats, n+1)
	}
}

func TestAuditByKeysFindsTheSameWithFewQuestions(t *testing.T) {
	const epoch = "80000000000000aa"
	s := &shelf{}
	const n, size = 5000, 7
	for i := range int64(n) {
		day := i / 1000 // five folders
		key := fmt.Sprintf("gw/gps/%02d/gps-%s-%020d.log", day, epoch, i*size)
		switch i {
		case 2000, 3000: // gone
		case 2001:
			s.put(key, i*size, size, "dray-epoch", epoch, "dray-gap", "7")
		default:
			s.put(key, i*size, size, "dray-epoch", epoch)
		}
	}
	whole, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{})
	if err != nil || len(whole.Series) != 1 || whole.Series[0].Found != 1 || len(whole.Series[0].Gaps) != 1 {
		t.Fatalf("got %+v, %v, want one hole and one gap", whole, err)
	}
	s.stats = 0
	quick, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{Quick: true})
	if err != nil || fmt.Sprint(quick) != fmt.Sprint(whole) {
		t.Errorf("got  %+v, %v\nwant %+v", quick, err, whole)
	}
	// One for each folder, and for each hole, were there one question at a time.
	if most := 5*16 + 2; s.stats > most {
		t.Errorf("asked %d times, want at most %d", s.stats, most)
	}
}

func TestAuditBelievesNoKeysThatItsMetadataDenies(t *testing.T) {
	s := &shelf{}
	const n, size = 10, 7
	for i := range int64(n) { // numbered, where the offset should be
		s.put(fmt.Sprintf("gw/gps-80000000000000aa-%020d.log", i+1), i*size, size, "dray-epoch", "80000000000000aa")
	}
	a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{Quick: true})
	if err != nil || a.Objects != n || a.Err() != nil || s.stats != n {
		t.Errorf("got %+v, %v after %d questions, want %d objects without a hole", a, err, s.stats, n)
	}
}

func TestAuditAsksAgainWhileTheLinkIsToBlameAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passing := &transport.Error{Op: "stat", Kind: transport.Offline, Err: errors.New("the link broke")}
		s := &shelf{fails: []error{passing, passing}}
		s.put("a", 0, 10)
		if a, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{}); err != nil || a.Objects != 1 {
			t.Errorf("two failures: got %+v, %v", a, err)
		}
		s.fails = []error{&transport.Error{Op: "stat", Kind: transport.Denied, Err: errors.New("no")}}
		if _, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{}); transport.KindOf(err) != transport.Denied {
			t.Errorf("denied: got %v", err)
		}
		for range 100 {
			s.fails = append(s.fails, passing)
		}
		if _, err := engine.AuditArchive(t.Context(), s, engine.AuditSelection{}); transport.KindOf(err) != transport.Offline {
			t.Errorf("offline for good: got %v", err)
		}
	})
}

func TestAuditEndsWithItsContext(t *testing.T) {
	s := &shelf{}
	s.put("a", 0, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.AuditArchive(ctx, s, engine.AuditSelection{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
