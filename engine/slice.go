package engine

import (
	"cmp"
	"io"

	"github.com/seed-7270d448/dray/hal"
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
	framing := hal.Framing{}
	if st, err := e.stream(r.name); err == nil {
		framing = st.cfg.Framing
	}
	head := lastRecord(body, framing, r.dest.fitting().share())
	if head >= r.object.Size() {
		return // the link has become better since
	}
	run, mono := e.captured(r.id.stream, r.object.Start+head, r.object.End)
	e.commit(r, wal.Fact{Kind: wal.Sliced, Size: head, Run: run, Mono: mono}, false)
	if r.wrote {
		e.log.Info("sliced an object to fit the link", "stream", r.name, "start", r.id.start, "bytes", head, "of", r.object.Size())
	}
}

// lastRecord returns how many bytes of r the whole records take that begin it and
// end within limit. A first record that is longer is taken too, up to twice the
// limit. Where no record is seen to end there, as with one that is longer still,
// after a change of framing, or if r fails, it is limit: what does not fit would
// wait for ever, and what cannot be read shows as soon as it is sent.
func lastRecord(r io.Reader, f hal.Framing, limit int64) int64 {
	if f.Kind == "" || f.Kind == "raw" {
		return limit
	}
	framer := hal.NewFramer(f)
	var whole, read int64 // bytes of whole records; bytes read
	var rest []byte       // behind them
	chunk := make([]byte, 8<<10)
	for whole < limit {
		advance, record := framer.Next(rest, false)
		switch end := whole + int64(advance); {
		case advance == 0 && read < 2*limit:
			n, _ := r.Read(chunk)
			if n == 0 {
				return cmp.Or(whole, limit)
			}
			rest, read = append(rest, chunk[:n]...), read+int64(n)
		case advance == 0, record == nil, whole > 0 && end > limit, end > 2*limit:
			return cmp.Or(whole, limit)
		default:
			whole, rest = end, rest[advance:]
		}
	}
	return whole
}
