package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport"
)

var paceStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testPace() *pace { return newPace(rand.New(rand.NewPCG(1, 2))) }

func failure(k transport.Kind) error {
	return &transport.Error{Op: "upload part", Kind: k, Err: errors.New("no route")}
}

// probe fails the next allowed request and returns the pause that follows.
func probe(t *testing.T, p *pace, now *time.Time, err error) time.Duration {
	t.Helper()
	if ok, wait := p.ready(*now, false); !ok {
		t.Fatalf("gate is closed until %v at %v", wait, *now)
	}
	p.begin()
	p.done(*now, err)
	ok, wait := p.ready(*now, false)
	if ok {
		t.Fatalf("gate is open after %v", err)
	}
	d := wait.Sub(*now)
	*now = wait
	return d
}

func TestPausesDoubleUpToTheCapAndUseTheWholeRange(t *testing.T) {
	tests := []struct {
		kind  transport.Kind
		pause pause
		link  string
	}{
		{transport.Temporary, pauseService, "down"},
		{transport.Offline, pauseLink, "down"},
		{transport.Throttled, pauseService, "throttled"},
		{transport.Denied, pauseDenied, "denied"},
	}
	for _, tt := range tests {
		t.Run(tt.kind.String(), func(t *testing.T) {
			p, now, ceiling := testPace(), paceStart, tt.pause.first
			var low, high int
			for i := range 400 {
				d := probe(t, p, &now, failure(tt.kind))
				if d < tt.pause.least || d > ceiling {
					t.Fatalf("pause %d: got %v, want %v to %v", i, d, tt.pause.least, ceiling)
				}
				switch span := ceiling - tt.pause.least; {
				case d < tt.pause.least+span/4:
					low++
				case d > ceiling-span/4:
					high++
				}
				ceiling = min(2*ceiling, tt.pause.most)
			}
			// A quarter of 400 is 100; the seed is fixed, the bounds are wide.
			if low < 60 || high < 60 {
				t.Errorf("jitter does not spread: %d in the lowest quarter, %d in the highest", low, high)
			}
			if got := p.link(); got != tt.link {
				t.Errorf("link: got %q, want %q", got, tt.link)
			}
		})
	}
}

func TestTwoDevicesDoNotComeBackTogether(t *testing.T) {
	a, b := newPace(rand.New(rand.NewPCG(1, 1))), newPace(rand.New(rand.NewPCG(2, 2)))
	nowA, nowB := paceStart, paceStart
	if x, y := probe(t, a, &nowA, failure(transport.Offline)), probe(t, b, &nowB, failure(transport.Offline)); x == y {
		t.Errorf("both pause %v", x)
	}
}

func TestWorkersThatLoseOneLinkAreOneFailure(t *testing.T) {
	p, now := testPace(), paceStart
	for range 4 {
		if ok, _ := p.ready(now, false); !ok {
			t.Fatal("an open gate held a worker back")
		}
		p.begin()
	}
	p.done(now, failure(transport.Offline))
	_, want := p.ready(now, false)
	for range 3 {
		p.done(now, failure(transport.Offline))
	}
	if _, got := p.ready(now, false); !got.Equal(want) {
		t.Errorf("next try: got %v, want %v: the same failure was counted again", got, want)
	}
}

func TestOnlyOneProbeAtATimeWhileFailing(t *testing.T) {
	p, now := testPace(), paceStart
	probe(t, p, &now, failure(transport.Offline))
	if ok, _ := p.ready(now, false); !ok {
		t.Fatal("no probe after the pause")
	}
	p.begin()
	if ok, wait := p.ready(now.Add(time.Hour), false); ok || !wait.IsZero() {
		t.Errorf("with a probe in flight: got %v, %v; want false and no time", ok, wait)
	}
	p.done(now, nil)
	for i := range 4 {
		if ok, _ := p.ready(now, false); !ok {
			t.Fatalf("worker %d held back after a probe succeeded", i)
		}
		p.begin()
	}
}

func TestRequestsStillInFlightAreTheProbe(t *testing.T) {
	p, now := testPace(), paceStart
	p.begin()
	p.begin()
	p.done(now, failure(transport.Offline))
	later := now.Add(time.Minute)
	if ok, wait := p.ready(later, false); ok || !wait.IsZero() {
		t.Errorf("beside a straggler: got %v, %v; want false and no time", ok, wait)
	}
	p.done(later, nil)
	if ok, _ := p.ready(later, false); !ok {
		t.Error("the straggler's success did not open the gate")
	}
}

