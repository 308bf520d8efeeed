package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// A far destination takes its time for each body, or fails, and notes when which
// stream's was begun.
type far struct {
	transport.Destination
	takes time.Duration
	meter *engine.Meter // asked as a link does; nil: no
	fails func() error  // nil: it never does

	mu    sync.Mutex
	began []begun
}

type begun struct {
	key string
	at  time.Time
}

func (f *far) send(key string, bytes int64) error {
	f.mu.Lock()
	f.began = append(f.began, begun{key, time.Now()})
	f.mu.Unlock()
	if f.fails != nil {
		if err := f.fails(); err != nil {
			return err
		}
	}
	if f.meter != nil {
		if err := f.meter.Take("wwan0", bytes); err != nil {
			return &transport.Error{Op: "put", Key: key, Kind: transport.Offline, Err: err}
		}
	}
	time.Sleep(f.takes)
	return nil
}

func (f *far) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	if err := f.send(u.Object.Key, p.Size); err != nil {
		return transport.PartReceipt{}, err
	}
	return f.Destination.UploadPart(ctx, u, p, b)
}

func (f *far) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if err := f.send(o.Key, o.Size); err != nil {
		return transport.Receipt{}, err
	}
	return f.Destination.Put(ctx, o, b)
}

// when returns when the first body of a stream was begun, zero if none was.
func (f *far) when(stream string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.began {
		if strings.Contains(b.key, "/"+stream+"/") {
			return b.at
		}
	}
	return time.Time{}
}

func (f *far) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.began)
}

// costly is a config with streams of the three priorities.
func costly(t *testing.T, to *far, log *strings.Builder) engine.Config {
	t.Helper()
	dir := t.TempDir()
	to.Destination = newLocal(t, filepath.Join(dir, "archive"))
	c := small(dir, to, engine.Block, log)
	c.Spool.MaxBytes = 72 << 20
	c.Streams[0].Object = engine.Object{MaxBytes: 1 << 20, PartSize: 64 << 10}
	c.Streams[0].Sync.Interval = time.Second
	for name, priority := range map[string]engine.Priority{"bulk": engine.Low, "alarm": engine.High} {
		s := c.Streams[0]
		s.Name, s.Priority = name, priority
		c.Streams = append(c.Streams, s)
	}
	return c
}

func appendTo(t *testing.T, e *engine.Engine, stream string, records, size int) {
	t.Helper()
	for i := range records {
		if err := e.Append(t.Context(), stream, fmt.Appendf(nil, "%0*d\n", size-1, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Flush(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
}

func TestAnAlarmGoesOutAtOnceWhileBulkWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &far{takes: 10 * time.Second}
		var log strings.Builder
		e, err := engine.New(costly(t, to, &log))
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		appendTo(t, e, "bulk", 300, 64<<10)
		appendTo(t, e, "log", 1, 64<<10)
		time.Sleep(25 * time.Second) // the third round of parts is on its way
		if waits := e.Status().Destinations[0].PendingBytes; waits < 18<<20 {
			t.Fatalf("only %d bytes wait", waits)
		}
		now := time.Now()
		appendTo(t, e, "alarm", 1, 100)
		time.Sleep(4 * time.Second) // no part ends meanwhile
		if at := to.when("alarm"); at.IsZero() || at.Sub(now) > time.Second {
			t.Errorf("the alarm went out at %v, %v after it was made; a part takes 10s", at, at.Sub(now))
		}
		if normal := to.when("log"); normal.IsZero() {
			t.Error("a stream of normal priority waits behind all bulk")
		}
		stop()
	})
}

func TestNewestFirst(t *testing.T) {
	for _, order := range []engine.Order{engine.Oldest, engine.Newest} {
		synctest.Test(t, func(t *testing.T) {
			to := &far{takes: time.Minute}
			var log strings.Builder
			c := costly(t, to, &log)
			c.Workers, c.Streams = 1, c.Streams[:1]
			c.Streams[0].Order = order
			e, err := engine.New(c)
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, e)
			for range 4 { // the first one is on its way at once
				appendTo(t, e, "log", 1, 1000)
				synctest.Wait()
			}
			time.Sleep(10 * time.Minute)
			stop()
			var got []int
			for _, b := range to.began {
				var start int
				if _, err := fmt.Sscanf(b.key[strings.LastIndexByte(b.key, '-')+1:], "%d.log", &start); err != nil {
					t.Fatal(err)
				}
				got = append(got, start/1000)
			}
			want := "[0 1 2 3]"
			if order == engine.Newest {
				want = "[0 3 2 1]"
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s first: objects went in the order %v, want %v", order, got, want)
			}
		})
	}
}

