package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport"
)

const contentType = "application/octet-stream"

var errNoETag = errors.New("status 200 without an ETag: it may not have come from the server at all; is there a log-in page in the way?")

// Create begins a multipart upload with a CRC32C over the full object.
func (d *Destination) Create(ctx context.Context, o transport.Object) (string, error) {
	const op = "create"
	if err := d.check(op, o); err != nil {
		return "", err
	}
	out, err := d.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            &d.bucket,
		Key:               d.key(o.Key),
		ContentType:       aws.String(contentType),
		Metadata:          encodeMetadata(o.Metadata),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		ChecksumType:      types.ChecksumTypeFullObject,
	})
	if err != nil {
		return "", fail(op, o.Key, err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" || len(id) > maxUploadID {
		return "", &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: fmt.Errorf("status 200 with an upload ID of %d bytes", len(id))}
	}
	return id, nil
}

// Bounds of what a server can make Dray keep on flash, in bytes.
const (
	maxUploadID = 4096
	maxETag     = 256
)

// isETag tells an answer of an S3 server from one that came from elsewhere.
func isETag(etag *string) bool {
	n := len(aws.ToString(etag))
	return n > 0 && n <= maxETag
}

// UploadPart sends one part.
func (d *Destination) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, body transport.Body) (transport.PartReceipt, error) {
	const op = "upload part"
	var none transport.PartReceipt
	if err := d.check(op, u.Object); err != nil {
		return none, err
	}
	withPart := func(e *transport.Error) (transport.PartReceipt, error) {
		e.Parts = []int{p.Number}
		return none, e
	}
	if err := checkPart(u, p); err != nil {
		return withPart(invalid(op, u.Object.Key, err))
	}
	c, err := newChecked(body, p.Size, p.CRC32C)
	if err != nil {
		return withPart(badBody(op, u.Object.Key, c, err))
	}
	sum := transport.EncodeCRC32C(p.CRC32C)
	out, err := d.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:         &d.bucket,
		Key:            d.key(u.Object.Key),
		UploadId:       &u.ID,
		PartNumber:     aws.Int32(int32(p.Number)),
		ContentLength:  &p.Size,
		Body:           c,
		ChecksumCRC32C: &sum,
	}, unsigned)
	switch {
	case c.err != nil:
		return withPart(badBody(op, u.Object.Key, c, c.err))
	case err != nil:
		return withPart(fail(op, u.Object.Key, err))
	case !isETag(out.ETag):
		return withPart(&transport.Error{Op: op, Key: u.Object.Key, Unknown: true, Err: errNoETag})
	case !c.sent():
		return withPart(early(op, u.Object.Key, c))
	case out.ChecksumCRC32C != nil && *out.ChecksumCRC32C != sum:
		err := fmt.Errorf("the server has CRC32C %s, sent was %s: %w", plain(*out.ChecksumCRC32C, 64), sum, transport.ErrChecksum)
		return withPart(&transport.Error{Op: op, Key: u.Object.Key, Kind: transport.Corrupt, Unknown: true, Err: err})
	}
	return transport.PartReceipt{Number: p.Number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: *out.ETag}, nil
}

func checkPart(u transport.Upload, p transport.Part) error {
	switch {
	case u.ID == "":
		return errors.New("upload ID is empty")
	case p.Number < 1 || p.Number > maxParts:
		return fmt.Errorf("part number must be 1 to %d", maxParts)
	case p.Size < 0 || p.Size > MaxPartSize:
		return fmt.Errorf("part of %d bytes: must be at most %d", p.Size, int64(MaxPartSize))
	case p.Offset < 0 || u.PartSize > 0 && p.Offset != int64(p.Number-1)*u.PartSize:
		return fmt.Errorf("part at offset %d: must be at %d", p.Offset, int64(p.Number-1)*u.PartSize)
	}
	return nil
}

// badBody says that the body could not be sent as announced. c is nil or
// unread if it was refused from the start.
func badBody(op, key string, c *checked, err error) *transport.Error {
	if c == nil {
		return invalid(op, key, err)
	}
	return &transport.Error{Op: op, Key: key, Kind: transport.Corrupt, Err: err}
}

// early says that success was answered before the server can have had the bytes.
func early(op, key string, c *checked) *transport.Error {
	return &transport.Error{Op: op, Key: key, Unknown: true, Err: fmt.Errorf("status 200 after %d of %d bytes: it did not come from the server", c.sum, c.size)}
}

// Abort ends an upload. Servers say in several ways that there is none.
func (d *Destination) Abort(ctx context.Context, u transport.Upload) error {
	const op = "abort"
	if err := d.check(op, u.Object); err != nil {
		return err
	}
	if u.ID == "" {
		return invalid(op, u.Object.Key, errors.New("upload ID is empty"))
	}
	_, err := d.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket:   &d.bucket,
		Key:      d.key(u.Object.Key),
		UploadId: &u.ID,
	})
	if err == nil {
		return nil
	}
	if e := fail(op, u.Object.Key, err); e.Kind != transport.Gone {
		return e
	}
	return nil
}
