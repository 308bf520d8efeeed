package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// A claim is what a Complete or a Put means to have made.
type claim struct {
	op  string
	o   transport.Object
	sum string // as receipts hold it
	id  string // of the upload; empty for a Put
}

// is reports whether s is what was claimed: identity metadata and size, and
// the checksum where s has one of the same algorithm and type.
func (c claim) is(s *transport.Stored) bool { return s.IsObject(c.o) && !differ(s.Checksum, c.sum) }

// own reports whether nobody but this device makes the key: it holds its epoch.
func (c claim) own() bool {
	epoch := c.o.Metadata["dray-epoch"]
	return epoch != "" && strings.Contains(c.o.Key, epoch)
}

func (c claim) receipt(s *transport.Stored) transport.Receipt {
	return transport.Receipt{Size: s.Size, ETag: s.ETag, Checksum: s.Checksum}
}

func (c claim) conflict(s *transport.Stored, cause error) *transport.Error {
	err := fmt.Errorf("key is taken by another object of %d bytes: %w", s.Size, cause)
	return &transport.Error{Op: c.op, Key: c.o.Key, Kind: transport.Conflict, Err: err}
}

// before looks whether the key is free where the server knows no condition that
// would see to it. Without permission to look it goes on: keys are unique.
func (d *Destination) before(ctx context.Context, c claim, condition *string) (r transport.Receipt, err error, done bool) {
	if condition != nil || !d.form.absent {
		return r, nil, false
	}
	stored, err := d.head(ctx, c.op, c.o.Key)
	switch {
	case mayNotLook(err), err == nil && stored == nil:
		return r, nil, false
	case err != nil:
		return r, err, true
	case c.is(stored):
		r, err = d.found(ctx, c, c.receipt(stored))
		return r, err, true
	}
	return r, c.conflict(stored, errors.New("seen before it was sent")), true
}

// unconditional takes note if the server answered that it knows no condition:
// the next try goes without.
func (d *Destination) unconditional(e *transport.Error, condition *string) *transport.Error {
	if statusOf(e) == http.StatusNotImplemented && d.condition.refused(condition != nil) {
		e.Kind, e.Unknown = transport.Temporary, false
		e.Err = fmt.Errorf("%w; perhaps it knows no If-None-Match: the next try goes without", e.Err)
	}
	return e
}

// confirm makes a receipt of a success, if it is one. named says that the
// answer names the object: then it is the server's, and may do without an ETag.
func (d *Destination) confirm(ctx context.Context, c claim, etag *string, named bool, sum, location string) (transport.Receipt, error) {
	var none transport.Receipt
	if !isETag(etag) && (!named || aws.ToString(etag) != "") {
		return d.settle(ctx, c, &transport.Error{Op: c.op, Key: c.o.Key, Unknown: true, Err: errNoETag})
	}
	if differ(sum, c.sum) {
		err := fmt.Errorf("the server has %s, sent was %s: %w", sum, c.sum, transport.ErrChecksum)
		return none, &transport.Error{Op: c.op, Key: c.o.Key, Kind: transport.Corrupt, Unknown: true, Err: err}
	}
	d.condition.accepted()
	r := transport.Receipt{Size: c.o.Size, ETag: aws.ToString(etag), Checksum: sum, Location: link.Plain(location, 2048)}
	if sum != "" {
		return r, nil
	}
	// It says nothing of the bytes: look at what is there.
	stored, err := d.head(ctx, c.op, c.o.Key)
	switch {
	case err == nil && stored == nil:
		return none, &transport.Error{Op: c.op, Key: c.o.Key, Unknown: true, Err: errors.New("status 200, but there is no object")}
	case err == nil && !c.is(stored):
		return none, c.conflict(stored, errors.New("status 200"))
	case err == nil:
		r.ETag, r.Checksum = stored.ETag, stored.Checksum
	case errors.Is(err, errNotEncrypted):
		return none, err
	case !mayNotLook(err): // else it may write but not read: its word has to do
		return none, &transport.Error{Op: c.op, Key: c.o.Key, Kind: transport.KindOf(err), Unknown: true, Err: err}
	}
	return r, nil
}

// settle finds out what became of a Complete or Put that failed with e: it may
// have happened now, or by an earlier try whose reply was lost. What cannot be
// settled stays e.
func (d *Destination) settle(ctx context.Context, c claim, e *transport.Error) (transport.Receipt, error) {
	var none transport.Receipt
	if !unsettled(e) {
		return none, e
	}
	stored, deleted, err := d.look(ctx, c.op, c.o.Key)
	switch {
	case err == nil && stored == nil && deleted && c.own():
		// Nobody else makes this key, so it was made, and then somebody took it
		// away. Sent again it would come back from the dead.
		return d.found(ctx, c, transport.Receipt{Size: c.o.Size, InDoubt: fmt.Sprintf("the object was deleted before its receipt came: the bucket's latest version of %s is a deletion; look at the version before it, of %d bytes with %s", c.o.Key, c.o.Size, c.sum)})
	case err == nil && stored == nil:
		return none, absent(e)
	case err == nil && c.is(stored):
		return d.found(ctx, c, c.receipt(stored))
	case err == nil:
		return none, c.conflict(stored, e.Err)
	case errors.Is(err, errNotEncrypted):
		return none, err
	case !mayNotLook(err):
		e.Unknown = true
		if e.Kind == transport.Conflict || e.Kind == transport.Gone {
			e.Kind = transport.KindOf(err) // it is not known to be either
		}
		e.Err = fmt.Errorf("%w; asked for the object: %w", e.Err, err)
		return none, e
	}
	// Credentials that can write but not read: nobody but this device makes
	// keys of its epoch, so a taken one is its own.
	if taken(e) {
		r := transport.Receipt{Size: c.o.Size}
		if !c.own() {
			r.InDoubt = fmt.Sprintf("the key %s is taken and may not be read: compare the object there with size %d, %s", c.o.Key, c.o.Size, c.sum)
		}
		return d.found(ctx, c, r)
	}
	// Gone stays Gone: sent again, the object either is made or its key is
	// found taken. So a write-only device gets on, and loses nothing if the
	// upload had expired in truth.
	if e.Kind == transport.Temporary && c.id != "" {
		return none, d.fate(ctx, c, e)
	}
	return none, e
}

