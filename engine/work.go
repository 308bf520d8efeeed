package engine

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// task is a step with a copy of all that it needs of the state.
type task struct {
	id     objectID
	step   step
	dest   *destination
	name   string // of the stream
	op     wal.Op // the last call announced before this one
	object wal.Object
	upload transport.Upload
	part   transport.Part
	epoch  uint64 // of the key
	unread bool   // the part's checksums are not known: it was sliced
	parts  []transport.PartReceipt
	device string
	resets int              // how often its upload was no more
	lost   *wal.DamageError // bytes of the object that are proven lost; nil: none
	mute   bool             // nothing can be written down now: its intent need not be durable
	want   want             // of the gate
	via    string           // the interface that it was let through for
	denied int              // how often in a row the object's steps were denied before this one
	began  time.Time
	// encoding is how the object is compressed.
	encoding string
}

// result is what came of a task. Its facts are in the state already.
type result struct {
	task
	err      error            // of the destination, or of the object's bytes: *transport.Error
	local    error            // why facts or a receipt could not be made durable
	wrote    bool             // some were
	damage   *wal.DamageError // bytes that could not be read
	progress bool             // although it failed, it settled something for good
	sent     int64
	archived int64
}

// newTask copies what a step needs. The state is only read.
func (e *Engine) newTask(s *wal.State, st *wal.StreamState, o *wal.Object, dest *destination, step step) task {
	t := task{id: objectID{st.ID, o.Start}, step: step, dest: dest, name: st.Name, object: *o, epoch: st.EpochOf(o), device: e.cfg.Device, began: time.Now()}
	t.object.Up = nil
	at, estimated := s.Captured(o)
	t.object.Time, t.object.Fixed, t.object.Estimated = at.UnixNano(), true, estimated
	size := s.Layout(o).PartSize
	t.upload = transport.Upload{PartSize: size}
	if up := o.Up; up != nil {
		t.op, t.upload.ID, t.upload.Object.Key, t.resets = up.Op, up.ID, up.Key, up.Resets
		if up.Key != "" {
			t.device = up.Device
		}
		if up.Done != nil {
			done := *up.Done
			t.object.Up = &wal.Upload{Done: &done, Resets: up.Resets}
		}
	}
	if t.upload.Object.Key == "" {
		t.upload.Object.Key = e.keyOf(st.Name, t.epoch, s.Layout(o).Encoding, &t.object)
	}
	t.upload.Object.Metadata = metadata(t.device, st, t.epoch, &t.object)
	if t.encoding = s.Layout(o).Encoding; t.encoding != "" {
		t.upload.Object.Metadata["dray-encoding"] = t.encoding // what undoes it
	}
	t.upload.Object.Hash, t.upload.Object.PartSize = s.Layout(o).Hash, size
	t.upload.Object.Size = -1
	if o.Sealed() {
		t.upload.Object.Size = o.Size()
	}
	switch step.action {
	case actSend, actPut:
		n := max(step.part, 1)
		p, from, to := s.Part(o, n)
		t.part = transport.Part{Number: n, Offset: from - o.Start, Size: to - from, CRC32C: p.CRC, Sum: []byte(p.Sum)}
		t.unread = p.Unread
		if step.action == actPut && o.NumParts() > 1 { // it was to go out in parts
			t.part.Size, t.part.Sum, t.unread = o.Size(), nil, true
		}
	case actComplete:
		t.upload.Tried = t.op == wal.OpComplete
		for n := 1; n <= o.NumParts(); n++ {
			p, from, to := s.Part(o, n)
			t.parts = append(t.parts, transport.PartReceipt{Number: n, Size: to - from, CRC32C: p.CRC, HasCRC: true, Sum: []byte(p.Sum), ETag: p.ETag})
			t.upload.Object.CRC32C = transport.CombineCRC32C(t.upload.Object.CRC32C, p.CRC, to-from)
		}
	}
	return t
}

// keyOf makes the key of an object whose time is fixed. It is asked once an
// object, with its first intent.
func (e *Engine) keyOf(stream string, epoch uint64, encoding string, o *wal.Object) string {
	key := defaultKeys[Compress(encoding)]
	if c, err := e.stream(stream); err == nil && c.cfg.Key != c.cfg.Compress.defaultKey() {
		key = c.key
	}
	if o.Slice {
		key = key.ofSlice()
	}
	return key.Execute(e.cfg.Device, stream, wal.EpochText(epoch), o.Start, o.End, time.Unix(0, o.Time))
}

// defaultKeys are for objects of streams that have no key of their own, or are not
// configured any more, by their encoding: that of what waits may be another than
// the config's by now.
var defaultKeys = func() map[Compress]keyTemplate {
	list := map[Compress]keyTemplate{}
	for _, c := range []Compress{"", Gzip, Zstd} {
		list[c], _ = parseKey(c.defaultKey())
	}
	return list
}()

