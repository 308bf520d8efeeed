package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// unreliable is a destination behind a bad link: calls fail before they take
// effect, or take effect and then fail.
type unreliable struct {
	transport.Destination
	mu      sync.Mutex
	rand    *rand.Rand
	rate    float64
	creates map[string]int
}

// roll says whether to fail before the call, or after it.
func (u *unreliable) roll() (before, after bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := u.rand.Float64()
	return x < u.rate/2, x >= u.rate/2 && x < u.rate
}

func (u *unreliable) lost(op, key string, unknown bool) error {
	return &transport.Error{Op: op, Key: key, Kind: transport.Offline, Unknown: unknown, Err: errors.New("the link broke")}
}

func try[T any](u *unreliable, op, key string, call func() (T, error)) (T, error) {
	var none T
	before, after := u.roll()
	if before {
		return none, u.lost(op, key, false)
	}
	v, err := call()
	if after && err == nil {
		return none, u.lost(op, key, true)
	}
	return v, err
}

func (u *unreliable) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	return try(u, "put", o.Key, func() (transport.Receipt, error) { return u.Destination.Put(ctx, o, b) })
}

func (u *unreliable) Create(ctx context.Context, o transport.Object) (string, error) {
	return try(u, "create", o.Key, func() (string, error) {
		u.mu.Lock()
		u.creates[o.Key]++
		u.mu.Unlock()
		return u.Destination.Create(ctx, o)
	})
}

func (u *unreliable) UploadPart(ctx context.Context, up transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	return try(u, "upload part", up.Object.Key, func() (transport.PartReceipt, error) { return u.Destination.UploadPart(ctx, up, p, b) })
}

func (u *unreliable) Complete(ctx context.Context, up transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	return try(u, "complete", up.Object.Key, func() (transport.Receipt, error) { return u.Destination.Complete(ctx, up, parts) })
}

func (u *unreliable) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	before, _ := u.roll()
	if before {
		return nil, nil, u.lost("find", key, false)
	}
	return u.Destination.Find(ctx, key)
}

func newLocal(t *testing.T, dir string) *local.Destination {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	to, err := local.New(local.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestLostRepliesEndInExactlyOneObjectEach(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "archive")
			to := &unreliable{Destination: newLocal(t, out), rand: rand.New(rand.NewPCG(seed, 1)), rate: 0.4, creates: map[string]int{}}
			want := numbered(60_000)
			var log strings.Builder
			e, err := engine.New(engine.Config{
				StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true,
				Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.Block},
				Streams: []engine.Stream{{Name: "log", Source: &pipe{bytes.NewReader(want)}, Framing: hal.Framing{Kind: "lines"},
					Object: engine.Object{MaxBytes: 700_000, PartSize: 200_000}, Destination: "disk"}},
				Destinations: []engine.Destination{{Name: "disk", To: to}},
				Log:          slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := archive(t, out); !bytes.Equal(got, want) {
				t.Errorf("seed %d: the archive has %d bytes that differ from the %d read\n%s", seed, len(got), len(want), log.String())
			}
			for key := range to.creates {
				uploads, obj, err := to.Destination.Find(context.Background(), key)
				if err != nil || len(uploads) != 0 || obj == nil {
					t.Errorf("seed %d: %s: %d uploads left behind, object %v, %v", seed, key, len(uploads), obj, err)
				}
			}
			receipts := 0
			if err := engine.ReadReceipts(filepath.Join(dir, "state"), func(engine.Receipt) error { receipts++; return nil }); err != nil {
				t.Fatal(err)
			}
			if want := (len(want) + 699_999) / 700_000; receipts < want || receipts > want+1 {
				t.Errorf("seed %d: %d receipts, want %d", seed, receipts, want)
			}
		})
	}
}

// poisoned is a destination that answers one object's parts with an error for ever.
type poisoned struct {
	transport.Destination
	kind transport.Kind
	key  string // the first that came
	mu   sync.Mutex
}

func (p *poisoned) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	p.mu.Lock()
	if p.key == "" {
		p.key = o.Key
	}
	bad := p.key == o.Key
	p.mu.Unlock()
	if bad {
		return transport.Receipt{}, &transport.Error{Op: "put", Key: o.Key, Kind: p.kind, Unknown: true, Err: errors.New("it always fails")}
	}
	return p.Destination.Put(ctx, o, b)
}

func TestOneObjectThatAlwaysFailsStandsInNobodysWay(t *testing.T) {
	for kind := transport.Temporary; kind <= transport.Invalid; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				to := &poisoned{Destination: newLocal(t, filepath.Join(dir, "archive")), kind: kind}
				e, err := engine.New(engine.Config{
					StateDir: filepath.Join(dir, "state"), Device: "gw", Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1},
					Streams: []engine.Stream{{Name: "log", Source: &pipe{bytes.NewReader(numbered(2000))}, Framing: hal.Framing{Kind: "lines"},
						Object: engine.Object{MaxBytes: 10_000}, Destination: "disk"}},
					Destinations: []engine.Destination{{Name: "disk", To: to}},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
				defer cancel()
				go func() {
					<-time.After(100 * time.Minute)
					if s := e.Status(); s.Destinations[0].PendingObjects != 1 {
						t.Errorf("%d objects wait after 100 minutes, want the one that fails", s.Destinations[0].PendingObjects)
					}
					cancel()
				}()
				if err := e.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