// found ends the upload of an object that was found to be there. An earlier
// upload may have made it, of which no reply came, and this one be left over.
func (d *Destination) found(ctx context.Context, c claim, r transport.Receipt) (transport.Receipt, error) {
	if c.id == "" {
		return r, nil
	}
	u := transport.Upload{ID: c.id, Object: c.o}
	err := d.Abort(ctx, u)
	if err == nil || forbidden(err) { // then it stays, and there is no help
		return r, nil
	}
	// Some servers may answer with an error that there is none: see.
	if _, list := d.parts(ctx, "list parts", u); transport.KindOf(list) == transport.Gone {
		return r, nil
	}
	err = fmt.Errorf("the object is there, its upload may be too: %w", err)
	return transport.Receipt{}, &transport.Error{Op: c.op, Key: c.o.Key, Kind: transport.KindOf(err), Unknown: true, Err: err}
}

// forbidden reports whether err says that a permission is lacking.
func forbidden(err error) bool {
	r := (*refusal)(nil)
	return transport.KindOf(err) == transport.Denied && errors.As(err, &r) && r.forbids()
}

// fate looks at the upload where the object may not be looked at: a server that
// answers each further Complete with an error says there that the upload is no
// more.
func (d *Destination) fate(ctx context.Context, c claim, e *transport.Error) *transport.Error {
	_, err := d.parts(ctx, "list parts", transport.Upload{ID: c.id, Object: c.o})
	switch transport.KindOf(err) {
	case transport.Gone:
		e.Kind, e.Err = transport.Gone, fmt.Errorf("%w; the upload is no more", e.Err)
	case transport.Denied:
		e.Err = fmt.Errorf("%w; whether the object is there cannot be seen: allow s3:GetObject and s3:ListBucket", e.Err)
	}
	return e
}

// mayNotLook reports whether err says that these credentials can write but not read.
func mayNotLook(err error) bool {
	return transport.KindOf(err) == transport.Denied && !errors.Is(err, errNotEncrypted)
}

// unsettled reports whether the object may be there in spite of e. Without a
// connection there is no use in asking; the next try will.
func unsettled(e *transport.Error) bool {
	switch e.Kind {
	case transport.Gone:
		return e.Op == "complete"
	case transport.Conflict:
		return true
	case transport.Temporary:
		return e.Unknown
	}
	return false
}

// taken reports whether the server said that the key is taken.
func taken(e *transport.Error) bool {
	return statusOf(e) == http.StatusPreconditionFailed || codeOf(e) == "PreconditionFailed"
}

// absent is e once it is known that there is no object.
func absent(e *transport.Error) *transport.Error {
	switch {
	case e.Kind == transport.Conflict && taken(e):
		// It was there a moment ago: somebody removes it, or the server's left
		// hand does not know its right.
		e.Kind, e.Unknown = transport.Temporary, true
	case e.Kind == transport.Conflict && e.Op == "complete":
		// 409: another request on the key came in between, and all parts have to
		// be sent again in a new upload.
		e.Kind = transport.Gone
	case e.Kind == transport.Conflict:
		e.Kind = transport.Temporary
	}
	return e
}

// wrongParts reports whether e is of a kind that parts can be the reason of.
func wrongParts(e *transport.Error) bool {
	return e.Kind == transport.Missing || e.Kind == transport.Corrupt ||
		slices.Contains([]string{"EntityTooSmall", "InvalidRequest", "InvalidArgument"}, codeOf(e))
}

// nameWrong compares the parts as the caller believes them to be with what the
// server has, and names those that have to be sent again.
func (d *Destination) nameWrong(ctx context.Context, u transport.Upload, parts []transport.PartReceipt, e *transport.Error) *transport.Error {
	held, err := d.parts(ctx, "list parts", u)
	if err != nil {
		if why := (*transport.Error)(nil); errors.As(err, &why) && (why.Kind == transport.Gone || e.Kind == transport.Missing) {
			why.Op, why.Err = e.Op, fmt.Errorf("%w; asked for the parts: %w", e.Err, why.Err)
			return why
		}
		return e
	}
	has := make(map[int]transport.PartReceipt, len(held))
	for _, p := range held {
		has[p.Number] = p
	}
	var wrong []int
	for _, p := range parts {
		if h, ok := has[p.Number]; !ok || !samePart(h, p) {
			wrong = append(wrong, p.Number)
		}
	}
	switch {
	case len(wrong) > 0:
		e.Kind, e.Parts = transport.Missing, wrong
	case e.Kind == transport.Missing:
		e.Kind = transport.Temporary // all is there: the server contradicts itself
	}
	return e
}
