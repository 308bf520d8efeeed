package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// errTaken is why an object waits whose key is taken again under an epoch that
// was made in this run because others took a key.
var errTaken = errors.New("so is a key of the epoch that was made for that; look for another device with a copy of this state folder, or for a destination that calls every key taken, and restart dray for another try")

// whose says to whom the object belongs that is under a key.
type whose uint8

const (
	unknown whose = iota
	ours          // put there by a try whose reply was lost
	theirs        // what is told of it proves that it is another
)

// look asks who holds the key of t's object. Only what differs proves that it is
// another: a destination that tells neither metadata nor a checksum proves nothing.
func look(ctx context.Context, t task) (whose, transport.Receipt, error) {
	var none transport.Receipt
	_, have, err := t.dest.to.Find(ctx, t.upload.Object.Key)
	if have == nil {
		return unknown, none, err
	}
	if t.unread {
		have.Checksum = "" // there is none to compare it with
	}
	o := t.upload.Object
	if have.IsObject(o) || sameBytes(have, o) {
		return ours, transport.Receipt{Size: have.Size, ETag: have.ETag, Checksum: have.Checksum}, nil
	}
	same := transport.Stored{Size: have.Size, Checksum: have.Checksum, Metadata: o.Metadata}
	told := slices.ContainsFunc(slices.Collect(maps.Keys(have.Metadata)), func(name string) bool { return strings.HasPrefix(name, transport.IdentityPrefix) })
	if o.Size >= 0 && (told || !same.IsObject(o)) {
		return theirs, none, nil
	}
	return unknown, none, nil
}

// sameBytes says whether the bytes under a key are those of o, of the same place in
// the same stream, whatever else is told of them: a device that forgot that it had
// sent them, or one with a copy of its state folder, may know another gap or time.
func sameBytes(have *transport.Stored, o transport.Object) bool {
	for _, name := range []string{"dray-device", "dray-stream", "dray-epoch", "dray-start"} {
		if have.Metadata[name] != o.Metadata[name] {
			return false
		}
	}
	return have.Size == o.Size && have.Checksum == transport.ChecksumPrefix+transport.EncodeCRC32C(o.CRC32C)
}

// taken settles a call that found the key of its object taken: by itself, with a
// reply that was lost, or by another device that has a copy of the state folder.
// Then what has begun under the key is ended, and the object gets another one, of
// a new epoch; see wal.Store.Rekey.
func (e *Engine) taken(ctx context.Context, r *result, conflict error) {
	r.err = conflict
	holder, receipt, err := look(ctx, r.task)
	switch {
	case err != nil:
		r.err = err
	case holder == ours:
		r.err = nil
		e.completed(ctx, r, receipt)
	case holder == theirs && transport.KindOf(conflict) == transport.Conflict:
		if r.upload.ID != "" {
			if err := e.leave(r.task, r.dest.to.Abort(ctx, r.upload)); err != nil {
				r.err = err
				return
			}
		}
		done, err := e.store.Rekey(r.id.stream, r.id.start)
		switch r.local = err; {
		case err != nil:
		case !done:
			r.err = &transport.Error{Op: r.step.action.String(), Key: r.upload.Object.Key, Kind: transport.Conflict, Err: fmt.Errorf("%w; %w", errors.Unwrap(conflict), errTaken)}
		default:
			r.wrote, r.progress = true, true
			var epoch uint64
			e.store.View(func(s *wal.State) { epoch = s.Stream(r.id.stream).KeyEpoch() })
			e.log.Warn("a key is taken by bytes of another device, as when a state folder was copied; the object goes out under another epoch, and so does what is new",
				"stream", r.name, "start", r.id.start, "key", r.upload.Object.Key, "epoch", wal.EpochText(epoch))
		}
	}
}

// rekeyed says which streams go on under another epoch.
func rekeyed(s *wal.State) (notes []string) {
	for _, st := range s.Streams {
		if now := st.KeyEpoch(); now != st.Epoch {
			notes = append(notes, fmt.Sprintf("stream %s: a key of its epoch %s was taken by bytes of another device, as when this state folder was copied; it goes on under epoch %s",
				st.Name, wal.EpochText(st.Epoch), wal.EpochText(now)))
		}
	}
	return notes
}
