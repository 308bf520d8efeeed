package engine

import (
	"context"
	"errors"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// Flash loses bytes, and it also has hiccups. Bytes of an object that waits are
// given up only when they are proven lost: each read of their part asked the
// flash itself, not the page cache, and failed at the same place, so often and
// for so long, with no good one between. If what is read is not what was written,
// half a minute is proof; if the disk fails to read at all, that may be heat, or
// a reader that comes back, and has ten.
const rotTries = 3

var (
	rotWrong   = 30 * time.Second
	rotFailing = 10 * time.Minute
)

// rot is damage that reading a part has shown.
type rot struct {
	damage wal.DamageError // as the last read found it
	since  time.Time
	last   time.Time
	tries  int
}

func (p *rot) proven() bool {
	long := rotWrong
	if p.damage.Err != nil {
		long = rotFailing
	}
	return p.tries >= rotTries && p.last.Sub(p.since) >= long
}

// rotten are the objects with damage, by part. It is not journalled: after a
// restart the proof begins again.
type rotten map[objectID]map[int]*rot

// learn takes in what a step says of the bytes that it read.
func (m rotten) learn(r result, now time.Time) {
	parts, part := m[r.id], r.step.part
	switch {
	case r.step.action == actMend && r.local == nil, !r.step.action.remote() && r.step.action != actMend:
		delete(m, r.id) // other objects are in its place, or none
	case r.damage != nil:
		if parts == nil {
			parts = map[int]*rot{}
			m[r.id] = parts
		}
		p := parts[part]
		if p == nil || p.damage.From != r.damage.From || (p.damage.Err == nil) != (r.damage.Err == nil) {
			p = &rot{since: now}
			parts[part] = p
		}
		p.damage, p.last = *r.damage, now
		p.tries++
	case r.err == nil && r.local == nil && parts != nil:
		if delete(parts, part); len(parts) == 0 {
			delete(m, r.id)
		}
	}
}

// proven returns damage of the object that is proven, nil if there is none.
func (m rotten) proven(id objectID) *wal.DamageError {
	for _, p := range m[id] {
		if p.proven() {
			lost := p.damage
			return &lost
		}
	}
	return nil
}

// close notes what could not be read, and lets go of the body. A step that failed
// for want of its bytes says nothing about the link.
func (r *result) close(body *wal.Section) {
	var te *transport.Error
	if errors.As(r.err, &te) && body.Damage() != nil {
		r.damage = body.Damage()
		e := *te
		e.Kind, r.err = transport.Corrupt, &e
	}
	_ = body.Close() // it was only read
}

// mend cuts what is proven lost out of an object of which nothing is at the
// destination: what is before it and what is behind it become objects of their
// own, and what is between is dropped, a counted gap with a line in the receipts.
func (e *Engine) mend(r *result) {
	o, lost := &r.object, *r.lost
	from, to := max(lost.From, o.Start), min(lost.To, o.End)
	var facts []wal.Fact
	slice := func(start, at int64) {
		run, mono := e.captured(r.id.stream, at, o.End)
		facts = append(facts, wal.Fact{Kind: wal.Sliced, Stream: r.id.stream, Start: start, Size: at - start, Run: run, Mono: mono})
	}
	if from > o.Start {
		slice(o.Start, from)
	}
	if to < o.End {
		slice(from, to)
	}
	facts = append(facts, wal.Fact{Kind: wal.Dropped, Stream: r.id.stream, Start: from, Flags: wal.FlagDamaged})
	if r.local = e.store.Commit(facts...); r.local == nil {
		r.wrote = true
		e.log.Error("flash has lost bytes that were to be archived: they are a counted gap", "stream", r.name, "start", from, "bytes", to-from, "err", r.lost)
	}
}

// captured returns when the byte at an offset was captured, by which run's boot
// clock; 0 if it cannot be told.
func (e *Engine) captured(stream uint32, at, end int64) (run uint32, mono int64) {
	body, err := e.store.Section(stream, at, end)
	if err != nil {
		return 0, 0
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 1)); err != nil {
		return 0, 0
	}
	return body.Captured()
}

// settleRotten ends the doubt about a put that cannot be repeated, since bytes
// of it cannot be read: the destination is asked. It is believed when it says
// that the object is not there only once the damage is proven, which is long
// after the last try that could have put it there.
func (e *Engine) settleRotten(ctx context.Context, r *result, body *wal.Section) {
	if r.op != wal.OpPut || body.Damage() == nil {
		return
	}
	holder, receipt, err := look(ctx, r.task)
	switch {
	case holder == ours:
		r.err, r.local = nil, nil
		e.completed(ctx, r, receipt)
	case r.lost == nil:
	case err == nil:
		e.done(r, wal.Fact{Kind: wal.Intent, Op: wal.NoOp})
	case transport.KindOf(err) == transport.Denied:
		e.completed(ctx, r, transport.Receipt{Size: r.object.Size(), InDoubt: "its bytes are damaged on flash, and whether an earlier put stored them may not be asked"})
	}
}
