package engine

import (
	"math/rand/v2"
	"time"
)

// A spread keeps a fleet that lost one service from falling upon it when it is
// back. Each device comes back at a moment of its own, by the jitter of its
// pauses, but each has a backlog by then, and all of them together are many times
// what the service sees on a usual day. So after an outage of the service the
// waiting requests go out over a time as long as the outage: at about twice the
// usual rate, of which half is for what is new.
//
// It is not for a link that was away, which each device has for itself and must
// use while it lasts; nor longer than the service had been good before, nor
// than maxSpread.
type spread struct {
	service bool          // the failure that is not over is the service's
	over    time.Duration // spread out over so long
	until   time.Time     // the end of that
	waiting int           // requests that waited at its beginning; 0: not counted yet
	next    time.Time     // no request starts before
}

// maxSpread bounds how long an outage goes on to be felt.
const maxSpread = time.Hour

// minSpread is the shortest outage that leaves a backlog worth the care.
const minSpread = time.Minute

func (s *spread) start(now time.Time, over time.Duration, r *rand.Rand) {
	over = min(over, maxSpread)
	if until := now.Add(over); over >= minSpread && until.After(s.until) {
		// The request that found the service up was one already.
		*s = spread{over: over, until: until, next: now.Add(time.Duration(r.Int64N(int64(over) / 10)))}
	}
}

// on says whether requests are being spread out.
func (s *spread) on(now time.Time) bool { return now.Before(s.until) }

// uncounted says that a request must say how many wait before it begins.
func (s *spread) uncounted(now time.Time) bool { return s.on(now) && s.waiting == 0 }

// begin notes that a request starts while so many wait, itself included.
func (s *spread) begin(now time.Time, waiting int, r *rand.Rand) {
	if !s.on(now) {
		return
	}
	if s.waiting == 0 {
		s.waiting = max(waiting, 1)
	}
	gap := s.over / time.Duration(2*s.waiting)
	s.next = now.Add(gap/2 + time.Duration(r.Int64N(int64(gap)+1)))
}