func TestSuccessStartsTheBackoffAnew(t *testing.T) {
	p, now := testPace(), paceStart
	for range 20 {
		probe(t, p, &now, failure(transport.Offline))
	}
	p.begin()
	p.done(now, nil)
	if got := p.link(); got != "up" {
		t.Errorf("link: got %q, want up", got)
	}
	if p.lastErr != nil || !p.lastSuccess.Equal(now) {
		t.Errorf("after success: lastErr %v, lastSuccess %v", p.lastErr, p.lastSuccess)
	}
	if d := probe(t, p, &now, failure(transport.Offline)); d > pauseLink.first {
		t.Errorf("first pause after a success: got %v, want at most %v", d, pauseLink.first)
	}
}

func TestASuccessBesideAFailureDoesNotSkipItsPause(t *testing.T) {
	p, now := testPace(), paceStart
	p.begin()
	p.begin()
	p.done(now, failure(transport.Temporary))
	p.done(now, nil)
	if ok, wait := p.ready(now, false); ok || wait.Sub(now) < pauseLink.least {
		t.Errorf("got %v, %v: the failed request would be repeated at once", ok, wait)
	}
}

func TestRetryAfterIsHonouredAndBounded(t *testing.T) {
	tests := []struct{ asked, least, most time.Duration }{
		{-time.Minute, 0, time.Second},
		{0, 0, time.Second},
		{30 * time.Second, 30 * time.Second, 31 * time.Second},
		{300 * time.Hour, time.Hour, time.Hour + time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.asked.String(), func(t *testing.T) {
			p, now := testPace(), paceStart
			err := &transport.Error{Op: "put", Kind: transport.Throttled, RetryAfter: tt.asked}
			if d := probe(t, p, &now, fmt.Errorf("wrapped: %w", err)); d < tt.least || d > tt.most {
				t.Errorf("pause: got %v, want %v to %v", d, tt.least, tt.most)
			}
		})
	}
}

func TestAStragglersRetryAfterLengthensTheWait(t *testing.T) {
	p, now := testPace(), paceStart
	p.begin()
	p.begin()
	p.done(now, failure(transport.Temporary))
	p.done(now, &transport.Error{Kind: transport.Throttled, RetryAfter: time.Minute})
	if _, wait := p.ready(now, false); wait.Sub(now) < time.Minute {
		t.Errorf("wait: got %v, want at least a minute", wait.Sub(now))
	}
}

func TestWhatIsNotTheLinksFaultKeepsTheGateOpen(t *testing.T) {
	for _, k := range []transport.Kind{transport.Corrupt, transport.Missing, transport.Gone, transport.Conflict, transport.Invalid} {
		t.Run(k.String(), func(t *testing.T) {
			p := testPace()
			p.begin()
			p.done(paceStart, failure(k))
			if ok, wait := p.ready(paceStart, false); !ok {
				t.Errorf("gate closed until %v", wait)
			}
		})
	}
}

func TestBadFlashDoesNotProveTheLink(t *testing.T) {
	p, now := testPace(), paceStart
	if got := p.link(); got != "idle" {
		t.Errorf("link before anything was tried: got %q, want idle", got)
	}
	probe(t, p, &now, failure(transport.Offline))
	p.begin()
	p.done(now, failure(transport.Corrupt))
	if got := p.link(); got != "down" {
		t.Errorf("link: got %q, want down", got)
	}
}

// Whatever happens, the gate never stays closed longer than the longest pause,
// and never lets two probes out.
func TestGateIsNeverWedgedAndNeverFloods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPace(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		now, failing, inFlight := paceStart, false, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "pass")))
			ok, wait := p.ready(now, false)
			if limit := maxRetryAfter + pauseDenied.most; wait.Sub(now) > limit {
				t.Fatalf("closed for %v, want at most %v", wait.Sub(now), limit)
			}
			if !ok && wait.IsZero() && inFlight == 0 {
				t.Fatal("closed for ever: nothing in flight and no time to wait for")
			}
			if ok && failing && inFlight > 0 {
				t.Fatal("a second probe")
			}
			if ok && rapid.Bool().Draw(t, "begin") {
				p.begin()
				inFlight++
			}
			if inFlight > 0 && rapid.Bool().Draw(t, "done") {
				inFlight--
				kind := transport.Kind(rapid.IntRange(-1, int(transport.Invalid)).Draw(t, "kind"))
				var err error
				if kind <= transport.Invalid {
					err = &transport.Error{Kind: kind, RetryAfter: time.Duration(rapid.Int64().Draw(t, "after"))}
				}
				p.done(now, err)
				switch {
				case err == nil || isAnswer(kind):
					failing = false
				case kind != transport.Corrupt:
					failing = true
				}
			}
		}
	})
}
