package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// The clocks of the device, nil being the kernel's, and which boot they count from.
var (
	kernel func() wal.Moment
	bootID = func() string { return readID("/proc/sys/kernel/random/boot_id") }
)

// lookAtClocks is how often the clocks are looked at while nothing else happens.
// Bytes carry the boot clock, so no time of capture depends on when a step is seen.
const lookAtClocks = 5 * time.Second

// ServerClock is what a server said: its time, and when it was heard, which has
// a monotonic reading. The zero value means that none was heard.
type ServerClock struct{ Time, Heard time.Time }

// watchClocks looks at the clocks until ctx is done.
func (e *Engine) watchClocks(ctx context.Context) {
	for sleep(ctx, lookAtClocks) {
		e.lookAtClocks()
	}
}

// lookAtClocks tells the store what the clocks say, and the servers.
func (e *Engine) lookAtClocks() {
	now := e.store.Now()
	e.observe(now, "this device's clock")
	for name, d := range e.dests {
		if d.cfg.Clock == nil {
			continue
		}
		if s := d.cfg.Clock(); !s.Time.IsZero() {
			e.observe(wal.Moment{Boot: now.Boot - time.Since(s.Heard), Wall: s.Time, Trust: wal.Told}, name)
		}
	}
	at, trust := e.time()
	e.calendar.ahead.Store(int64(at.Sub(now.Wall)))
	e.calendar.known.Store(trust > wal.Unknown)
}

// A calendar says what time it is by all that is known, for what goes by the
// wall clock. It never waits.
type calendar struct {
	ahead atomic.Int64 // of the system's clock, nanoseconds
	known atomic.Bool  // the time is
}

// at returns the time at a moment of the system's clock, and whether it is known.
func (c *calendar) at(now time.Time) (time.Time, bool) {
	return now.Add(time.Duration(c.ahead.Load())), c.known.Load()
}

func (e *Engine) observe(m wal.Moment, who string) {
	news, err := e.store.Observe(m)
	switch {
	case err != nil:
		e.log.Warn("what the clock says cannot be written down", "err", err)
	case news:
		_, trust := e.time()
		e.log.Info("the time is known", "time", m.Wall.UTC().Format(time.RFC3339), "from", who, "trust", trust.String())
	}
}

// time is what time it is by all that is known, and how far to trust that.
func (e *Engine) time() (now time.Time, trust wal.Trust) {
	boot := e.store.Now().Boot
	e.store.View(func(s *wal.State) { now, trust = s.Clock(boot) })
	return now, trust
}

// clockWait is how long an object is still held back because its time of capture
// may become known: until the boot is ClockWait old.
func (e *Engine) clockWait(s *wal.State, o *wal.Object) time.Duration {
	if o.Dropped || !s.MayLearn(o) {
		return 0
	}
	return max(e.cfg.ClockWait-e.store.Now().Boot, 0)
}

// ClockStatus says what the device knows of the time.
type ClockStatus struct {
	Trust string    `json:"trust"` // "unknown", "plausible", "told by a server", "synchronised"
	Time  time.Time `json:"time"`  // by all that is known; keys and receipts go by it
	// Ahead is how far the wall clock is ahead of Time, in seconds.
	Ahead float64 `json:"ahead_seconds"`
	// Estimated counts the objects not yet archived whose time of capture is an estimate.
	Estimated int64 `json:"estimated_objects"`
}

func (e *Engine) clockStatus() (c ClockStatus) {
	now := e.store.Now()
	e.store.View(func(s *wal.State) {
		at, trust := s.Clock(now.Boot)
		c.Trust, c.Time, c.Ahead = trust.String(), at, now.Wall.Sub(at).Round(time.Millisecond).Seconds()
		for _, st := range s.Streams {
			for i := range st.Objects {
				if o := &st.Objects[i]; !o.Dropped {
					if _, estimated := s.Captured(o); estimated {
						c.Estimated++
					}
				}
			}
		}
	})
	return c
}
