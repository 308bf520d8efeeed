package engine

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// objectID names an object: its stream in the store, and its start.
type objectID struct {
	stream uint32
	start  int64
}

// flight is what is being done to an object.
type flight struct {
	parts map[int]bool // on their way
	alone bool         // an action that suffers no other beside it
}

// held is the patience with one object.
type held struct {
	*pace
	fails  int    // in a row
	link   bool   // the last one was for want of a connection
	denied int    // of those, the last ones that were Denied
	told   string // why, as the log was told last
}

// dispatcher hands out the next steps. Everything in it belongs to one goroutine.
type dispatcher struct {
	e       *Engine
	flights map[objectID]*flight
	held    map[objectID]*held // objects that failed
	rotten  rotten             // objects whose bytes could not be read
	running int
	turn    int // stream that is looked at first: each in turn
	results chan result
	flash   *pace // the gate before the journal and the receipts

	doubts map[*destination]doubt // of each destination whose link fails
}

// doubt counts the objects that a failing link has left in doubt, and how often
// they failed.
type doubt struct{ objects, fails int }

// enough says that the next tries are for those that are in doubt already, since
// what is in doubt cannot give way when the spool is full. It is never so for
// good: it may be they that always fail, and not the link.
func (t doubt) enough() bool { return t.objects >= 8 && t.fails < t.objects*t.objects*t.objects }

