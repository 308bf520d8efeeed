package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// completePatience is how long a server may work on a Complete without a word.
const completePatience = 10 * time.Minute

// Complete makes the parts into the object, unless the key is taken.
func (d *Destination) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	const op = "complete"
	var none transport.Receipt
	o := u.Object
	if err := d.check(op, o); err != nil {
		return none, err
	}
	missing, err := o.CheckParts(parts, u.PartSize)
	switch {
	case errors.Is(err, transport.ErrChecksum):
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Corrupt, Err: err}
	case err != nil:
		return none, invalid(op, o.Key, err)
	case u.ID == "":
		return none, invalid(op, o.Key, errors.New("upload ID is empty"))
	case len(missing) > 0:
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Missing, Parts: missing, Err: errors.New("never sent")}
	}
	sum := transport.EncodeCRC32C(o.CRC32C)
	out, err := d.client.CompleteMultipartUpload(link.WithPatience(ctx, completePatience), &s3.CompleteMultipartUploadInput{
		Bucket:          &d.bucket,
		Key:             d.key(o.Key),
		UploadId:        &u.ID,
		IfNoneMatch:     aws.String("*"),
		MpuObjectSize:   &o.Size,
		ChecksumType:    types.ChecksumTypeFullObject,
		ChecksumCRC32C:  &sum,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completedParts(parts)},
	})
	if err != nil {
		e := fail(op, o.Key, err)
		if wrongParts(e) {
			e = d.nameWrong(ctx, u, parts, e)
		}
		return d.settle(ctx, o, e)
	}
	return d.confirm(ctx, op, o, out.ETag, checksum(out.ChecksumType, out.ChecksumCRC32C, out.ChecksumCRC64NVME), aws.ToString(out.Location))
}

func completedParts(parts []transport.PartReceipt) []types.CompletedPart {
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		list[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}
		if p.HasCRC {
			list[i].ChecksumCRC32C = aws.String(transport.EncodeCRC32C(p.CRC32C))
		}
	}
	return list
}

// Put sends the object in one request, unless the key is taken.
func (d *Destination) Put(ctx context.Context, o transport.Object, body transport.Body) (transport.Receipt, error) {
	const op = "put"
	var none transport.Receipt
	if err := d.check(op, o); err != nil {
		return none, err
	}
	if o.Size < 0 || o.Size > maxPut {
		return none, invalid(op, o.Key, fmt.Errorf("object of %d bytes: must be at most %d", o.Size, int64(maxPut)))
	}
	c, err := newChecked(body, o.Size, o.CRC32C)
	if err != nil {
		return none, badBody(op, o.Key, c, err)
	}
	sum := transport.EncodeCRC32C(o.CRC32C)
	out, err := d.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:         &d.bucket,
		Key:            d.key(o.Key),
		ContentType:    aws.String(contentType),
		ContentLength:  &o.Size,
		Metadata:       encodeMetadata(o.Metadata),
		IfNoneMatch:    aws.String("*"),
		ChecksumCRC32C: &sum,
		Body:           c,
	}, unsigned)
	switch {
	case c.err != nil:
		return none, badBody(op, o.Key, c, c.err)
	case err != nil:
		return d.settle(ctx, o, fail(op, o.Key, err))
	case !c.sent():
		return d.settle(ctx, o, early(op, o.Key, c))
	}
	return d.confirm(ctx, op, o, out.ETag, checksum(out.ChecksumType, out.ChecksumCRC32C, out.ChecksumCRC64NVME), "")
}

// confirm makes a receipt of a success, if it is one.
func (d *Destination) confirm(ctx context.Context, op string, o transport.Object, etag *string, sum, location string) (transport.Receipt, error) {
	var none transport.Receipt
	if !isETag(etag) {
		return d.settle(ctx, o, &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: errNoETag})
	}
	if got, ok := strings.CutPrefix(sum, transport.ChecksumPrefix); ok && got != transport.EncodeCRC32C(o.CRC32C) {
		err := fmt.Errorf("the server has CRC32C %s, sent was %s: %w", got, transport.EncodeCRC32C(o.CRC32C), transport.ErrChecksum)
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Corrupt, Unknown: true, Err: err}
	}
	r := transport.Receipt{Size: o.Size, ETag: *etag, Checksum: sum, Location: plain(location, 2048)}
	if sum != "" {
		return r, nil
	}
	// It says nothing of the bytes: look at what is there.
	stored, err := d.head(ctx, op, o.Key)
	switch {
	case err == nil && stored == nil:
		return none, &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: errors.New("status 200, but there is no object")}
	case err == nil && !stored.IsObject(o):
		return none, conflict(op, o.Key, stored, errors.New("status 200"))
	case err == nil:
		r.Checksum = stored.Checksum
	case transport.KindOf(err) != transport.Denied: // else it may write but not read: its word has to do
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.KindOf(err), Unknown: true, Err: err}
	}
	return r, nil
}

func conflict(op, key string, stored *transport.Stored, cause error) *transport.Error {
	err := fmt.Errorf("key is taken by another object of %d bytes: %w", stored.Size, cause)
	return &transport.Error{Op: op, Key: key, Kind: transport.Conflict, Err: err}
}

// settle finds out what became of a Complete or Put that failed with e: it may
// have happened now, or by an earlier try whose reply was lost. What cannot be
// settled stays e.
func (d *Destination) settle(ctx context.Context, o transport.Object, e *transport.Error) (transport.Receipt, error) {
	var none transport.Receipt
	if !unsettled(e) {
		return none, e
	}
	stored, err := d.head(ctx, e.Op, o.Key)
	switch {
	case err == nil && stored == nil:
		return none, absent(e)
	case err == nil && stored.IsObject(o):
		return transport.Receipt{Size: stored.Size, ETag: stored.ETag, Checksum: stored.Checksum}, nil
	case err == nil:
		return none, conflict(e.Op, o.Key, stored, e.Err)
	case transport.KindOf(err) != transport.Denied:
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
		r := transport.Receipt{Size: o.Size}
		if epoch := o.Metadata["dray-epoch"]; epoch == "" || !strings.Contains(o.Key, epoch) {
			r.InDoubt = fmt.Sprintf("the key %s is taken and may not be read: compare the object there with size %d, CRC32C %s", o.Key, o.Size, transport.EncodeCRC32C(o.CRC32C))
		}
		return r, nil
	}
	// Gone stays Gone: sent again, the object either is made or its key is
	// found taken. So a write-only device gets on, and loses nothing if the
	// upload had expired in truth.
	return none, e
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
	held, err := d.parts(ctx, e.Op, u)
	if err != nil {
		if why := (*transport.Error)(nil); errors.As(err, &why) && (why.Kind == transport.Gone || e.Kind == transport.Missing) {
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

func samePart(a, b transport.PartReceipt) bool {
	quotes := func(s string) string { return strings.Trim(s, `"`) }
	return a.Size == b.Size && (!a.HasCRC || !b.HasCRC || a.CRC32C == b.CRC32C) && quotes(a.ETag) == quotes(b.ETag)
}
