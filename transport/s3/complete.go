package s3

import (
	"context"
	"errors"
	"fmt"

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
	sum, err := d.lay(op, o)
	if err != nil {
		return none, err
	}
	value, unknown := sum.ofObject(parts)
	if len(unknown) > 0 {
		err := fmt.Errorf("their %s checksum is not known", sum.algorithm)
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Missing, Parts: unknown, Err: err}
	}
	c := claim{op, o, sum.label(value), u.ID}
	condition := d.ifNoneMatch()
	if r, err, done := d.before(ctx, c, condition); done {
		return r, err
	}
	v := sum.sums(value)
	out, err := d.client.CompleteMultipartUpload(link.WithPatience(ctx, completePatience), &s3.CompleteMultipartUploadInput{
		Bucket:               &d.bucket,
		Key:                  d.key(o.Key),
		UploadId:             &u.ID,
		IfNoneMatch:          condition,
		IfMatch:              d.form.ifMatch,
		MpuObjectSize:        &o.Size,
		ChecksumType:         sum.kind,
		ChecksumCRC32:        v.crc32,
		ChecksumCRC32C:       v.crc32c,
		ChecksumCRC64NVME:    v.crc64nvme,
		ChecksumSHA1:         v.sha1,
		ChecksumSHA256:       v.sha256,
		SSECustomerAlgorithm: d.form.customer.algorithm,
		SSECustomerKey:       d.form.customer.key,
		SSECustomerKeyMD5:    d.form.customer.md5,
		MultipartUpload:      &types.CompletedMultipartUpload{Parts: completedParts(sum, parts)},
	})
	if err != nil {
		e := d.fail(op, o.Key, err)
		if wrongParts(e) {
			e = d.nameWrong(ctx, u, parts, e)
		}
		return d.settle(ctx, c, d.unconditional(e, condition))
	}
	got := sums{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256}
	named := aws.ToString(out.Key) == *d.key(o.Key)
	return d.confirm(ctx, c, out.ETag, named, got.text(out.ChecksumType), aws.ToString(out.Location))
}

func completedParts(sum *scheme, parts []transport.PartReceipt) []types.CompletedPart {
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		v := sum.sums(encode(sum.ofPart(p.CRC32C, p.Sum)))
		list[i] = types.CompletedPart{
			PartNumber:        aws.Int32(int32(p.Number)),
			ETag:              aws.String(p.ETag),
			ChecksumCRC32:     v.crc32,
			ChecksumCRC32C:    v.crc32c,
			ChecksumCRC64NVME: v.crc64nvme,
			ChecksumSHA1:      v.sha1,
			ChecksumSHA256:    v.sha256,
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
	sum, err := d.lay(op, o)
	if err != nil {
		return none, err
	}
	value := sum.ofPart(o.CRC32C, o.Sum)
	if value == nil {
		return none, invalid(op, o.Key, fmt.Errorf("its %s checksum is not known", sum.algorithm))
	}
	b, err := transport.NewChecked(body, o.Size, o.CRC32C)
	if err != nil {
		return none, badBody(op, o.Key, b, err)
	}
	c := claim{op: op, o: o, sum: sum.label(encode(value))}
	condition := d.ifNoneMatch()
	if r, err, done := d.before(ctx, c, condition); done {
		return r, err
	}
	f, v := &d.form, sum.sums(encode(value))
	out, err := d.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:                    &d.bucket,
		Key:                       d.key(o.Key),
		Body:                      b,
		ContentLength:             &o.Size,
		ContentType:               f.contentType,
		ContentEncoding:           f.contentEncoding,
		Metadata:                  f.objectMetadata(o),
		StorageClass:              f.storageClass,
		Tagging:                   f.tagging,
		IfNoneMatch:               condition,
		IfMatch:                   f.ifMatch,
		ChecksumCRC32:             v.crc32,
		ChecksumCRC32C:            v.crc32c,
		ChecksumCRC64NVME:         v.crc64nvme,
		ChecksumSHA1:              v.sha1,
		ChecksumSHA256:            v.sha256,
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
	}, unsigned, f.locked(sum))
	switch {
	case b.Err() != nil:
		return none, badBody(op, o.Key, b, b.Err())
	case err != nil:
		return d.settle(ctx, c, d.unconditional(d.fail(op, o.Key, err), condition))
	case !b.Sent():
		return d.settle(ctx, c, early(op, o.Key, b, o.Size))
	}
	if isETag(out.ETag) { // else it did not come from the server
		if err := d.encrypted(op, o.Key, out.ServerSideEncryption, out.SSECustomerAlgorithm, out.SSECustomerKeyMD5); err != nil {
			return none, err
		}
	}
	got := sums{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256}
	return d.confirm(ctx, c, out.ETag, false, got.text(out.ChecksumType), "")
}
