package engine

import (
	"errors"
	"log/slog"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// A want is what a request wants of the gate.
type want struct {
	bytes  int64 // that it may cost
	urgent bool  // it is of a stream of priority High
}

// What the requests without a body may cost, and beside its bytes one with a
// body: heads, the handshakes of a new connection, and a list or two.
const restCost = 32 << 10

// smallest is the cost of a request that needs hardly anything.
var smallest = want{bytes: restCost}

// costOf is what a request with a body of so many bytes may cost: packets of a
// small MTU, what acknowledges them, and some that are sent again.
func costOf(body int64) int64 { return body + body/10 + restCost }

// ready is the one gate that all requests to the destination pass: it is open if
// the schedule, the budgets and the pace are. If not, wait is when to ask again;
// the zero time means after the next request is done.
func (d *destination) ready(now time.Time, w want) (ok bool, wait time.Time) {
	if ok, next := d.open(now); !ok {
		if soon := now.Add(lookAgain); next.IsZero() || soon.Before(next) {
			next = soon
		}
		return false, next
	}
	if !d.meter.room(d.route(), w.bytes, w.urgent) {
		d.short = w
		return false, now.Add(lookAgain)
	}
	return d.pace.ready(now, w.urgent)
}

// lookAgain is how often clocks are asked that may have been set meanwhile.
const lookAgain = time.Minute

// begin notes that a request starts; waiting counts the requests that can.
func (d *destination) begin(now time.Time, w want, waiting func() int) (via string) {
	d.pace.begin()
	if d.pace.spread.on(now) {
		n := 0
		if d.pace.spread.uncounted(now) {
			n = waiting()
		}
		d.pace.spread.begin(now, n, d.pace.rand)
	}
	via = d.route()
	d.meter.claim(via, w)
	return via
}

// done notes how a request ended that was let through with w.
func (d *destination) done(now time.Time, w want, via string, err error) {
	d.meter.unclaim(via, w)
	d.pace.done(now, err)
}

// route is the interface that the link goes through, empty if that is not known.
func (d *destination) route() string {
	if d.cfg.Route == nil {
		return ""
	}
	return d.cfg.Route()
}

// open says whether the schedule is; if not, next is when it will be, zero if
// that cannot be foretold.
func (d *destination) open(now time.Time) (ok bool, next time.Time) {
	if len(d.cfg.Windows) == 0 {
		return true, time.Time{}
	}
	local, known := d.calendar.at(now)
	if ok, next = d.cfg.Windows.open(local, known); !next.IsZero() {
		next = next.Add(now.Sub(local))
	}
	return ok, next
}

// takes says whether the gate is open for what is not urgent, the jitter of
// spreading out aside.
func (d *destination) takes(now time.Time) bool {
	ok, _ := d.open(now)
	return ok && d.meter.room(d.route(), d.short.bytes, d.short.urgent) && !d.pace.failing
}

// link returns the state of the link.
func (d *destination) link(now time.Time) string {
	if ok, _ := d.open(now); !ok {
		return linkClosed
	}
	if !d.meter.room(d.route(), d.short.bytes, d.short.urgent) {
		return linkSpent
	}
	return d.pace.link()
}

// nextTry is when the gate opens again, as far as can be foretold; zero if it is
// open.
func (d *destination) nextTry(now time.Time) time.Time {
	if ok, next := d.open(now); !ok {
		return next
	}
	if ok, next := d.meter.wait(d.route(), d.short.bytes, d.short.urgent); !ok {
		return next
	}
	if d.pace.failing {
		return d.pace.nextTry
	}
	return time.Time{}
}

// tell says in one line that the state of the link is another than it was.
func (d *destination) tell(log *slog.Logger, now time.Time, err error) {
	state := d.link(now)
	if state == d.told {
		return
	}
	log = log.With("destination", d.cfg.Name, "was", d.told)
	if err != nil {
		log = log.With("err", err)
	}
	log.Info("link is " + state)
	d.told = state
}

// waiting counts the requests that objects for a destination wait for.
func waiting(s *wal.State, name string) (n int) {
	for _, st := range s.Streams {
		for i := range st.Objects {
			o := &st.Objects[i]
			if s.Layout(o).Destination != name {
				continue
			}
			missing := 0
			for part := 1; part <= o.NumParts(); part++ {
				if p, _, _ := s.Part(o, part); !p.Stored {
					missing++
				}
			}
			n += missing
			if missing > 1 || o.Up != nil && o.Up.ID != "" {
				n += 2 // create and complete
			}
		}
	}
	return n
}

// wantOf is what a step wants of the gate.
func (e *Engine) wantOf(s *wal.State, st *wal.StreamState, o *wal.Object, step step) want {
	w := smallest
	if step.action == actSend || step.action == actPut {
		_, from, to := s.Part(o, max(step.part, 1))
		w.bytes = costOf(to - from)
	}
	w.urgent = e.urgent(st.Name)
	return w
}

// urgent says whether a stream is of priority High.
func (e *Engine) urgent(stream string) bool { return e.rank(stream) > Normal.Rank() }

// pauseName is the name of the figure that says until when a destination asked
// to be left alone.
func pauseName(destination string) string { return "pause " + destination }

// leastKept is the shortest time that a service asks for which outlives a
// restart: less is not worth a write.
const leastKept = 10 * time.Second

// remember makes what a service asked for survive a restart. Should that fail,
// the pause ends with this process.
func (e *Engine) remember(t task, err error) {
	var te *transport.Error
	if !errors.As(err, &te) {
		return
	}
	after := min(te.RetryAfter, maxRetryAfter)
	if after < leastKept {
		return
	}
	f := wal.Fact{Kind: wal.Figure, Name: pauseName(t.dest.cfg.Name), Time: time.Now().Add(after).UnixNano()}
	if err := e.store.Commit(f); err != nil {
		e.log.Warn("a pause that was asked for would not survive a restart", "destination", t.dest.cfg.Name, "err", err)
	}
}
