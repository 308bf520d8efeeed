package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
)

var errNoETag = errors.New("status 200 without an ETag: it may not have come from the server at all; check for a log-in page in the way")

// Create begins a multipart upload with a checksum of the kind that o was laid
// out for.
func (d *Destination) Create(ctx context.Context, o transport.Object) (string, error) {
	const op = "create"
	if err := d.check(op, o); err != nil {
		return "", err
	}
	sum, err := d.lay(op, o)
	if err != nil {
		return "", err
	}
	f := &d.form
	out, err := d.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:                    &d.bucket,
		Key:                       d.key(o.Key),
		ContentType:               f.contentType,
		ContentEncoding:           f.contentEncoding,
		Metadata:                  f.objectMetadata(o),
		StorageClass:              f.storageClass,
		Tagging:                   f.tagging,
		ChecksumAlgorithm:         sum.algorithm,
		ChecksumType:              sum.kind,
		ServerSideEncryption:      f.encryption,
		SSEKMSKeyId:               f.kmsKey,
		SSEKMSEncryptionContext:   f.kmsContext,
		BucketKeyEnabled:          f.bucketKey,
		SSECustomerAlgorithm:      f.customer.algorithm,
		SSECustomerKey:            f.customer.key,
		SSECustomerKeyMD5:         f.customer.md5,
		ObjectLockMode:            f.lockMode,
		ObjectLockRetainUntilDate: d.retainUntil(),
		ObjectLockLegalHoldStatus: f.hold,
	})
	if err != nil {
		return "", d.fail(op, o.Key, err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" || len(id) > maxUploadID {
		return "", &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: fmt.Errorf("status 200 with an upload ID of %d bytes: it may not have come from the server at all; check for a log-in page in the way", len(id))}
	}
	if err := d.encrypted(op, o.Key, out.ServerSideEncryption, out.SSECustomerAlgorithm, out.SSECustomerKeyMD5); err != nil {
		return "", err
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
	sum, err := d.lay(op, u.Object)
	if err != nil {
		return none, err
	}
	value := sum.ofPart(p.CRC32C, p.Sum)
	if value == nil {
		return withPart(invalid(op, u.Object.Key, fmt.Errorf("its %s checksum is not known", sum.algorithm)))
	}
	c, err := transport.NewChecked(body, p.Size, p.CRC32C)
	if err != nil {
		return withPart(badBody(op, u.Object.Key, c, err))
	}
	v := sum.sums(encode(value))
	out, err := d.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket:               &d.bucket,
		Key:                  d.key(u.Object.Key),
		UploadId:             &u.ID,
		PartNumber:           aws.Int32(int32(p.Number)),
		ContentLength:        &p.Size,
		Body:                 c,
		ChecksumCRC32:        v.crc32,
		ChecksumCRC32C:       v.crc32c,
		ChecksumCRC64NVME:    v.crc64nvme,
		ChecksumSHA1:         v.sha1,
		ChecksumSHA256:       v.sha256,
		SSECustomerAlgorithm: d.form.customer.algorithm,
		SSECustomerKey:       d.form.customer.key,
		SSECustomerKeyMD5:    d.form.customer.md5,
	}, unsigned, d.form.locked(sum))
	r := transport.PartReceipt{Number: p.Number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, Sum: p.Sum}
	switch {
	case c.Err() != nil:
		return withPart(badBody(op, u.Object.Key, c, c.Err()))
	case err != nil:
		e := d.fail(op, u.Object.Key, err)
		if statusOf(e) == http.StatusNotImplemented {
			return d.sentAgain(ctx, u, r, e)
		}
		return withPart(e)
	case !isETag(out.ETag):
		return withPart(&transport.Error{Op: op, Key: u.Object.Key, Unknown: true, Err: errNoETag})
	case !c.Sent():
		return withPart(early(op, u.Object.Key, c, p.Size))
	}
	got := sum.value(sums{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256})
	if got != nil && !bytes.Equal(got, value) {
		err := fmt.Errorf("the server has %s %s, sent was %s: %w", sum.algorithm, encode(got), encode(value), transport.ErrChecksum)
		return withPart(&transport.Error{Op: op, Key: u.Object.Key, Kind: transport.Corrupt, Unknown: true, Err: err})
	}
	if err := d.customerKept(op, u.Object.Key, out.SSECustomerAlgorithm, out.SSECustomerKeyMD5); err != nil {
		return withPart(err)
	}
	r.ETag = *out.ETag
	return r, nil
}

// sentAgain settles the 501 with which some servers refuse a part number that
// they hold. If they hold these bytes the part is stored; if not, or if that
// does not show, the upload can never be finished and has to begin anew.
func (d *Destination) sentAgain(ctx context.Context, u transport.Upload, r transport.PartReceipt, e *transport.Error) (transport.PartReceipt, error) {
	e.Parts = []int{r.Number}
	held, err := d.parts(ctx, "list parts", u)
	if err != nil {
		e.Kind = transport.Temporary // until the list can be had
		if forbidden(err) || transport.KindOf(err) == transport.Gone {
			e.Kind = transport.Gone // it never can
		}
		e.Err = fmt.Errorf("%w; asked for the parts: %w", e.Err, err)
		return transport.PartReceipt{}, e
	}
	for _, h := range held {
		if h.Number != r.Number {
			continue
		}
		if h.Size == r.Size && (h.HasCRC || len(h.Sum) > 0 && len(r.Sum) > 0) && !otherBytes(h, r) {
			r.ETag = h.ETag
			return r, nil
		}
		e.Kind, e.Err = transport.Gone, fmt.Errorf("%w; the server takes no part twice: the upload begins anew", e.Err)
	}
	return transport.PartReceipt{}, e
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
func badBody(op, key string, c *transport.Checked, err error) *transport.Error {
	if c == nil {
		return invalid(op, key, err)
	}
	return &transport.Error{Op: op, Key: key, Kind: transport.Corrupt, Err: err}
}

// early says that success was answered before the server can have had the bytes.
func early(op, key string, c *transport.Checked, size int64) *transport.Error {
	return &transport.Error{Op: op, Key: key, Unknown: true, Err: fmt.Errorf("status 200 after %d of %d bytes: it did not come from the server", c.Taken(), size)}
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
	out, err := d.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket:   &d.bucket,
		Key:      d.key(u.Object.Key),
		UploadId: &u.ID,
	})
	if err != nil {
		if e := d.fail(op, u.Object.Key, err); e.Kind != transport.Gone {
			return e
		}
		return nil
	}
	if reply, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok && reply.StatusCode != http.StatusNoContent {
		return d.ended(ctx, u, reply.StatusCode)
	}
	return nil
}

// ended makes sure of an Abort that was answered with a success other than
// S3's own 204, which any log-in page can do.
func (d *Destination) ended(ctx context.Context, u transport.Upload, status int) error {
	const op = "abort"
	_, err := d.parts(ctx, "list parts", u)
	switch {
	case transport.KindOf(err) == transport.Gone, forbidden(err):
		return nil
	case err == nil:
		err = errors.New("the upload is still there")
	}
	err = fmt.Errorf("status %d, and %w", status, err)
	return &transport.Error{Op: op, Key: u.Object.Key, Kind: transport.KindOf(err), Unknown: true, Err: err}
}