// metadata is what lets anyone prove an archive complete from the bucket alone.
func metadata(device string, st *wal.StreamState, epoch uint64, o *wal.Object) map[string]string {
	m := map[string]string{
		"dray-device":     device,
		"dray-stream":     st.Name,
		"dray-epoch":      wal.EpochText(epoch),
		"dray-start":      strconv.FormatInt(o.Start, 10),
		"dray-first-time": time.Unix(0, o.Time).UTC().Format(time.RFC3339Nano),
		"dray-gap":        strconv.FormatInt(o.Gap, 10),
	}
	if o.Estimated {
		m["dray-time-estimated"] = "true" // the clock was not known when it was captured
	}
	if o.Follows {
		m["dray-follows"] = wal.EpochText(st.Epoch) // what is before dray-start has that epoch, or one that follows it too
	}
	if o.GapUnknown {
		m["dray-gap-unknown"] = "true" // dray-gap is less than what was lost
	}
	return m
}

// work does one step: announce it if it must be known after a power cut, try
// it once, and journal what came of it.
func (e *Engine) work(ctx context.Context, t task) result {
	r := result{task: t}
	if t.step.action.remote() {
		if e.announce(&r); r.local != nil && !t.mute {
			r.untried(r.local)
			return r
		}
	}
	switch t.step.action {
	case actCreate:
		e.create(ctx, &r)
	case actSend:
		e.send(ctx, &r)
	case actPut:
		e.put(ctx, &r)
	case actComplete:
		e.complete(ctx, &r)
	case actAbort:
		e.abort(ctx, &r)
	case actMend:
		e.mend(&r)
	case actReceipt:
		r.local = e.receipt(t, t.object.Up)
		r.wrote = r.local == nil
	case actFree:
		r.local = e.receipt(t, nil)
		r.wrote = r.local == nil
	case actSlice:
		e.slice(&r)
	}
	e.withdraw(&r)
	e.remember(t, r.err)
	if t.step.action == actReceipt && r.local == nil {
		e.log.Info("archived", "stream", t.name, "key", t.upload.Object.Key, "bytes", t.object.Size())
	}
	return r
}

// untried notes a failure of this device that came before the call: the link is
// neither to blame nor proved.
func (r *result) untried(err error) {
	r.err = &transport.Error{Op: r.step.action.String(), Key: r.upload.Object.Key, Kind: transport.Corrupt, Err: err}
}

// intents are the calls that may leave something behind.
var intents = map[action]wal.Op{actCreate: wal.OpCreate, actPut: wal.OpPut, actComplete: wal.OpComplete}

// announce journals the intent of a call that may leave something behind.
func (e *Engine) announce(r *result) {
	if op, ok := intents[r.step.action]; ok && r.op != op {
		e.commit(r, r.intent(op), r.mute)
	}
}

// intent fixes the object's key, and what its metadata says, if nothing did before.
func (t *task) intent(op wal.Op) wal.Fact {
	f := wal.Fact{Kind: wal.Intent, Op: op, Key: t.upload.Object.Key, Epoch: t.epoch, Device: t.device, Lost: t.object.Gap, Time: t.object.Time}
	if t.object.Estimated {
		f.Flags |= wal.FlagEstimated
	}
	if t.object.Follows {
		f.Flags |= wal.FlagFollows
	}
	return f
}

// withdraw takes an intent back whose only try certainly had no effect. Else a
// link that is down would leave each object in doubt that it was tried with,
// and what is in doubt cannot give way. Should it not reach the journal, the
// doubt stays.
func (e *Engine) withdraw(r *result) {
	op, ok := intents[r.step.action]
	var te *transport.Error
	if !ok || r.op == op || r.progress || !errors.As(r.err, &te) || te.Unknown {
		return
	}
	e.store.Note(wal.Fact{Kind: wal.Intent, Stream: r.id.stream, Start: r.id.start, Op: r.op})
}

// commit makes a fact about the object durable. With anyhow it holds also if that
// fails, until the power goes, and is durable with the next that can be written.
// One that holds more than is ever written down comes from a destination, which
// is not believed.
func (e *Engine) commit(r *result, f wal.Fact, anyhow bool) {
	f.Stream, f.Start = r.id.stream, r.id.start
	switch err := e.store.Commit(f); {
	case err == nil:
		r.wrote, r.local = true, nil
	case errors.Is(err, wal.ErrFact):
		r.archived = 0
		r.err = &transport.Error{Op: "note the reply of a call", Key: r.upload.Object.Key, Kind: transport.Temporary, Unknown: true,
			Err: fmt.Errorf("%w; is that the destination?", err)}
	default:
		if r.local = err; anyhow {
			e.store.Note(f)
		}
	}
}

// done journals a fact that settles a step. Should it be lost with the power, the
// step is done again.
func (e *Engine) done(r *result, f wal.Fact) { e.commit(r, f, true) }

