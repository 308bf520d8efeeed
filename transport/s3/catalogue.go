package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport"
)

// maxListPages bounds a list of objects, at up to 1000 a page.
const maxListPages = 1 << 20

var errOtherList = errors.New("status 200 with a list of something else")

// Stat asks for the object alone: one HEAD.
func (d *Destination) Stat(ctx context.Context, key string) (*transport.Stored, error) {
	const op = "stat"
	if err := d.check(op, transport.Object{Key: key}); err != nil {
		return nil, err
	}
	return d.head(ctx, op, key)
}

// Objects lists the bucket below the destination's prefix, page by page.
// Directory buckets list in no order, so none is promised.
func (d *Destination) Objects(ctx context.Context, prefix string, fn func(transport.Entry) error) error {
	const op = "list objects"
	in := &s3.ListObjectsV2Input{Bucket: &d.bucket, Prefix: d.below(d.prefix + prefix), EncodingType: types.EncodingTypeUrl}
	for range maxListPages {
		out, err := d.client.ListObjectsV2(ctx, in)
		switch {
		case err != nil:
			return d.asked(op, prefix, err)
		case out.Name == nil && out.IsTruncated == nil && out.KeyCount == nil && len(out.Contents) == 0:
			return &transport.Error{Op: op, Key: prefix, Err: errOtherList}
		}
		for _, o := range out.Contents {
			key, ok := d.listed(aws.ToString(o.Key), out.EncodingType, prefix)
			if !ok {
				continue
			}
			if err := fn(transport.Entry{Key: key, Size: aws.ToInt64(o.Size)}); err != nil {
				return err
			}
		}
		next := aws.ToString(out.NextContinuationToken)
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if next == "" || next == aws.ToString(in.ContinuationToken) {
			break
		}
		in.ContinuationToken = &next
	}
	return &transport.Error{Op: op, Key: prefix, Err: errEndless}
}

// Uploads lists unfinished uploads below the destination's prefix. Some servers
// take a prefix for a whole key, or refuse one that ends within a name: where
// it finds nothing, all of the bucket's are looked through, if that is allowed.
func (d *Destination) Uploads(ctx context.Context, prefix string, fn func(transport.Upload, time.Time) error) error {
	const op = "list uploads"
	found, err := d.listUploads(ctx, op, d.prefix+prefix, prefix, fn)
	if found || d.prefix+prefix == "" || err != nil && transport.KindOf(err) != transport.Invalid {
		return err
	}
	_, all := d.listUploads(ctx, op, "", prefix, fn)
	if err == nil && transport.KindOf(all) == transport.Denied {
		return nil // the narrower question was allowed, and answered
	}
	return all
}

func (d *Destination) listUploads(ctx context.Context, op, below, prefix string, fn func(transport.Upload, time.Time) error) (found bool, err error) {
	in := &s3.ListMultipartUploadsInput{Bucket: &d.bucket, Prefix: d.below(below), EncodingType: types.EncodingTypeUrl}
	for range maxPages {
		out, err := d.client.ListMultipartUploads(ctx, in)
		switch {
		case err != nil:
			return found, d.asked(op, prefix, err)
		case out.Bucket == nil && out.IsTruncated == nil && len(out.Uploads) == 0:
			return found, &transport.Error{Op: op, Key: prefix, Err: errOtherList}
		}
		for _, u := range out.Uploads {
			key, ok := d.listed(aws.ToString(u.Key), out.EncodingType, prefix)
			if id := aws.ToString(u.UploadId); ok && id != "" && len(id) <= maxUploadID {
				found = true
				if err := fn(transport.Upload{ID: id, Object: transport.Object{Key: key, Size: -1}}, aws.ToTime(u.Initiated)); err != nil {
					return found, err
				}
			}
		}
		nextKey, nextID := decodeListed(aws.ToString(out.NextKeyMarker), out.EncodingType), aws.ToString(out.NextUploadIdMarker)
		if !aws.ToBool(out.IsTruncated) {
			return found, nil
		}
		if nextKey == "" || nextKey == aws.ToString(in.KeyMarker) && nextID == aws.ToString(in.UploadIdMarker) {
			break
		}
		in.KeyMarker, in.UploadIdMarker = &nextKey, maybe(nextID)
	}
	return found, &transport.Error{Op: op, Key: prefix, Err: errEndless}
}

// listed returns a key of the bucket as a key of the destination, false if it
// is none that begins with prefix. What others keep in the bucket may have keys
// that Dray never makes; they are not its concern.
func (d *Destination) listed(raw string, encoding types.EncodingType, prefix string) (string, bool) {
	key, ok := strings.CutPrefix(decodeListed(raw, encoding), d.prefix)
	return key, ok && strings.HasPrefix(key, prefix) && transport.CheckKey(key) == nil
}

// decodeListed undoes what the server says that it did to keys, so that even
// those with control characters fit into XML.
func decodeListed(s string, encoding types.EncodingType) string {
	if encoding != types.EncodingTypeUrl {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// asked is fail for a question, which has no effect.
func (d *Destination) asked(op, key string, err error) *transport.Error {
	e := d.fail(op, key, err)
	e.Unknown = false
	if e.Kind == transport.Gone { // a list is of the bucket
		e.Kind, e.Err = transport.Denied, fmt.Errorf("%w; check bucket and endpoint", e.Err)
	}
	return e
}