// dispatch runs steps until ctx is done, and returns when all workers have.
func (e *Engine) dispatch(ctx context.Context) {
	d := &dispatcher{e: e, flights: map[objectID]*flight{}, held: map[objectID]*held{}, rotten: rotten{}, results: make(chan result), flash: newPace(newRand())}
	d.flash.down = &pauseFlash
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if e.full.Swap(false) {
			d.makeRoom()
		}
		e.lookAtClocks() // before keys are fixed
		if e.network.Swap(false) {
			d.wakeUp(time.Now())
		}
		if err := e.cfg.Meter.keep(); err != nil {
			e.log.Warn("that the clock was set could not be kept", "err", err)
		}
		tasks, again := d.plan(time.Now())
		for _, t := range tasks {
			d.running++
			go func() { d.results <- e.work(ctx, t) }()
		}
		if again.IsZero() {
			again = time.Now().Add(time.Hour)
		}
		timer.Reset(time.Until(again))
		select {
		case r := <-d.results:
			d.settle(r)
		case <-e.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for d.running > 0 {
		d.settle(<-d.results)
	}
}

// plan picks the steps that can start now, those of the streams that matter most
// first, and says when to look again if nothing happens until then; the zero time means never.
func (d *dispatcher) plan(now time.Time) (tasks []task, again time.Time) {
	later := func(t time.Time) {
		if !t.IsZero() && (again.IsZero() || t.Before(again)) {
			again = t
		}
	}
	d.e.store.View(func(s *wal.State) {
		d.turn++
		d.countDoubts(s)
		d.shut(now, later)
		// A link that fails is probed with objects that have not failed before
		// those that have: it may be they, and not the link.
		streams := d.order(s)
		for _, again := range []bool{false, true} {
			for _, st := range streams {
				newest := d.e.newestFirst(st.Name)
				var dest *destination
				refused := false // what is refused to one of a stream's objects is to those behind it
				name := "\x00"   // that dest has; a hundred thousand objects in a row have the same
				for j := range st.Objects {
					if d.busy(tasks, st) {
						return
					}
					o := &st.Objects[j]
					if newest {
						o = &st.Objects[len(st.Objects)-1-j]
					}
					if l := s.Layout(o).Destination; l != name {
						name, dest, refused = l, d.e.dests[l], false
					}
					if dest == nil || (dest.shut || refused) && !inHand(o) {
						continue // it is not configured any more, and the bytes are kept; or nothing may be asked of it
					}
					if suspect := dest.pace.failing && d.held[objectID{st.ID, o.Start}] != nil; suspect == again {
						var no bool
						tasks, no = d.object(tasks, s, st, o, dest, now, later)
						refused = refused || no
					}
				}
			}
		}
	})
	for _, dest := range d.e.dests { // not before: a log that takes its time must not hold up the state
		dest.mu.Lock()
		dest.tell(d.e.log, now, nil)
		dest.mu.Unlock()
	}
	return tasks, again
}

// busy says that all workers are, those for a stream's objects.
func (d *dispatcher) busy(tasks []task, st *wal.StreamState) bool {
	return d.running+len(tasks) >= d.e.cfg.Workers+d.beside(st)
}

// beside is how many workers more there are for a stream: one, if it is urgent, so
// that an alarm need not wait for a part of something else. On a slow link that
// may take hours.
func (d *dispatcher) beside(st *wal.StreamState) int {
	if d.e.urgent(st.Name) {
		return 1
	}
	return 0
}

// shut finds the destinations of which nothing at all may be asked now, so that
// what waits for them need not be looked at, object by object.
func (d *dispatcher) shut(now time.Time, later func(time.Time)) {
	least := smallest
	least.urgent = true
	for _, dest := range d.e.dests {
		dest.mu.Lock()
		ok, at := dest.ready(now, least)
		if dest.shut = !ok; dest.shut {
			later(at)
		}
		dest.mu.Unlock()
	}
}

// inHand says that what is left to do for an object is up to this device.
func inHand(o *wal.Object) bool { return o.Dropped || o.Up != nil && o.Up.Done != nil }

// order returns the streams that matter most first, each in turn among its equals.
func (d *dispatcher) order(s *wal.State) []*wal.StreamState {
	list := make([]*wal.StreamState, 0, len(s.Streams))
	for i := range s.Streams {
		list = append(list, s.Streams[(i+d.turn)%len(s.Streams)])
	}
	sort.SliceStable(list, func(i, j int) bool { return d.e.rank(list[i].Name) > d.e.rank(list[j].Name) })
	return list
}

// newestFirst says whether the newest objects of a stream go before older ones.
func (e *Engine) newestFirst(name string) bool {
	st, err := e.stream(name)
	return err == nil && st.cfg.Order == Newest
}

func (d *dispatcher) countDoubts(s *wal.State) {
	d.doubts = map[*destination]doubt{}
	for _, dest := range d.e.dests {
		if dest.pace.failing {
			d.doubts[dest] = doubt{}
		}
	}
	if len(d.doubts) == 0 {
		return
	}
	for _, st := range s.Streams {
		for i := range st.Objects {
			o := &st.Objects[i]
			if !inDoubt(o) || o.Up.Done != nil {
				continue
			}
			dest := d.e.dests[s.Layout(o).Destination]
			t, failing := d.doubts[dest]
			if !failing {
				continue
			}
			t.objects++
			if h := d.held[objectID{st.ID, o.Start}]; h != nil {
				t.fails += h.fails
			}
			d.doubts[dest] = t
		}
	}
}

// object adds the steps for one object that can start now. refused says that the
// gate did not let one through.
func (d *dispatcher) object(tasks []task, s *wal.State, st *wal.StreamState, o *wal.Object, dest *destination, now time.Time, later func(time.Time)) (_ []task, refused bool) {
	id := objectID{st.ID, o.Start}
	if h := d.held[id]; h != nil {
		if ok, at := h.ready(now, true); !ok {
			later(at)
			return tasks, false
		}
	}
	if wait := d.e.clockWait(s, o); wait > 0 {
		later(now.Add(wait))
		return tasks, false
	}
	for !d.busy(tasks, st) {
		fl := d.flights[id]
		if fl != nil && fl.alone {
			return tasks, false
		}
		lost := d.rotten.proven(id)
		writes, at := d.flash.ready(now, true)
		later(at)
		step := next(s, o, dest.limits, dest.fit, func(n int) bool { return fl != nil && fl.parts[n] }, lost != nil, !writes)
		if step.action == actWait || step.action.alone() && fl != nil {
			return tasks, false
		}
		if !writes && !mutely(step.action, dest.limits, s, st, o) {
			return tasks, false
		}
		if (step.action == actPut || step.action == actComplete) && d.doubts[dest].enough() && !inDoubt(o) {
			return tasks, false
		}
		want, via := d.e.wantOf(s, st, o, step), ""
		if step.action.remote() {
			dest.mu.Lock()
			ok, at := dest.ready(now, want)
			ok = ok && dest.pace.inFlight < dest.fit.workers(dest.limits, d.e.cfg.Workers)+d.beside(st)
			if ok {
				via = dest.begin(now, want, func() int { return waiting(s, dest.cfg.Name) })
				dest.shut = dest.pace.failing // one probe at a time
			}
			dest.mu.Unlock()
			if !ok {
				later(at)
				return tasks, true
			}
		}
		if fl == nil {
			fl = &flight{parts: map[int]bool{}}
			d.flights[id] = fl
		}
		fl.alone = step.action.alone()
		if step.action == actSend {
			fl.parts[step.part] = true
		}
		t := d.e.newTask(s, st, o, dest, step)
		t.lost, t.mute = lost, !writes
		t.want, t.via = want, via
		if h := d.held[id]; h != nil {
			t.denied = h.denied
		}
		tasks = append(tasks, t)
	}
	return tasks, false
}

// settle takes in what a worker brought home. The facts are journalled already.
func (d *dispatcher) settle(r result) {
	d.running--
	fl := d.flights[r.id]
	fl.alone = false
	delete(fl.parts, r.step.part)
	if len(fl.parts) == 0 {
		delete(d.flights, r.id)
	}
	now := time.Now()
	d.rotten.learn(r, now)
	d.settleFlash(now, &r)
	switch {
	case r.err != nil && !errors.Is(r.err, r.local):
		d.hold(r, now)
		if r.damage != nil && d.rotten.proven(r.id) != nil {
			delete(d.held, r.id) // nothing is gained by reading it again
		}
	case r.local == nil: // else the gate before the flash sees to it
		delete(d.held, r.id)
	}
	if !r.step.action.remote() {
		return
	}
	dest := r.dest
	d.e.refit(dest, &r, now)
	dest.mu.Lock()
	defer dest.mu.Unlock()
	dest.sent += r.sent
	dest.archived += r.archived
	dest.done(now, r.want, r.via, r.err)
	if r.err != nil {
		dest.lastErr = r.err.Error()
	} else {
		dest.lastErr = ""
	}
	dest.tell(d.e.log, now, r.err)
}

// wakeUp lets what waits for a link go at once, for the network has changed.
func (d *dispatcher) wakeUp(now time.Time) {
	for _, dest := range d.e.dests {
		dest.mu.Lock()
		dest.pace.wake(now)
		dest.mu.Unlock()
	}
	for _, h := range d.held {
		if h.link {
			h.wake(now)
		}
	}
}

// mutely says whether a step can be taken while nothing can be written down. What
// makes an object has to have the same outcome if a power cut forgets it: the
// object's end must be durable, and its time, which may be in its key, certain.
func mutely(a action, lim transport.Limits, s *wal.State, st *wal.StreamState, o *wal.Object) bool {
	switch a {
	case actPut, actComplete:
		_, estimated := s.Captured(o)
		return !lim.Once && st.Written(o) && !estimated
	}
	return !lim.Once && a.remote()
}

// settleFlash lets the gate before the journal and the receipts see how writing
// went. While it is shut a step tries now and then, and uploads go on where they
// can be repeated; what they come to is in memory, and written with all the rest.
func (d *dispatcher) settleFlash(now time.Time, r *result) {
	was := d.flash.failing
	if r.local != nil || r.wrote {
		d.flash.begin() // only now: a long upload writes nothing until its end
		d.flash.done(now, r.local)
	}
	switch {
	case r.local != nil:
		text := r.local.Error()
		d.e.unwritten.Store(&text)
		if !was {
			d.e.log.Error("what becomes of uploads cannot be written down; it waits in memory", "err", r.local)
		}
	case was && !d.flash.failing:
		d.e.unwritten.Store(nil)
		d.e.log.Info("what becomes of uploads is written down again")
	}
}

// hold keeps an object back that failed, so that it is tried again with
// patience and others go before it: one that can never pass must not stand in
// the way of all. What the failure settled for good (an expired upload, a
// missing part) goes on at once, and what the link does to any object counts
// from its third time, each only once in a row. The log has the link's own state
// already; of anything else it tells once, and again if it becomes another.
func (d *dispatcher) hold(r result, now time.Time) {
	h := d.held[r.id]
	if h == nil {
		h = &held{pace: newPace(newRand())}
		d.held[r.id] = h
	}
	h.fails++
	h.link = transport.KindOf(r.err) == transport.Offline
	if h.denied++; transport.KindOf(r.err) != transport.Denied {
		h.denied = 0
	}
	kind := transport.KindOf(r.err)
	links := kind == transport.Offline || kind == transport.Throttled || kind == transport.Denied
	switch {
	case errors.Is(r.err, ErrOverBudget):
		return
	case r.progress && h.fails == 1:
		return
	case links && h.fails < 3:
		return
	}
	h.begin()
	h.done(now, &transport.Error{Op: r.step.action.String(), Kind: transport.Temporary, Err: r.err})
	if links || h.told == r.err.Error() {
		return
	}
	h.told = r.err.Error()
	d.e.log.Warn("object is held back", "stream", r.name, "start", r.id.start, "step", r.step.action.String(), "err", r.err, "next_try", h.nextTry)
}
