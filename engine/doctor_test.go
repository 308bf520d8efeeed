package engine_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// patient is a folder that does not do as it should.
type patient struct {
	*local.Destination
	replaces bool // objects are replaced
	hides    bool // uploads are not listed
	empties  bool // objects come back without metadata
	stuck    bool // uploads cannot be ended
	silent   bool // objects come back without a checksum
	secret   bool // nobody may look what is there
}

func (p patient) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	r, err := p.Destination.Put(ctx, o, b)
	if p.replaces && transport.KindOf(err) == transport.Conflict {
		return transport.Receipt{Size: o.Size}, nil
	}
	return r, err
}

func (p patient) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	r, err := p.Destination.Complete(ctx, u, parts)
	if p.replaces && transport.KindOf(err) == transport.Conflict {
		return transport.Receipt{Size: u.Object.Size}, nil
	}
	return r, err
}

func (p patient) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	uploads, stored, err := p.Destination.Find(ctx, key)
	if p.secret {
		return nil, nil, &transport.Error{Op: "find", Key: key, Kind: transport.Denied, Err: errors.New("no")}
	}
	if p.hides {
		uploads = nil
	}
	return uploads, stored, err
}

func (p patient) Stat(ctx context.Context, key string) (*transport.Stored, error) {
	stored, err := p.Destination.Stat(ctx, key)
	if stored != nil && p.empties {
		stored.Metadata = nil
	}
	if stored != nil && p.silent {
		stored.Checksum = ""
	}
	return stored, err
}

func (p patient) Abort(ctx context.Context, u transport.Upload) error {
	if p.stuck {
		return &transport.Error{Op: "abort", Key: u.Object.Key, Kind: transport.Denied, Err: errors.New("no")}
	}
	return p.Destination.Abort(ctx, u)
}

func TestDoctorFindsWhatADestinationDoesWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		patient patient
		trial   transport.Trial // the one that fails; empty: none
		left    int
	}{
		"healthy":                {patient{}, "", 0},
		"replaces objects":       {patient{replaces: true}, transport.TrialCondition, 0},
		"hides uploads":          {patient{hides: true}, transport.TrialListUploads, 0},
		"loses metadata":         {patient{empties: true}, transport.TrialHead, 0},
		"says nothing of bytes":  {patient{silent: true}, transport.TrialChecksum, 0},
		"cannot end its uploads": {patient{stuck: true}, transport.TrialAbort, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := local.New(local.Config{Path: dir})
			if err != nil {
				t.Fatal(err)
			}
			tt.patient.Destination = d
			got, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d", To: tt.patient}, "gw/17", "")
			if err != nil {
				t.Fatal(err)
			}
			failed := map[transport.Trial]bool{}
			for _, f := range got.Findings {
				if !f.OK && !f.NotRun {
					failed[f.Trial] = true
					if f.Means == "" {
						t.Errorf("%s: does not say what it means", f.Trial)
					}
				}
			}
			want := []transport.Trial{tt.trial}
			if tt.trial == "" {
				want = nil
			}
			if trials := slices.Sorted(maps.Keys(failed)); !slices.Equal(trials, want) {
				t.Errorf("failed: %q, want %q", trials, want)
			}
			if len(got.Left) != tt.left {
				t.Errorf("left behind: %q, want %d", got.Left, tt.left)
			}
			if got.Err() != nil {
				t.Errorf("nothing that is needed failed: %v", got.Err())
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 || entries[0].Name() != ".dray" {
				t.Errorf("objects left in the folder: %v, %v", entries, err)
			}
		})
	}
}

func TestDoctorCleansUpAfterItWasCancelled(t *testing.T) {
	dir := t.TempDir()
	d, err := local.New(local.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got, err := engine.Diagnose(ctx, engine.Destination{Name: "d", To: cancelling{patient{Destination: d}, cancel}}, "gw", "")
	if err != nil || got.Err() == nil || len(got.Left) > 0 {
		t.Errorf("got %+v, %v; want failures, and nothing left", got, err)
	}
	uploads := 0
	err = d.Uploads(t.Context(), "", func(transport.Upload, time.Time) error { uploads++; return nil })
	if err != nil || uploads > 0 {
		t.Errorf("%d uploads left, %v", uploads, err)
	}
}

// cancelling is a destination at whose first part somebody loses patience.
type cancelling struct {
	patient
	cancel func()
}

func (c cancelling) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	c.cancel()
	return c.patient.UploadPart(ctx, u, p, b)
}

// waking is a destination that refuses its first call, as one does whose
// caller has the wrong time.
type waking struct {
	patient
	refused *bool
}

