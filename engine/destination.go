package engine

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// destination is one configured destination and the gate before it.
type destination struct {
	cfg    Destination
	to     transport.Destination
	limits transport.Limits

	meter    *Meter // nil: no budget
	calendar *calendar

	mu       sync.Mutex // guards pace and the figures; the dispatcher alone writes them
	pace     *pace
	sent     int64 // bytes of bodies sent, since start-up
	archived int64 // bytes of finished objects, since start-up
	lastErr  string
	short    want   // what no budget had enough left for, last
	told     string // the state of the link that was logged last
	fit      fit

	gauge gauge // the dispatcher's alone
	shut  bool  // likewise: nothing may be asked of it now
}

func newDestination(c Destination, m *Meter, when *calendar) *destination {
	return &destination{cfg: c, to: c.To, limits: c.To.Limits(), meter: m, calendar: when, pace: newPace(newRand()), told: linkIdle}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

// measure takes note of how a request went, and returns what fitted before and
// fits now. Without counters of the link nothing is known of it.
func (d *destination) measure(r *result, at time.Time) (before, now fit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.fit
	if d.cfg.Link != nil {
		confirmed := int64(0)
		if r.err == nil {
			confirmed = r.sent
		}
		d.gauge.done(r.began, at, d.pace.inFlight, confirmed, d.cfg.Link())
		d.fit = d.gauge.fit()
	}
	return before, d.fit
}

// fitting is the fit as the dispatcher saw it last.
func (d *destination) fitting() fit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fit
}
