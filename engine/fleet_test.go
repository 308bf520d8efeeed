package engine

import (
	"container/heap"
	"errors"
	"flag"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

var fleetSize = flag.Int("fleet", 400, "devices in the simulation of a fleet")

// A fleet is many devices and the one service that they share, in virtual time.
// The gate before each is the engine's own; around it is what a dispatcher does:
// a new request each interval, up to four on their way at a time.
type fleet struct {
	interval time.Duration // between two requests of a device, on a usual day
	fails    error         // of requests during the outage
	takes    time.Duration // until they fail

	now     time.Duration
	rand    *rand.Rand
	devices []fleetDevice
	events  fleetEvents
	rate    []int // requests that the service saw, by the second
	waiting int
	well    time.Duration // after the outage, when hardly anything waited any more
}

type fleetDevice struct {
	gate    *destination
	waiting int
	flying  int
	wakes   time.Duration // when it looks again; 0: nothing is planned
}

// A fleetEvent is something that happens to a device.
type fleetEvent struct {
	at     time.Duration
	device int
	what   uint8
	err    error
}

const (
	fleetArrives uint8 = iota // a new request
	fleetLooks                // at the gate again
	fleetAnswers              // what came of a request
)

type fleetEvents []fleetEvent

func (e fleetEvents) Len() int           { return len(e) }
func (e fleetEvents) Less(i, j int) bool { return e[i].at < e[j].at }
func (e fleetEvents) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *fleetEvents) Push(x any)        { *e = append(*e, x.(fleetEvent)) }
func (e *fleetEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// The day of a fleet: it is well, the service is out, it is back.
const (
	fleetOut  = 2 * time.Hour
	fleetBack = 3 * time.Hour
	fleetEnd  = 6 * time.Hour
)

func (f *fleet) run(n int) {
	f.rand = rand.New(rand.NewPCG(1, 2))
	f.rate = make([]int, fleetEnd/time.Second+1)
	for i := range n {
		d := fleetDevice{gate: &destination{pace: newPace(rand.New(rand.NewPCG(uint64(i), 3)))}}
		f.devices = append(f.devices, d)
		f.after(time.Duration(f.rand.Int64N(int64(f.interval))), fleetEvent{device: i})
	}
	heap.Init(&f.events)
	for f.events[0].at < fleetEnd {
		e := heap.Pop(&f.events).(fleetEvent)
		f.now = e.at
		d := &f.devices[e.device]
		switch e.what {
		case fleetArrives:
			d.waiting++
			f.waiting++
			f.after(f.interval, fleetEvent{device: e.device})
		case fleetLooks:
			if d.wakes != e.at {
				continue // something else happened first
			}
			d.wakes = 0
		case fleetAnswers:
			d.flying--
			if e.err != nil {
				d.waiting++
				f.waiting++
			}
			d.gate.done(paceStart.Add(f.now), smallest, "", e.err)
		}
		f.dispatch(e.device, d)
	}
}

func (f *fleet) after(t time.Duration, e fleetEvent) {
	e.at = f.now + t
	heap.Push(&f.events, e)
}

func (f *fleet) dispatch(i int, d *fleetDevice) {
	now := paceStart.Add(f.now)
	for d.waiting > 0 && d.flying < 4 {
		ok, wait := d.gate.ready(now, smallest)
		if !ok {
			if at := wait.Sub(paceStart); !wait.IsZero() && at != d.wakes {
				d.wakes = at
				f.after(at-f.now, fleetEvent{device: i, what: fleetLooks})
			}
			return
		}
		d.gate.begin(now, smallest, func() int { return d.waiting })
		d.waiting--
		d.flying++
		if f.waiting--; f.well == 0 && f.now > fleetBack && f.waiting < len(f.devices)/20 {
			f.well = f.now - fleetBack
		}
		f.rate[f.now/time.Second]++
		if f.now >= fleetOut && f.now < fleetBack {
			f.after(f.takes, fleetEvent{device: i, what: fleetAnswers, err: f.fails})
		} else {
			f.after(100*time.Millisecond, fleetEvent{device: i, what: fleetAnswers})
		}
	}
}

// seen returns the mean number of requests a second from one time to another, and
// the most in any stretch of so many seconds, a second.
func (f *fleet) seen(from, to time.Duration, seconds int) (mean, most float64) {
	rate := f.rate[from/time.Second : to/time.Second]
	sum := 0
	for i, n := range rate {
		mean += float64(n) / float64(len(rate))
		if sum += n; i >= seconds {
			sum -= rate[i-seconds]
		}
		most = max(most, float64(sum)/float64(seconds))
	}
	return mean, most
}

// Steady is what the service saw in the hour before the outage. All devices lose
// it at the same moment, have an hour's requests waiting when it is back, and go
// on making new ones.
func TestAFleetThatLostItsServiceComesBackSpreadOut(t *testing.T) {
	refused := &transport.Error{Op: "put", Kind: transport.Offline, Err: syscall.ECONNREFUSED}
	failing := &transport.Error{Op: "put", Kind: transport.Temporary, Err: errors.New("status 500")}
	for _, tt := range []struct {
		name string
		f    fleet
		most float64 // times the steady rate
	}{
		{"refused, a request a minute", fleet{interval: time.Minute, fails: refused, takes: 100 * time.Millisecond}, 3},
		{"5xx, a request a minute", fleet{interval: time.Minute, fails: failing, takes: 100 * time.Millisecond}, 3},
		{"5xx, a request each 5 minutes", fleet{interval: 5 * time.Minute, fails: failing, takes: 100 * time.Millisecond}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := *fleetSize
			tt.f.run(n)
			steady, _ := tt.f.seen(time.Hour, fleetOut, 1)
			_, during := tt.f.seen(fleetOut+time.Minute, fleetBack, 60)
			// A second has so few requests that chance would rule: with fewer devices
			// more of them are taken together.
			stretch := max(1, int(300/steady))
			_, after := tt.f.seen(fleetBack, fleetEnd, stretch)
			_, minute := tt.f.seen(fleetBack, fleetEnd, 60)
			t.Logf("%d devices, steady %.1f requests/s; in the outage at most %.2f times that in a minute; after it at most %.2f times in %d s and %.2f in a minute; caught up after %v",
				n, steady, during/steady, after/steady, stretch, minute/steady, tt.f.well.Round(time.Minute))
			if after > tt.most*steady {
				t.Errorf("%.2f times the steady rate after the outage, want at most %.0f", after/steady, tt.most)
			}
			if tt.f.well == 0 {
				t.Errorf("%d requests still wait %v after the outage", tt.f.waiting, fleetEnd-fleetBack)
			}
		})
	}
}

// A link that each device has for itself is used while it lasts.
func TestALinkThatIsUpFiveMinutesAnHourIsUsedAllTheTime(t *testing.T) {
	p := testPace()
	away := &transport.Error{Kind: transport.Offline, Err: errors.New("no route to host")}
	now := paceStart
	for range 20 {
		for down := now.Add(55 * time.Minute); now.Before(down); {
			if ok, wait := p.ready(now, false); !ok {
				now = wait
				continue
			}
			p.begin()
			p.done(now, away)
		}
		back := now
		for {
			if ok, wait := p.ready(now, false); ok {
				break
			} else if now = wait; now.Sub(back) > pauseLink.most {
				t.Fatalf("the first request came %v after the link was back", now.Sub(back))
			}
		}
		for up := now.Add(5 * time.Minute); now.Before(up); now = now.Add(time.Second) {
			if ok, wait := p.ready(now, false); !ok {
				t.Fatalf("held back until %v although the link is up", wait.Sub(now))
			}
			p.begin()
			p.done(now, nil)
		}
	}
}
