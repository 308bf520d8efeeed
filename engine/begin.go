package engine

import (
	"context"
	"errors"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// create begins the upload. If it was tried before, its reply is unknown: what
// that try may have left under exactly this key is ended first.
func (e *Engine) create(ctx context.Context, r *result) {
	if r.op == wal.OpCreate {
		if r.err = e.sweep(ctx, r.task); r.err != nil {
			return
		}
	}
	id, err := r.dest.to.Create(ctx, r.upload.Object)
	if err == nil {
		e.done(r, wal.Fact{Kind: wal.Begun, ID: id})
		return
	}
	e.failed(ctx, r, err)
}

// sweep aborts every upload under exactly the object's key. Where that is denied
// it says so and goes on: an upload left behind is the lesser evil.
func (e *Engine) sweep(ctx context.Context, t task) error {
	uploads, _, found := t.dest.to.Find(ctx, t.upload.Object.Key)
	for _, u := range uploads {
		if err := e.leave(t, t.dest.to.Abort(ctx, u)); err != nil {
			return err
		}
	}
	if uploads != nil {
		return nil // what is wrong with the other half is of no matter here
	}
	return e.leave(t, found)
}

// leave says that an upload may be left behind if err is that ending it is not
// permitted, and was not the time before: any box on the way can answer 403 once.
// With a wrong clock or keys that have run out nothing else could be done
// either, so there is nothing to be gained by going on. It returns any other
// error, and nil for one that there is none of.
func (e *Engine) leave(t task, err error) error {
	var te *transport.Error
	switch kind := transport.KindOf(err); {
	case err == nil, kind == transport.Gone:
		return nil
	case kind == transport.Denied && t.denied > 0 && errors.As(err, &te) && !te.Caller:
		e.log.Warn("an upload may be left behind: it may not be looked for and ended", "destination", t.dest.cfg.Name, "key", t.upload.Object.Key, "err", err)
		return nil
	}
	return err
}

func (e *Engine) abort(ctx context.Context, r *result) {
	if r.upload.ID == "" {
		r.err = e.sweep(ctx, r.task)
	} else {
		r.err = e.leave(r.task, r.dest.to.Abort(ctx, r.upload))
	}
	if r.err == nil {
		e.done(r, wal.Fact{Kind: wal.Reset})
	}
}
