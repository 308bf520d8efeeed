package engine_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
)

// forgetful is a destination that says once that an upload is gone, to a part
// other than the one that it takes in the meantime.
type forgetful struct {
	transport.Destination
	mu     sync.Mutex
	said   bool
	taken  chan struct{} // closed once the other part was taken
	told   chan struct{} // closed once it was said
	parts  map[string]map[int]bool
	aborts []string
	back   string // an upload that came back
}

func (f *forgetful) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	f.mu.Lock()
	first := len(f.parts) == 0 || f.parts[u.ID] != nil && len(f.parts) == 1
	if f.parts[u.ID] == nil {
		f.parts[u.ID] = map[int]bool{}
	}
	say := first && p.Number == 2 && !f.said
	f.said = f.said || say
	f.mu.Unlock()
	if say {
		<-f.taken
		close(f.told)
		return transport.PartReceipt{}, &transport.Error{Op: "upload part", Key: u.Object.Key, Parts: []int{2}, Kind: transport.Gone, Err: errors.New("never heard of it")}
	}
	r, err := f.Destination.UploadPart(ctx, u, p, b)
	if first && p.Number == 1 {
		close(f.taken)
		<-f.told
		synctest.Wait() // what was said is written down by now
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts[u.ID][p.Number] = true
	return r, err
}

func (f *forgetful) Abort(ctx context.Context, u transport.Upload) error {
	f.mu.Lock()
	f.aborts = append(f.aborts, u.ID)
	f.mu.Unlock()
	return f.Destination.Abort(ctx, u)
}

// Complete finds that a part of the first upload came late and brought it back.
func (f *forgetful) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	var err error
	if f.back, err = f.Destination.Create(ctx, u.Object); err != nil {
		return transport.Receipt{}, err
	}
	return f.Destination.Complete(ctx, u, parts)
}

func TestAnUploadThatIsCalledGoneIsEndedAndAllOfItSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		out := filepath.Join(dir, "archive")
		to := &forgetful{Destination: newLocal(t, out), taken: make(chan struct{}), told: make(chan struct{}), parts: map[string]map[int]bool{}}
		want := numbered(20_000)
		e, err := engine.New(engine.Config{
			StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true, Workers: 2,
			Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.Block},
			Streams: []engine.Stream{{Name: "log", Source: &pipe{bytes.NewReader(want)}, Framing: hal.Framing{Kind: "lines"},
				Object: engine.Object{MaxBytes: 16 << 20, PartSize: int64(len(want)/3 + 1)}, Destination: "disk"}},
			Destinations: []engine.Destination{{Name: "disk", To: to}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := archive(t, out); !bytes.Equal(got, want) {
			t.Errorf("the archive has %d bytes that differ from the %d read", len(got), len(want))
		}
		if len(to.parts) != 2 || len(to.aborts) != 2 || to.aborts[1] != to.back {
			t.Fatalf("%d uploads got parts and %v were ended, want 2 and the first and %s", len(to.parts), to.aborts, to.back)
		}
		for id, parts := range to.parts {
			if id != to.aborts[0] && len(parts) != 3 {
				t.Errorf("the second upload got parts %v, want all 3: those of the first are not its own", parts)
			}
		}
	})
}

// unlisted is a destination that loses the reply of the first Create and then
// denies to say what it holds.
type unlisted struct {
	transport.Destination
	denials int  // to come
	caller  bool // they are for who asks
	creates int
}

func (u *unlisted) Limits() transport.Limits {
	l := u.Destination.Limits()
	l.MaxPut = 0
	return l
}

func (u *unlisted) Create(ctx context.Context, o transport.Object) (string, error) {
	id, err := u.Destination.Create(ctx, o)
	if u.creates++; u.creates == 1 && err == nil {
		return "", &transport.Error{Op: "create", Key: o.Key, Kind: transport.Offline, Unknown: true, Err: errors.New("no reply")}
	}
	return id, err
}

func (u *unlisted) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	if u.denials > 0 {
		u.denials--
		return nil, nil, &transport.Error{Op: "find", Key: key, Kind: transport.Denied, Caller: u.caller, Err: errors.New("the clock is wrong, or you may not list")}
	}
	return u.Destination.Find(ctx, key)
}

func TestOnlyWhoIsDeniedForGoodLeavesAnUploadBehind(t *testing.T) {
	for _, tt := range []struct {
		denials int
		caller  bool // else a permission is lacking
		left    int
	}{{0, false, 0}, {1, false, 0}, {100, false, 1}, {100, true, 0}} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "archive")
			to := &unlisted{Destination: newLocal(t, out), denials: tt.denials, caller: tt.caller}
			e, err := engine.New(engine.Config{
				StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true, Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1},
				Streams:      []engine.Stream{{Name: "log", Object: engine.Object{MaxBytes: 1 << 20}, Destination: "disk"}},
				Destinations: []engine.Destination{{Name: "disk", To: to}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(e.Append(t.Context(), "log", []byte("x")), e.Run(t.Context())); err != nil {
				t.Fatal(err)
			}
			var key string
			if err := engine.ReadReceipts(filepath.Join(dir, "state"), func(r engine.Receipt) error { key = r.Key; return nil }); err != nil {
				t.Fatal(err)
			}
			uploads, obj, err := to.Destination.Find(t.Context(), key)
			if err != nil || obj == nil || len(uploads) != tt.left {
				t.Errorf("denied %d times, caller %v: %d uploads left behind, object %v, %v; want %d and the object", tt.denials, tt.caller, len(uploads), obj, err, tt.left)
			}
		})
	}
}

// verbose is a destination, or a box on the way to it, whose first reply to each
// kind of call holds a text that nobody would keep.
type verbose struct {
	transport.Destination
	mu   sync.Mutex
	said map[string]bool
}

func (v *verbose) text(call, s string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.said[call] {
		return s
	}
	v.said[call] = true
	return strings.Repeat("x", 70_000)
}

func (v *verbose) Create(ctx context.Context, o transport.Object) (string, error) {
	id, err := v.Destination.Create(ctx, o)
	return v.text("create", id), err
}

func (v *verbose) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	r, err := v.Destination.UploadPart(ctx, u, p, b)
	r.ETag = v.text("part", r.ETag)
	return r, err
}

func (v *verbose) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	r, err := v.Destination.Complete(ctx, u, parts)
	r.Location = v.text("complete", r.Location)
	return r, err
}

func TestAReplyThatIsTooLongToKeepIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		out := filepath.Join(dir, "archive")
		to := &verbose{Destination: newLocal(t, out), said: map[string]bool{}}
		want := numbered(20_000)
		e, err := engine.New(engine.Config{
			StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true, Workers: 2,
			Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.Block},
			Streams: []engine.Stream{{Name: "log", Source: &pipe{bytes.NewReader(want)}, Framing: hal.Framing{Kind: "lines"},
				Object: engine.Object{MaxBytes: 16 << 20, PartSize: int64(len(want)/3 + 1)}, Destination: "disk"}},
			Destinations: []engine.Destination{{Name: "disk", To: to}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := archive(t, out); !bytes.Equal(got, want) {
			t.Errorf("the archive has %d bytes that differ from the %d read", len(got), len(want))
		}
		if len(to.said) != 3 {
			t.Errorf("only the replies to %v were too long", to.said)
		}
		s := e.Status()
		if s.Streams[0].Archived != int64(len(want)) || s.Destinations[0].PendingObjects != 0 {
			t.Errorf("%d bytes are archived, %d objects wait; want %d and 0", s.Streams[0].Archived, s.Destinations[0].PendingObjects, len(want))
		}
	})
}
