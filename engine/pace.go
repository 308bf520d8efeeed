package engine

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-7270d448/dray/transport"
)

// The states of a link, as DestinationStatus.Link shows them.
const (
	linkIdle      = "idle" // nothing was tried since start-up
	linkUp        = "up"
	linkDown      = "down"
	linkDenied    = "denied"
	linkThrottled = "throttled"
)

// maxRetryAfter bounds what a service (or a portal that poses as one) can ask
// for: a wrong header must not keep a device silent for a week.
const maxRetryAfter = time.Hour

// A pause says how long to wait after failures in a row: a uniformly random
// time between least and a ceiling that doubles from first to most. The whole
// range is drawn from (full jitter), for a fleet that lost its link in the same
// moment must not come back in the same moment.
type pause struct{ least, first, most time.Duration }

var (
	// pauseLink is for a link or service that fails by itself and heals by itself.
	pauseLink = pause{100 * time.Millisecond, time.Second, 5 * time.Minute}
	// pauseDenied is for what an operator must put right. Each try may cost a
	// lockout or a line in somebody's audit log, so it starts slow.
	pauseDenied = pause{time.Minute, 2 * time.Minute, 15 * time.Minute}
	// pauseSource is for a peripheral that is away: looking costs nothing, and
	// each second that it is back unseen loses its bytes.
	pauseSource = pause{100 * time.Millisecond, 250 * time.Millisecond, 2 * time.Second}
)

// ceilings returns the calculator of p's ceilings. It draws no jitter and never
// gives up: offline is a state, not an error count.
func (p pause) ceilings() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: p.first,
		Multiplier:      2,
		MaxInterval:     p.most,
		MaxElapsedTime:  0, // its default gives up after 15 minutes, for good
		Stop:            backoff.Stop,
		Clock:           backoff.SystemClock, // only asked for elapsed time, which is not used
	}
	b.Reset()
	return b
}

// A pace is the one gate that all requests to a destination pass, and the only
// place where retries are timed.
//
// An open gate lets every worker through. The first failure that is the link's
// or the service's closes it until nextTry. After that one request at a time
// goes through to probe, until one succeeds. Requests that were on their way
// when the gate closed count as probes too: while any is in flight no other
// starts, and what they say before nextTry does not lengthen the wait, so that
// four workers losing one link are one failure and not four.
//
// It belongs to one goroutine, has no timer and asks no clock: time is passed in.
type pace struct {
	rand *rand.Rand
	down pause // after a failure that heals by itself

	inFlight int
	failing  bool      // the last telling result was a failure: probe, do not flood
	nextTry  time.Time // nothing starts before

	pause    pause                       // in force while failing
	ceilings *backoff.ExponentialBackOff // of that pause

	state       string
	lastErr     error // of the failure that is not over yet
	lastSuccess time.Time
}

// newPace returns an open gate that draws its jitter from r.
func newPace(r *rand.Rand) *pace { return &pace{rand: r, down: pauseLink, state: linkIdle} }

// ready says whether a request may start now. If not, wait is when to ask
// again; the zero time means after the next done.
func (p *pace) ready(now time.Time) (ok bool, wait time.Time) {
	switch {
	case now.Before(p.nextTry):
		return false, p.nextTry
	case p.failing && p.inFlight > 0:
		return false, time.Time{}
	}
	return true, time.Time{}
}

// begin notes that a request starts. Each begin is followed by one done.
func (p *pace) begin() { p.inFlight++ }

// done notes how a request ended.
func (p *pace) done(now time.Time, err error) {
	p.inFlight--
	kind := transport.KindOf(err)
	switch {
	case err == nil:
		p.lastSuccess = now
		p.opened()
	case kind == transport.Corrupt:
		// The fault of flash or of the bytes on their way: nothing about the link.
	case isAnswer(kind):
		p.opened()
	default:
		p.failed(now, kind, err)
	}
}

// isAnswer says that a failure of this kind is an orderly answer about one
// object: whoever gives it is reachable and at work.
func isAnswer(k transport.Kind) bool {
	switch k {
	case transport.Gone, transport.Missing, transport.Conflict, transport.Invalid:
		return true
	}
	return false
}

// opened ends a failure. nextTry stands: a request that fails each time beside
// others that succeed would otherwise be repeated without any pause.
func (p *pace) opened() {
	p.failing, p.lastErr, p.state = false, nil, linkUp
}

func (p *pace) failed(now time.Time, kind transport.Kind, err error) {
	p.lastErr, p.state = err, linkDown
	pause := p.down
	switch kind {
	case transport.Denied:
		p.state, pause = linkDenied, pauseDenied
	case transport.Throttled:
		p.state = linkThrottled
	}

	var te *transport.Error
	var asked time.Duration
	if errors.As(err, &te) {
		asked = min(max(te.RetryAfter, 0), maxRetryAfter)
	}

	if !p.failing || pause != p.pause {
		p.pause, p.ceilings = pause, pause.ceilings()
	} else if now.Before(p.nextTry) && !now.Add(asked).After(p.nextTry) {
		return // another voice of the failure that closed the gate
	}
	p.failing = true

	// Jitter comes on top of what the service asked for: it told the same time
	// to everybody.
	wait := pause.least + time.Duration(p.rand.Int64N(int64(p.ceilings.NextBackOff()-pause.least)+1))
	if next := now.Add(asked + wait); next.After(p.nextTry) {
		p.nextTry = next
	}
}

// link returns the state of the link for status.
func (p *pace) link() string { return p.state }