func TestAScheduleClosesTheLinkAndOpensIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &far{}
		var log strings.Builder
		c := costly(t, to, &log)
		now := time.Now()
		opens := time.Date(now.Year(), now.Month(), now.Day()+1, 2, 0, 0, 0, now.Location())
		c.Destinations[0].Windows = engine.Windows{{From: 2 * time.Hour, To: 3 * time.Hour}}
		time.Sleep(time.Until(opens.Add(-14 * time.Hour))) // at noon
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		appendTo(t, e, "log", 1, 1000)
		time.Sleep(time.Until(opens.Add(-time.Minute)))
		if d := e.Status().Destinations[0]; d.Link != "closed" || !d.NextTry.Equal(opens) || to.count() > 0 {
			t.Errorf("before it opens: %d bodies went, link %q, next try %v; want none, closed, %v", to.count(), d.Link, d.NextTry, opens)
		}
		time.Sleep(time.Minute + time.Second)
		if d := e.Status().Destinations[0]; d.Link != "up" || to.count() != 1 || !to.when("log").Equal(opens) {
			t.Errorf("after it has opened: %d bodies went at %v, link %q", to.count(), to.when("log"), d.Link)
		}
		stop()
		if got := strings.Count(log.String(), "link is closed"); got != 1 {
			t.Errorf("the log says %d times that the link is closed:\n%s", got, log.String())
		}
	})
}

func TestABudgetStopsBulkThenAlarmsAndTheNextDayGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 20
		meter := engine.NewMeter([]engine.Budget{{Interface: "wwan*", Day: limit, Reserve: 25}})
		began := time.Now()
		meter.SetClocks(func() (time.Time, time.Duration) {
			return time.Date(2027, 1, 1, 1, 0, 0, 0, time.UTC).Add(time.Since(began)), time.Since(began)
		})
		to := &far{takes: time.Second, meter: meter}
		var log strings.Builder
		c := costly(t, to, &log)
		c.Meter, c.Destinations[0].Route = meter, func() string { return "wwan0" }
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		appendTo(t, e, "bulk", 300, 64<<10)
		time.Sleep(time.Hour)
		used := e.Status().Budgets[0].Day.Bytes
		if d := e.Status().Destinations[0]; d.Link != "over budget" || used > limit*3/4 || used < limit*3/4-200<<10 {
			t.Errorf("link %q with %d bytes used; want over budget at nearly %d", d.Link, used, limit*3/4)
		}
		bodies := to.count()
		appendTo(t, e, "alarm", 1, 100)
		time.Sleep(2 * time.Minute)
		if to.count() != bodies+1 || to.when("alarm").IsZero() {
			t.Errorf("%d bodies more, the alarm at %v; want it alone to have gone", to.count()-bodies, to.when("alarm"))
		}
		stop()
		if e, err = engine.New(c); err != nil { // a restart changes nothing
			t.Fatal(err)
		}
		stop = run(t, e)
		time.Sleep(time.Hour)
		if to.count() != bodies+1 {
			t.Errorf("%d bodies more after a restart", to.count()-bodies-1)
		}
		time.Sleep(24 * time.Hour)
		if more := to.count() - bodies; more < 20 {
			t.Errorf("%d bodies on the next day", more)
		}
		stop()
	})
}

