package engine

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// outage lets a gate that was up for a while fail for so long, and then succeed.
func outage(t *testing.T, up, down time.Duration, err error) (*pace, time.Time) {
	t.Helper()
	p, now := testPace(), paceStart
	p.begin()
	p.done(now, nil)
	now = now.Add(up)
	p.begin()
	p.done(now, err)
	for back := now.Add(down); ; {
		if ok, wait := p.ready(now, false); !ok {
			now = wait
			continue
		}
		p.begin()
		if now.After(back) {
			p.done(now, nil)
			return p, now
		}
		p.done(now, err)
	}
}

func TestOnlyAnOutageOfTheServiceIsSpreadOut(t *testing.T) {
	tests := []struct {
		name     string
		up, down time.Duration
		err      error
		spread   bool
	}{
		{"5xx", day, time.Hour, failure(transport.Temporary), true},
		{"throttled", day, time.Hour, failure(transport.Throttled), true},
		{"refused", day, time.Hour, &transport.Error{Kind: transport.Offline, Err: syscall.ECONNREFUSED}, true},
		{"no link", day, time.Hour, failure(transport.Offline), false},
		{"a moment", day, 10 * time.Second, failure(transport.Temporary), false},
		{"hardly ever up", 10 * time.Second, time.Hour, failure(transport.Temporary), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, now := outage(t, tt.up, tt.down, tt.err)
			if got := p.spread.on(now); got != tt.spread {
				t.Errorf("spread out: got %v, want %v", got, tt.spread)
			}
		})
	}
}

func TestABacklogGoesOutOverAsLongATimeAndAlarmsAtOnce(t *testing.T) {
	const waiting = 60
	p, now := outage(t, day, time.Hour, failure(transport.Temporary))
	if now.Before(p.nextTry) {
		t.Fatalf("closed until %v", p.nextTry)
	}
	back, sent := now, 0
	for now.Sub(back) < time.Hour {
		ok, wait := p.ready(now, false)
		if !ok {
			if urgent, _ := p.ready(now, true); !urgent {
				t.Fatal("an alarm waits too")
			}
			now = wait
			continue
		}
		p.begin()
		p.spread.begin(now, waiting-sent, p.rand)
		p.done(now, nil)
		sent++
	}
	// What waited, and as much again that is new.
	if sent < 2*waiting-30 || sent > 2*waiting+30 {
		t.Errorf("%d requests in an hour, want about %d", sent, 2*waiting)
	}
	if ok, _ := p.ready(back.Add(maxSpread+time.Second), false); !ok {
		t.Error("still spread out after it is over")
	}
}

func TestALinkThatBreaksAgainAndAgainIsPoor(t *testing.T) {
	for _, tt := range []struct {
		good int // requests for each that fails
		want string
	}{{1, linkPoor}, {2, linkPoor}, {30, linkUp}} {
		p, now := testPace(), paceStart
		for range 30 {
			for range tt.good {
				p.begin()
				p.done(now, nil)
			}
			probe(t, p, &now, failure(transport.Offline))
		}
		p.begin()
		p.done(now, nil)
		if got := p.link(); got != tt.want {
			t.Errorf("%d good requests for each that fails: got %q, want %q", tt.good, got, tt.want)
		}
		for range 60 {
			p.begin()
			p.done(now, nil)
		}
		if got := p.link(); got != linkUp {
			t.Errorf("after 60 good ones: got %q, want up", got)
		}
	}
}

func TestANetworkThatComesAndGoesDoesNotMakeUsKnockAllTheTime(t *testing.T) {
	p, now := testPace(), paceStart
	probe(t, p, &now, failure(transport.Offline))
	tries := 0
	for end := now.Add(time.Minute); now.Before(end); now = now.Add(50 * time.Millisecond) {
		p.wake(now)
		if ok, _ := p.ready(now, false); ok {
			tries++
			p.begin()
			p.done(now, failure(transport.Offline))
		}
	}
	if tries < 20 || tries > 130 {
		t.Errorf("%d tries in a minute of changes, want about one a second", tries)
	}
}

func TestAChangeOfTheNetworkDoesNotShortenWhatTheServiceAskedFor(t *testing.T) {
	p, now := testPace(), paceStart
	p.begin()
	p.done(now, &transport.Error{Kind: transport.Throttled, RetryAfter: time.Minute, Err: errors.New("SlowDown")})
	p.wake(now.Add(time.Second))
	if ok, wait := p.ready(now.Add(50*time.Second), false); ok || wait.Before(now.Add(time.Minute)) {
		t.Errorf("open %v, wait until %v; want closed for a minute", ok, wait.Sub(now))
	}
}
