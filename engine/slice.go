package engine

import (
	"cmp"
	"io"

	"github.com/seed-7270d448/dray/wal"
)

// slice makes two objects of one that does not fit the link. Only its head is
// cut off, as large as fits now, and the rest waits as it is: so what was sealed
// in a good hour costs no memory in a bad one, and goes out in large pieces
// again in the next.
func (e *Engine) slice(r *result) {
	body, err := e.store.Section(r.id.stream, r.object.Start, r.object.End)
	if err != nil {
		r.untried(err)
		return
	}
	defer body.Close()
	head := lastRecord(body, e.splitter(&r.task), r.dest.fitting().share())
	if head >= r.object.Size() {
		return // the link has become better since
	}
	run, mono := e.captured(r.id.stream, r.object.Start+head, r.object.End)
	e.commit(r, wal.Fact{Kind: wal.Sliced, Size: head, Run: run, Mono: mono}, false)
	if r.wrote {
		e.log.Info("sliced an object to fit the link", "stream", r.name, "start", r.id.start, "bytes", head, "of", r.object.Size())
	}
}

// splitter returns what splits the object into what must stay whole, nil if
// nothing must.
func (e *Engine) splitter(t *task) splitter {
	if c := Compress(t.encoding); c != "" {
		return frames(c)
	}
	st, err := e.stream(t.name)
	if err != nil || st.cfg.Framing.Kind == "" || st.cfg.Framing.Kind == "raw" {
		return nil
	}
	return records(st.cfg.Framing)
}

// lastRecord returns how many bytes of r the whole records take that begin it and
// end within limit. A first record that is longer is taken too, up to twice the
// limit. Where no record is seen to end there, as with one that is longer still,
// after a change of framing, or if r fails, it is limit: what does not fit would
// wait for ever, and what cannot be read shows as soon as it is sent.
func lastRecord(r io.Reader, split splitter, limit int64) int64 {
	if split == nil {
		return limit
	}
	var whole int64 // bytes of whole records
	var rest []byte // read behind them
	chunk := make([]byte, 16<<10)
	for whole < limit {
		n := split(rest)
		end := whole + int64(n)
		switch {
		case n == 0 && len(rest) <= wal.MaxRecord && end+int64(len(rest)) < 2*limit:
			got, _ := r.Read(chunk)
			if got == 0 {
				return cmp.Or(whole, limit)
			}
			rest = append(rest, chunk[:got]...)
		case n == 0, whole > 0 && end > limit, end > 2*limit:
			return cmp.Or(whole, limit)
		default:
			whole, rest = end, rest[n:]
		}
	}
	return whole
}
