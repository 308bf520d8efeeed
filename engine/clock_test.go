package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/wal"
)

// wrongClock is a device's clocks: the boot clock runs with the bubble's time,
// the wall clock shows what it was set to.
type wrongClock struct {
	mu     sync.Mutex
	boots  int
	booted time.Time     // in the bubble's time
	off    time.Duration // of the wall clock, from the truth
	trust  wal.Trust
}

// A bubble's time begins in the year 2000; the truth is later.
var shift = time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))

func newWrongClock(t *testing.T) *wrongClock {
	c := &wrongClock{booted: time.Now()}
	t.Cleanup(engine.SetClocks(func() wal.Moment {
		c.mu.Lock()
		defer c.mu.Unlock()
		return wal.Moment{Boot: time.Since(c.booted), Wall: c.right().Add(c.off), Trust: c.trust}
	}, func() string { return fmt.Sprint("boot ", c.boots) }))
	return c
}

// right is what time it really is.
func (c *wrongClock) right() time.Time { return time.Now().Add(shift).UTC() }

func (c *wrongClock) set(off time.Duration, trust wal.Trust) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off, c.trust = off, trust
}

// reboot begins a boot with the clock in the year 1970.
func (c *wrongClock) reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boots++
	c.booted, c.off, c.trust = time.Now(), time.Unix(0, 0).Sub(c.right()), wal.Unknown
}

type clocked struct {
	*testing.T
	*wrongClock
	*engine.Engine
	c    engine.Config
	to   *local.Destination
	stop func()
}

func newClocked(t *testing.T) *clocked {
	d := &clocked{T: t, wrongClock: newWrongClock(t)}
	dir := t.TempDir()
	var log strings.Builder
	d.to = newLocal(t, filepath.Join(dir, "archive"))
	d.c = small(dir, d.to, engine.DropOldest, &log)
	d.c.Streams[0].Object.MaxAge = time.Hour
	d.c.Streams[0].Key = "{yyyy}-{mm}-{dd}T{hh}/{epoch}-{start}"
	d.start()
	return d
}

func (d *clocked) start() {
	d.Helper()
	e, err := engine.New(d.c)
	if err != nil {
		d.Fatal(err)
	}
	d.Engine, d.stop = e, run(d.T, e)
}

// capture appends a record a minute, for so long. A record says when it was captured.
func (d *clocked) capture(long time.Duration) {
	d.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(time.Minute) {
		if err := d.Append(d.Context(), "log", fmt.Appendf(nil, "%s\n", d.right().Format(time.RFC3339))); err != nil {
			d.Fatal(err)
		}
	}
	synctest.Wait()
}

func (d *clocked) receipts() (list []engine.Receipt) {
	d.Helper()
	if err := engine.ReadReceipts(d.c.StateDir, func(r engine.Receipt) error { list = append(list, r); return nil }); err != nil {
		d.Fatal(err)
	}
	return list
}

func TestAnObjectWaitsForTheClockAndIsFiledWhereItBelongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newClocked(t)
		d.reboot()
		d.stop()
		d.start()
		began := d.right()
		d.capture(5 * time.Minute)
		if err := d.Flush(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		d.capture(3 * time.Minute)
		if r := d.receipts(); len(r) > 0 {
			t.Fatalf("it did not wait: %+v", r)
		}
		if s := d.Status().Clock; s.Trust != "unknown" || s.Estimated != 2 {
			t.Errorf("status %+v", s)
		}
		d.set(0, wal.Synced)
		time.Sleep(time.Minute)
		r := d.receipts()
		if len(r) != 1 || r[0].Estimated || !r[0].FirstTime.Equal(began) || !strings.HasPrefix(r[0].Key, "2026-11-26T10/") {
			t.Errorf("captured at %v, receipts %+v", began, r)
		}
		if s := d.Status().Clock; s.Trust != "synchronised" || s.Estimated != 0 || !s.Time.Equal(d.right()) || s.Ahead != 0 {
			t.Errorf("status %+v", s)
		}
		d.stop()
	})
}

func TestABootThatNeverLearnsTheTimeArchivesUnderAMarkedEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newClocked(t)
		d.set(0, wal.Synced)
		d.capture(2 * time.Hour)
		known := d.right()
		d.stop()
		time.Sleep(100 * 24 * time.Hour) // nobody knows for how long it was off
		d.reboot()
		d.start()
		d.capture(9 * time.Minute)
		if err := d.Flush(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := len(d.receipts())
		d.capture(3 * time.Minute) // the ten minutes are over
		list := d.receipts()
		if len(list) != before+1 {
			t.Fatalf("%d receipts behind %d", len(list), before)
		}
		// What was open when it went off was captured while the clock was known.
		last := list[len(list)-1]
		if late := last.FirstTime.Sub(known); late.Abs() > time.Hour {
			t.Errorf("filed %v from the last known time", late)
		}
		if _, err := find(t.Context(), d.to, last.Key); err != nil {
			t.Fatal(err)
		}
		for _, r := range list[:before] {
			if r.Estimated {
				t.Errorf("marked, though the clock was known: %+v", r)
			}
		}
		d.capture(2 * time.Hour)
		list = d.receipts()
		last = list[len(list)-1]
		obj, err := find(t.Context(), d.to, last.Key)
		if err != nil {
			t.Fatal(err)
		}
		if !last.Estimated || obj["dray-time-estimated"] != "true" {
			t.Errorf("not marked: %+v, metadata %v", last, obj)
		}
		d.stop()
	})
}

func find(ctx context.Context, to *local.Destination, key string) (map[string]string, error) {
	_, obj, err := to.Find(ctx, key)
	if obj == nil {
		return nil, fmt.Errorf("%s: not there: %w", key, err)
	}
	return obj.Metadata, nil
}

// However the wall clock is stepped, objects end when they are an hour old and
// are filed, in order, where they belong.
func TestStepsOfTheClockMoveNoObject(t *testing.T) {
	const year = 365 * 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		d := newClocked(t)
		d.reboot()
		d.stop()
		d.start()
		for _, step := range []struct {
			off   time.Duration
			trust wal.Trust
		}{{time.Unix(0, 0).Sub(d.right()), wal.Unknown}, {0, wal.Synced}, {-time.Hour, wal.Unknown}, {year, wal.Unknown}, {-56 * year, wal.Unknown}, {0, wal.Synced}} {
			d.set(step.off, step.trust)
			d.capture(150 * time.Minute)
		}
		if err := d.Flush(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		list := d.receipts()
		if len(list) < 14 || len(list) > 16 {
			t.Errorf("%d objects of an hour in 15 hours", len(list))
		}
		var at int64
		var guesses int
		for _, r := range list {
			if r.Start != at {
				t.Errorf("an object begins at %d, the one before it ended at %d", r.Start, at)
			}
			at = r.End
			if r.Estimated { // captured before the clock was known, and waited its ten minutes
				guesses++
				continue
			}
			minute := r.Start / int64(len("2026-11-26T10:00:00Z\n")) // a record each
			want := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute)
			if late := r.FirstTime.Sub(want).Abs(); late > time.Minute || !strings.HasPrefix(r.Key, r.FirstTime.Format("2006-01-02T15/")) {
				t.Errorf("%s, %v from when its first record was captured", r.Key, late)
			}
		}
		if guesses != 2 {
			t.Errorf("%d objects under an estimate, want the 2 of the first 2 h", guesses)
		}
		d.stop()
	})
}