func (e *Engine) send(ctx context.Context, r *result) {
	body, err := e.store.Section(r.id.stream, r.id.start+r.part.Offset, r.id.start+r.part.Offset+r.part.Size)
	if err != nil {
		r.untried(err)
		return
	}
	defer r.close(body)
	made, err := e.digest(r, body)
	if err != nil {
		r.untried(err)
		return
	}
	receipt, err := r.dest.to.UploadPart(ctx, r.upload, r.part, body)
	r.sent = body.Taken()
	if err == nil {
		e.done(r, wal.Fact{Kind: wal.Stored, N: r.part.Number, ID: receipt.ETag, Flags: made.Flags, CRC: made.CRC, Sum: made.Sum})
		return
	}
	e.failed(ctx, r, err)
}

// digest makes the part's digests where the spool could not: one was asked for
// after the bytes were kept, its state was lost, or the object was sliced. It
// returns what it made, as a fact of the stored part has it.
func (e *Engine) digest(r *result, body *wal.Section) (made wal.Fact, err error) {
	name := r.upload.Object.Hash
	if !r.unread && (name == "" || len(r.part.Sum) > 0) {
		return made, nil
	}
	crc := crc32.New(transport.Castagnoli)
	to := []io.Writer{crc}
	var sum hash.Hash
	if name != "" {
		if sum = e.hashes(name); sum == nil {
			return made, fmt.Errorf("no destination knows the digest %q that the object was laid out for", name)
		}
		to = append(to, sum)
	}
	if _, err := io.Copy(io.MultiWriter(to...), body); err != nil {
		return made, err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return made, err
	}
	if r.unread {
		made.Flags, made.CRC, r.part.CRC32C = wal.FlagUnread, crc.Sum32(), crc.Sum32()
	}
	if sum != nil {
		r.part.Sum = sum.Sum(nil)
		made.Sum = string(r.part.Sum)
	}
	return made, nil
}

func (e *Engine) put(ctx context.Context, r *result) {
	body, err := e.store.Section(r.id.stream, r.object.Start, r.object.End)
	if err != nil {
		r.untried(err)
		return
	}
	defer r.close(body)
	if _, err := e.digest(r, body); err != nil {
		r.untried(err)
		e.settleRotten(ctx, r, body)
		return
	}
	r.upload.Object.CRC32C, r.upload.Object.Sum = r.part.CRC32C, r.part.Sum
	receipt, err := r.dest.to.Put(ctx, r.upload.Object, body)
	r.sent = body.Taken()
	if err == nil {
		e.completed(ctx, r, receipt)
		return
	}
	e.failed(ctx, r, err)
	e.settleRotten(ctx, r, body)
}

func (e *Engine) complete(ctx context.Context, r *result) {
	receipt, err := r.dest.to.Complete(ctx, r.upload, r.parts)
	if err == nil && receipt.Size != r.object.Size() {
		err = &transport.Error{Op: "complete", Key: r.upload.Object.Key, Kind: transport.Temporary, Unknown: true,
			Err: fmt.Errorf("the destination speaks of %d bytes, the object has %d", receipt.Size, r.object.Size())}
	}
	if err == nil {
		e.completed(ctx, r, receipt)
		return
	}
	e.failed(ctx, r, err)
}

// completed journals the destination's receipt. An upload that was called gone
// may be back by then: a part that was on its way outlived its end.
func (e *Engine) completed(ctx context.Context, r *result, c transport.Receipt) {
	r.archived = r.object.Size()
	now, _ := e.time()
	e.done(r, wal.Fact{Kind: wal.Completed, ID: c.ETag, Sum: c.Checksum, Archive: c.ArchiveID, Location: c.Location, Doubt: c.InDoubt, Time: now.UnixNano()})
	if r.resets > 0 {
		if err := e.sweep(ctx, r.task); err != nil {
			e.log.Warn("an upload may be left behind", "destination", r.dest.cfg.Name, "key", r.upload.Object.Key, "err", err)
		}
	}
}

// failed journals what a failure settles for good.
func (e *Engine) failed(ctx context.Context, r *result, err error) {
	r.err = err
	var te *transport.Error
	if !errors.As(err, &te) {
		return
	}
	if te.Kind == transport.Conflict && r.step.action.alone() || te.Kind == transport.Invalid && r.step.action == actPut && r.op == wal.OpPut {
		e.taken(ctx, r, err)
		return
	}
	var facts []wal.Fact
	switch te.Kind {
	case transport.Gone:
		// It may be there all the same: of no use, as after a 409, or of no matter to
		// who said so. It is ended here, and looked for before the next one is made:
		// a part that is on its way can outlive this.
		facts = append(facts, wal.Fact{Kind: wal.Reset, N: r.resets})
		if r.upload.ID == "" {
			break
		}
		facts[0].N++ // once, however many of its parts say so
		if end := e.leave(r.task, r.dest.to.Abort(ctx, r.upload)); end != nil {
			r.err = end
			return
		}
		facts = append(facts, r.intent(wal.OpCreate))
	case transport.Missing:
		for _, n := range te.Parts {
			facts = append(facts, wal.Fact{Kind: wal.Missing, N: n})
		}
		if r.step.action == actComplete { // it has looked at the parts: there is no object
			facts = append(facts, r.intent(wal.OpCreate))
		}
	}
	for _, f := range facts {
		e.done(r, f)
		r.progress = true
	}
}