// Before the first connection a link does not know its interface, and so nobody
// which budgets count.
func TestTheReserveHoldsWhileTheRouteIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 20
		began := time.Now()
		meter := func() *engine.Meter {
			m := engine.NewMeter([]engine.Budget{{Interface: "wwan*", Day: limit, Reserve: 25}})
			m.SetClocks(func() (time.Time, time.Duration) {
				return time.Date(2027, 1, 1, 1, 0, 0, 0, time.UTC).Add(time.Since(began)), time.Since(began)
			})
			return m
		}
		to := &far{takes: time.Second}
		var log strings.Builder
		c := costly(t, to, &log)
		for range 5 {
			boot := to.count()
			to.meter = meter()
			c.Meter, c.Destinations[0].Route = to.meter, func() string {
				if to.count() == boot {
					return ""
				}
				return "wwan0"
			}
			e, err := engine.New(c)
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, e)
			appendTo(t, e, "bulk", 100, 64<<10)
			time.Sleep(time.Hour)
			if used := e.Status().Budgets[0].Day.Bytes; used > limit*3/4 {
				t.Fatalf("bulk used %d bytes; want at most %d", used, limit*3/4)
			}
			stop()
		}
		to.meter = meter()
		c.Meter = to.meter
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		appendTo(t, e, "alarm", 1, 100)
		time.Sleep(2 * time.Minute)
		if to.when("alarm").IsZero() {
			t.Error("nothing is left for an alarm")
		}
		stop()
	})
}

func TestWhatAServiceAskedForHoldsOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &far{fails: func() error {
			return &transport.Error{Op: "put", Kind: transport.Throttled, RetryAfter: 30 * time.Minute, Err: errors.New("SlowDown")}
		}}
		var log strings.Builder
		c := costly(t, to, &log)
		start := func() (*engine.Engine, func()) {
			e, err := engine.New(c)
			if err != nil {
				t.Fatal(err)
			}
			return e, run(t, e)
		}
		e, stop := start()
		appendTo(t, e, "log", 1, 1000)
		time.Sleep(time.Minute)
		stop()
		asked := time.Now()
		e, stop = start()
		appendTo(t, e, "alarm", 1, 100)
		time.Sleep(28 * time.Minute)
		if d := e.Status().Destinations[0]; to.count() != 1 || d.Link != "throttled" || d.NextTry.Sub(asked) < 28*time.Minute {
			t.Errorf("%d tries, link %q, next try %v; want the pause to go on", to.count(), d.Link, d.NextTry)
		}
		time.Sleep(10 * time.Minute)
		if to.count() != 2 {
			t.Errorf("%d tries after the pause, want one more", to.count()-1)
		}
		stop()
	})
}

func TestAChangeOfTheNetworkEndsThePauseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away sync.Map
		away.Store("away", true)
		to := &far{fails: func() error {
			if _, ok := away.Load("away"); ok {
				return &transport.Error{Op: "put", Kind: transport.Offline, Err: errors.New("no route to host")}
			}
			return nil
		}}
		var log strings.Builder
		c := costly(t, to, &log)
		changes := make(chan struct{})
		c.Network = func(ctx context.Context, changed func()) {
			for {
				select {
				case <-changes:
					changed()
				case <-ctx.Done():
					return
				}
			}
		}
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		appendTo(t, e, "log", 1, 1000)
		for range 20 {
			time.Sleep(17 * time.Minute)
			away.Delete("away")
			now := time.Now()
			changes <- struct{}{}
			time.Sleep(time.Second)
			synctest.Wait()
			if d := e.Status().Destinations[0]; d.Link != "up" && d.Link != "poor" || d.LastSuccess.Sub(now) > time.Second {
				t.Fatalf("a second after the network was back the link is %q, the last success %v", d.Link, d.LastSuccess)
			}
			away.Store("away", true)
			appendTo(t, e, "log", 1, 1000)
		}
		stop()
	})
}
