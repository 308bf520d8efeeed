package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// run runs e until stop is called, which waits for it.
func run(t *testing.T, e *engine.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

// small is a config of one embedded stream "log" in a spool of three slots.
func small(dir string, to transport.Destination, full engine.WhenFull, log *strings.Builder) engine.Config {
	return engine.Config{
		StateDir: filepath.Join(dir, "state"), Device: "gw",
		Spool: engine.Spool{MaxBytes: 24 << 20, MinFree: -1, WhenFull: full},
		Streams: []engine.Stream{{Name: "log", Destination: "disk", Sync: engine.Sync{Interval: 10 * time.Second},
			Object: engine.Object{MaxBytes: 8 << 20, MaxAge: 31 * 24 * time.Hour, PartSize: 4 << 10}}},
		Destinations: []engine.Destination{{Name: "disk", To: to}},
		Log:          slog.New(slog.NewTextHandler(log, nil)),
	}
}

// Each sync takes a block, so that small records fill the spool long before
// their object is full.
func TestAnOpenObjectThatFillsTheSpoolIsEndedAndNothingStandsStill(t *testing.T) {
	for _, full := range []engine.WhenFull{engine.Block, engine.DropOldest} {
		t.Run(string(full), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				var log strings.Builder
				e, err := engine.New(small(dir, newLocal(t, filepath.Join(dir, "archive")), full, &log))
				if err != nil {
					t.Fatal(err)
				}
				stop := run(t, e)
				var want bytes.Buffer
				ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
				defer cancel()
				for i := range 6500 {
					rec := fmt.Appendf(nil, "%06d some words\n", i)
					if err := e.Append(ctx, "log", rec); err != nil {
						t.Fatalf("append %d: %v\n%s", i, err, log.String())
					}
					want.Write(rec)
					for e.Sync(ctx, "log") != nil {
						if ctx.Err() != nil {
							t.Fatalf("record %d cannot be kept: %+v\n%s", i, e.Status().Spool, log.String())
						}
						time.Sleep(time.Second)
					}
				}
				if err := e.Flush(ctx, "log"); err != nil {
					t.Fatal(err)
				}
				for s := e.Status().Streams[0]; s.Archived < s.Kept; s = e.Status().Streams[0] {
					if ctx.Err() != nil {
						t.Fatalf("not archived: %+v\n%s", s, log.String())
					}
					time.Sleep(time.Second)
				}
				stop()
				if got := archive(t, filepath.Join(dir, "archive")); !bytes.Equal(got, want.Bytes()) {
					t.Errorf("the archive has %d bytes that differ from the %d appended\n%s", len(got), want.Len(), log.String())
				}
			})
		})
	}
}

// away is a destination that cannot be reached while it is down.
type away struct {
	transport.Destination
	down    bool
	unknown bool // what came of a call is not to be told
}

func (a *away) gone(op string) error {
	if a.down {
		return &transport.Error{Op: op, Kind: transport.Offline, Unknown: a.unknown, Err: errors.New("no route")}
	}
	return nil
}

func (a *away) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if err := a.gone("put"); err != nil {
		return transport.Receipt{}, err
	}
	return a.Destination.Put(ctx, o, b)
}

func (a *away) Create(ctx context.Context, o transport.Object) (string, error) {
	if err := a.gone("create"); err != nil {
		return "", err
	}
	return a.Destination.Create(ctx, o)
}

func (a *away) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	if err := a.gone("find"); err != nil {
		return nil, nil, err
	}
	return a.Destination.Find(ctx, key)
}

// Space comes back in whole slots: an object in the slot that its stream still
// writes would be given up for nothing, and many small ones go at once.
func TestAFullSpoolDropsTheOldestSlotAndNothingInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		to := &away{Destination: newLocal(t, filepath.Join(dir, "archive")), down: true}
		c := small(dir, to, engine.DropOldest, &log)
		c.Spool.MaxBytes, c.Streams[0].Object.PartSize = 48<<20, 1<<20
		c.Streams = append(c.Streams, c.Streams[0])
		c.Streams[1].Name = "slow"
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		flush := func(stream string, rec []byte) {
			t.Helper()
			if err := e.Append(t.Context(), stream, rec); err != nil {
				t.Fatal(err)
			}
			for tries := 0; e.Flush(t.Context(), stream) != nil; tries++ {
				if tries > 10 {
					t.Fatalf("no room is made: %+v\n%s", e.Status().Spool, log.String())
				}
				time.Sleep(time.Second)
			}
		}
		for range 3 {
			flush("slow", []byte("few and far between\n"))
		}
		const n, slot = 105, 20 // so many of these records fit in a slot; there are six, one of them the slow one's
		for range n {
			flush("log", make([]byte, 400_000))
		}
		stop()
		to.down = false
		e, err = engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop = run(t, e)
		for {
			s := e.Status()
			if s.Destinations[0].PendingObjects == 0 {
				break
			}
			time.Sleep(time.Second)
		}
		stop()
		var kept, dropped, slow int
		err = engine.ReadReceipts(c.StateDir, func(r engine.Receipt) error {
			switch {
			case r.Stream == "slow" && r.Dropped == "":
				slow++
			case r.Stream == "log" && r.Dropped == "":
				kept++
			default:
				dropped++
			}
			return nil
		})
		if err != nil || slow != 3 || kept+dropped != n || dropped != slot {
			t.Errorf("%d of 3 slow objects archived; %d of the others, %d dropped; want 3, and one slot's %d dropped: %v", slow, kept, dropped, slot, err)
		}
	})
}

// A call that certainly had no effect puts nothing in doubt, and one link puts
// few objects in doubt. Else each look for a link that is down for long would
// make one more object that cannot give way.
func TestALongOutageDropsTheOldestAndNeverStandsStill(t *testing.T) {
	t.Run("no effect", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { longOutage(t, false) }) })
	t.Run("in doubt", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { longOutage(t, true) }) })
}

func longOutage(t *testing.T, unknown bool) {
	dir := t.TempDir()
	var log strings.Builder
	to := &away{Destination: newLocal(t, filepath.Join(dir, "archive")), down: true, unknown: unknown}
	c := small(dir, to, engine.DropOldest, &log)
	c.Spool.MaxBytes, c.Streams[0].Object.PartSize = 48<<20, 1<<20
	e, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, e)
	const n = 150
	for i := range n {
		if err := e.Append(t.Context(), "log", make([]byte, 900_000)); err != nil {
			t.Fatal(err)
		}
		for tries := 0; e.Flush(t.Context(), "log") != nil; tries++ {
			if tries > 10 {
				t.Fatalf("object %d finds no room: %+v", i, e.Status().Spool)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
	}
	stop()
	to.down = false
	if e, err = engine.New(c); err != nil {
		t.Fatal(err)
	}
	stop = run(t, e)
	for e.Status().Destinations[0].PendingObjects > 0 {
		time.Sleep(time.Second)
	}
	stop()
	archived, last := 0, int64(0)
	err = engine.ReadReceipts(c.StateDir, func(r engine.Receipt) error {
		if r.Dropped == "" {
			archived++
			last = max(last, r.End)
		}
		return nil
	})
	if err != nil || last != n*900_000 || archived < 40 {
		t.Errorf("%d objects archived, the last ends at %d; want at least 40, %d: %v", archived, last, n*900_000, err)
	}
}