func (w waking) Create(ctx context.Context, o transport.Object) (string, error) {
	if !*w.refused {
		*w.refused = true
		return "", &transport.Error{Op: "create", Key: o.Key, Kind: transport.Denied, Err: errors.New("the difference between the request time and the current time is too large")}
	}
	return w.patient.Create(ctx, o)
}

func TestDoctorIsNotPutOffByTheFirstRefusalForAWrongClock(t *testing.T) {
	d, err := local.New(local.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d", To: waking{patient{Destination: d}, new(bool)}}, "gw", "")
	if err != nil || got.Err() != nil || !got.Findings[0].OK {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDoctorDoesNotWaitForADestinationThatIsAway(t *testing.T) {
	d, err := local.New(local.Config{Path: t.TempDir() + "/away"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d", To: d}, "gw", "")
	if err != nil || got.Err() == nil || len(got.Left) > 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, f := range got.Findings[1:] {
		if !f.NotRun {
			t.Errorf("%s was tried", f.Trial)
		}
	}
}

// deaf is a destination that makes uploads and whose replies say nothing of it.
type deaf struct{ patient }

func (d deaf) Create(ctx context.Context, o transport.Object) (string, error) {
	if _, err := d.patient.Create(ctx, o); err != nil {
		return "", err
	}
	return "", &transport.Error{Op: "create", Key: o.Key, Kind: transport.Denied, Unknown: true, Err: errors.New("not as it was asked for")}
}

func TestDoctorEndsUploadsWhoseCreationItDidNotSee(t *testing.T) {
	for name, secret := range map[string]bool{"found and ended": false, "named where nobody may look": true} {
		t.Run(name, func(t *testing.T) {
			d, err := local.New(local.Config{Path: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			got, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d", To: deaf{patient{Destination: d, secret: secret}}}, "gw", "")
			if err != nil || got.Err() == nil {
				t.Fatalf("got %+v, %v; want a failure", got, err)
			}
			uploads := 0
			if err := d.Uploads(t.Context(), "", func(transport.Upload, time.Time) error { uploads++; return nil }); err != nil {
				t.Fatal(err)
			}
			if secret && len(got.Left) != 1 || !secret && (uploads > 0 || len(got.Left) > 0) {
				t.Errorf("%d uploads are left, named are %q", uploads, got.Left)
			}
		})
	}
}

// refusing is a destination that takes nothing.
type refusing struct {
	patient
	why   transport.Error
	calls *int
}

func (r refusing) refuse(op, key string) error {
	*r.calls++
	r.why.Op, r.why.Key = op, key
	return &r.why
}

func (r refusing) Create(_ context.Context, o transport.Object) (string, error) {
	return "", r.refuse("create", o.Key)
}

func (r refusing) Put(_ context.Context, o transport.Object, _ transport.Body) (transport.Receipt, error) {
	return transport.Receipt{}, r.refuse("put", o.Key)
}

func (r refusing) Remove(_ context.Context, key string) error {
	return &transport.Error{Op: "remove", Key: key, Kind: transport.Denied, Err: errors.New("no")}
}

func TestDoctorNamesNothingThatWasRefused(t *testing.T) {
	no := errors.New("no")
	for name, tt := range map[string]struct {
		why   transport.Error
		calls int
		tried bool // what is left, all the same
	}{
		"for what was asked":      {transport.Error{Kind: transport.Denied, Err: no}, 3, true},
		"for who asks":            {transport.Error{Kind: transport.Denied, Caller: true, Err: no}, 2, false},
		"for want of credentials": {transport.Error{Kind: transport.Temporary, Err: &transport.Error{Op: "credentials", Err: no}}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := local.New(local.Config{Path: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			got, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d", To: refusing{patient{Destination: d}, tt.why, &calls}}, "gw", "")
			if err != nil || got.Err() == nil || len(got.Left) > 0 || calls != tt.calls {
				t.Errorf("got %+v, %v after %d calls; want failures, nothing left, %d calls", got, err, calls, tt.calls)
			}
			for _, f := range got.Findings[1:] {
				if !tt.tried && !f.NotRun {
					t.Errorf("%s was tried", f.Trial)
				}
			}
		})
	}
}

func TestDoctorRefusesAKeyThatNoServerTakes(t *testing.T) {
	if _, err := engine.Diagnose(t.Context(), engine.Destination{Name: "d"}, "gw", "a//b"); err == nil || !strings.Contains(err.Error(), "doctor") {
		t.Errorf("got %v", err)
	}
}
