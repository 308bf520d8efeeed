package engine

import (
	"errors"
	"math/rand/v2"
	"syscall"
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
	linkPoor      = "poor"        // it carries, and breaks again and again
	linkClosed    = "closed"      // by schedule
	linkSpent     = "over budget" // too little is left for the next request
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
	// pauseLink is for a link that breaks or is away. To try costs no more than a
	// packet or two, and each moment in which it is back unseen is lost: on one that
	// breaks each 64 KiB, a pause of half a second each time would be half of all time.
	pauseLink = pause{20 * time.Millisecond, 200 * time.Millisecond, time.Minute}
	// pauseService is for a service that is reached and fails: all devices see it at
	// the same time, and must not hinder it from getting up.
	pauseService = pause{100 * time.Millisecond, time.Second, 10 * time.Minute}
	// pauseDenied is for what an operator must put right. Each try may cost a
	// lockout or a line in somebody's audit log, so it starts slow.
	pauseDenied = pause{time.Minute, 2 * time.Minute, 15 * time.Minute}
	// pauseSource is for a peripheral that is away: looking costs nothing, and
	// each second that it is back unseen loses its bytes.
	pauseSource = pause{100 * time.Millisecond, 250 * time.Millisecond, 2 * time.Second}
	// pauseFlash is for a journal or receipts that take nothing: a try costs little
	// while they refuse, and what has become of uploads is in memory alone meanwhile.
	pauseFlash = pause{100 * time.Millisecond, 250 * time.Millisecond, 10 * time.Second}
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
// place where retries are timed. What is written of objects passes one too.
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
	down *pause // after a failure that heals by itself; nil: as that was

	inFlight int
	failing  bool      // the last telling result was a failure: probe, do not flood
	nextTry  time.Time // nothing starts before

	pause    pause                       // in force while failing
	ceilings *backoff.ExponentialBackOff // of that pause
	asked    time.Time                   // until when the service asked to be left alone
	woken    time.Time                   // by a change of the network, last

	since  time.Time // when the link came up, or while failing went down
	upFor  time.Duration
	shaky  float64 // 0: it never breaks; 1: it always does
	spread spread

	state       string
	lastErr     error // of the failure that is not over yet
	lastSuccess time.Time
}

// newPace returns an open gate that draws its jitter from r.
func newPace(r *rand.Rand) *pace { return &pace{rand: r, state: linkIdle} }

// ready says whether a request may start now; urgent is one that does not wait
// its turn in a backlog. If not, wait is when to ask again; the zero time means
// after the next done.
func (p *pace) ready(now time.Time, urgent bool) (ok bool, wait time.Time) {
	switch {
	case now.Before(p.nextTry):
		return false, p.nextTry
	case p.failing && p.inFlight > 0:
		return false, time.Time{}
	case !urgent && p.spread.on(now) && now.Before(p.spread.next):
		return false, p.spread.next
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
		p.opened(now)
	case kind == transport.Corrupt, errors.Is(err, ErrOverBudget):
		// The fault of flash or of the bytes on their way, or nobody's: nothing about
		// the link.
	case isAnswer(kind):
		p.opened(now)
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
func (p *pace) opened(now time.Time) {
	if p.failing || p.since.IsZero() {
		if p.failing && p.spread.service {
			p.spread.start(now, min(now.Sub(p.since), p.upFor), p.rand)
		}
		p.since = now
	}
	p.failing, p.lastErr, p.spread.service = false, nil, false
	p.shaky *= 0.95
	if p.shaky < 0.2 || p.state != linkPoor && p.shaky < 0.4 {
		p.state = linkUp
	} else {
		p.state = linkPoor
	}
}

// wake lets the next try go at once, for the network has changed: whatever it
// was that failed may be over. What the service asked for stands.
func (p *pace) wake(now time.Time) {
	if !p.failing {
		return
	}
	next := now
	if least := p.woken.Add(time.Second); next.Before(least) {
		next = least // networks that come and go do not make us knock all the time
	}
	// A cell that comes back wakes all devices in it.
	next = next.Add(time.Duration(p.rand.Int64N(int64(time.Second / 2))))
	if next.Before(p.asked) {
		next = p.asked
	}
	p.woken, p.spread.service = now, false
	if next.Before(p.nextTry) {
		p.nextTry, p.ceilings = next, p.pause.ceilings()
	}
}

// leaveAlone goes on with what a service asked for before this start-up.
func (p *pace) leaveAlone(now, until time.Time) {
	if !until.After(now) {
		return
	}
	if latest := now.Add(maxRetryAfter); until.After(latest) {
		until = latest // the clock has changed since
	}
	p.failing, p.nextTry, p.asked, p.state = true, until, until, linkThrottled
	p.since, p.pause, p.ceilings = now, pauseService, pauseService.ceilings()
}

func (p *pace) failed(now time.Time, kind transport.Kind, err error) {
	p.lastErr, p.state = err, linkDown
	pause := pauseService
	switch {
	case kind == transport.Denied:
		p.state, pause = linkDenied, pauseDenied
	case kind == transport.Throttled:
		p.state = linkThrottled
	case kind == transport.Offline && !errors.Is(err, syscall.ECONNREFUSED):
		pause = pauseLink
	}
	if p.down != nil && kind != transport.Denied {
		pause = *p.down
	}
	p.spread.service = p.spread.service || pause == pauseService
	if !p.failing {
		p.shaky += (1 - p.shaky) / 5
		if !p.since.IsZero() {
			p.upFor = now.Sub(p.since)
		}
		p.since = now
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
	if until := now.Add(asked); asked > 0 && until.After(p.asked) {
		p.asked = until
	}

	// Jitter comes on top of what the service asked for: it told the same time
	// to everybody.
	wait := pause.least + time.Duration(p.rand.Int64N(int64(p.ceilings.NextBackOff()-pause.least)+1))
	if next := now.Add(asked + wait); next.After(p.nextTry) {
		p.nextTry = next
	}
}

// link returns the state of the link for status.
func (p *pace) link() string { return p.state }
