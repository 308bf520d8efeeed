package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport"
)

// maxPages bounds what a server can make a listing read.
const maxPages = 1000

var errEndless = errors.New("the server's list does not end")

// Parts lists the upload's parts, page by page.
func (d *Destination) Parts(ctx context.Context, u transport.Upload) ([]transport.PartReceipt, error) {
	return d.parts(ctx, "list parts", u)
}

func (d *Destination) parts(ctx context.Context, op string, u transport.Upload) ([]transport.PartReceipt, error) {
	if err := d.check(op, u.Object); err != nil {
		return nil, err
	}
	if u.ID == "" {
		return nil, invalid(op, u.Object.Key, errors.New("upload ID is empty"))
	}
	sum, err := d.lay(op, u.Object)
	if err != nil {
		return nil, err
	}
	var parts []transport.PartReceipt
	in := &s3.ListPartsInput{
		Bucket:               &d.bucket,
		Key:                  d.key(u.Object.Key),
		UploadId:             &u.ID,
		SSECustomerAlgorithm: d.form.customer.algorithm,
		SSECustomerKey:       d.form.customer.key,
		SSECustomerKeyMD5:    d.form.customer.md5,
	}
	for range maxPages {
		out, err := d.client.ListParts(ctx, in)
		if err != nil {
			return nil, d.fail(op, u.Object.Key, err)
		}
		if aws.ToString(out.UploadId) != u.ID {
			return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: errors.New("status 200 with a list of something else")}
		}
		for _, p := range out.Parts {
			r := transport.PartReceipt{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), ETag: aws.ToString(p.ETag)}
			r.CRC32C, r.HasCRC = transport.DecodeCRC32C(aws.ToString(p.ChecksumCRC32C))
			if sum.name != "" {
				r.Sum = sum.value(sums{p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumCRC64NVME, p.ChecksumSHA1, p.ChecksumSHA256})
			}
			if r.Number < 1 || r.Number > maxParts || r.Size < 0 || len(r.ETag) > maxETag || len(parts) == maxParts {
				return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: fmt.Errorf("part %d of %d bytes in the server's list", r.Number, r.Size)}
			}
			parts = append(parts, r)
		}
		next := aws.ToString(out.NextPartNumberMarker)
		if !aws.ToBool(out.IsTruncated) {
			sort.Slice(parts, func(i, j int) bool { return parts[i].Number < parts[j].Number })
			return parts, nil
		}
		if next == "" || next == aws.ToString(in.PartNumberMarker) {
			break
		}
		in.PartNumberMarker = &next
	}
	return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: errEndless}
}

// Find lists the uploads under exactly this key and asks for the object.
func (d *Destination) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	const op = "find"
	if err := d.check(op, transport.Object{Key: key}); err != nil {
		return nil, nil, err
	}
	stored, headErr := d.head(ctx, op, key)
	uploads, listErr := d.uploads(ctx, op, key)
	if listErr != nil {
		return uploads, stored, listErr
	}
	return uploads, stored, headErr
}

// head asks for the object; nil if there is none.
func (d *Destination) head(ctx context.Context, op, key string) (*transport.Stored, error) {
	stored, _, err := d.look(ctx, op, key)
	return stored, err
}

// look asks for the object; nil if there is none. deleted says that the bucket
// keeps versions, and that the latest of this key is its deletion.
func (d *Destination) look(ctx context.Context, op, key string) (stored *transport.Stored, deleted bool, err error) {
	out, err := d.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:               &d.bucket,
		Key:                  d.key(key),
		ChecksumMode:         types.ChecksumModeEnabled,
		SSECustomerAlgorithm: d.form.customer.algorithm,
		SSECustomerKey:       d.form.customer.key,
		SSECustomerKeyMD5:    d.form.customer.md5,
	})
	if err != nil {
		e := d.fail("head", key, err)
		e.Op, e.Unknown = op, false // a question has no effect
		if e.Kind == transport.Gone {
			return nil, headerOf(err, "X-Amz-Delete-Marker") == "true", nil
		}
		return nil, false, e
	}
	if !isETag(out.ETag) || out.ContentLength == nil {
		return nil, false, &transport.Error{Op: op, Key: key, Err: errNoETag}
	}
	if err := d.customerKept(op, key, out.SSECustomerAlgorithm, out.SSECustomerKeyMD5); err != nil {
		return nil, false, err
	}
	// Else a Put that was not encrypted would be found to be there, and do. Of an
	// upload that cannot be: its Create was confirmed.
	if op == "put" && d.form.encryption != "" && out.ServerSideEncryption == "" {
		return nil, false, d.encrypted(op, key, "", nil, nil)
	}
	sum := sums{out.ChecksumCRC32, out.ChecksumCRC32C, out.ChecksumCRC64NVME, out.ChecksumSHA1, out.ChecksumSHA256}
	return &transport.Stored{
		Size:     *out.ContentLength,
		ETag:     *out.ETag,
		Checksum: sum.text(out.ChecksumType),
		Metadata: decodeMetadata(out.Metadata),
	}, false, nil
}

// uploads lists unfinished uploads under exactly key, oldest first.
func (d *Destination) uploads(ctx context.Context, op, key string) ([]transport.Upload, error) {
	type aged struct {
		id    string
		begun time.Time
	}
	var found []aged
	in := &s3.ListMultipartUploadsInput{Bucket: &d.bucket, Prefix: d.below(d.prefix + key)}
	for range maxPages {
		out, err := d.client.ListMultipartUploads(ctx, in)
		if err != nil {
			e := d.fail(op, key, err)
			e.Unknown = false
			return nil, e
		}
		if out.Bucket == nil && out.IsTruncated == nil && len(out.Uploads) == 0 {
			return nil, &transport.Error{Op: op, Key: key, Err: errors.New("status 200 with a list of something else")}
		}
		for _, u := range out.Uploads {
			if n := len(aws.ToString(u.UploadId)); aws.ToString(u.Key) == d.prefix+key && n > 0 && n <= maxUploadID {
				found = append(found, aged{*u.UploadId, aws.ToTime(u.Initiated)})
			}
		}
		nextKey, nextID := aws.ToString(out.NextKeyMarker), aws.ToString(out.NextUploadIdMarker)
		if !aws.ToBool(out.IsTruncated) {
			sort.Slice(found, func(i, j int) bool {
				a, b := &found[i], &found[j]
				return cmp.Or(a.begun.Compare(b.begun), strings.Compare(a.id, b.id)) < 0
			})
			uploads := make([]transport.Upload, len(found))
			for i, f := range found {
				uploads[i] = transport.Upload{ID: f.id, Object: transport.Object{Key: key, Size: -1}}
			}
			return uploads, nil
		}
		if nextKey == "" || nextKey == aws.ToString(in.KeyMarker) && nextID == aws.ToString(in.UploadIdMarker) {
			break
		}
		in.KeyMarker, in.UploadIdMarker = &nextKey, maybe(nextID) // of which directory buckets know no second
	}
	return nil, &transport.Error{Op: op, Key: key, Err: errEndless}
}

// below is what to ask for, to list what begins with prefix; nil: everything.
// Directory buckets take only what ends in a slash.
func (d *Destination) below(prefix string) *string {
	if d.directory {
		prefix = prefix[:strings.LastIndexByte(prefix, '/')+1]
	}
	return maybe(prefix)
}
