package glacier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"

	"github.com/seed-7270d448/dray/transport"
)

// maxPages bounds what a service can make a listing read; a page may have as few
// as 50 lines.
const maxPages = 10_000

// maxIdle is how long an upload lasts without a part. The service says 24 hours
// at least, and means it.
const maxIdle = 24 * time.Hour

var (
	errEndless   = errors.New("the service's list does not end")
	errOtherList = errors.New("success with a list of something else: " + notTheService)
)

// Parts lists the upload's parts, page by page. Their Sum is the tree hash alone.
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
	var parts []transport.PartReceipt
	in := &glacier.ListPartsInput{AccountId: &d.account, VaultName: &d.vault, UploadId: &u.ID}
	for range maxPages {
		out, err := d.client.ListParts(ctx, in)
		switch {
		case err != nil:
			return nil, d.asked(op, u.Object.Key, err)
		case aws.ToString(out.MultipartUploadId) != u.ID:
			return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: errOtherList}
		}
		for _, p := range out.Parts {
			r, err := readPart(p, out.PartSizeInBytes)
			if err != nil || len(parts) == maxParts {
				return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: fmt.Errorf("in the service's list: %w", cmp.Or(err, errEndless))}
			}
			parts = append(parts, r)
		}
		next := aws.ToString(out.Marker)
		if next == "" {
			sort.Slice(parts, func(i, j int) bool { return parts[i].Number < parts[j].Number })
			return parts, nil
		}
		if next == aws.ToString(in.Marker) {
			break
		}
		in.Marker = &next
	}
	return nil, &transport.Error{Op: op, Key: u.Object.Key, Err: errEndless}
}

// readPart reads a line of a list of parts: its range, as "0-1048575", says
// which it is.
func readPart(p types.PartListElement, partSize int64) (r transport.PartReceipt, err error) {
	from, to, _ := strings.Cut(aws.ToString(p.RangeInBytes), "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	tree, ok := parseNode(p.SHA256TreeHash)
	switch {
	case err1 != nil || err2 != nil || !ok || partSize < MinPartSize || first < 0 || first%partSize != 0 || last < first || last-first >= partSize || first/partSize >= maxParts:
		return r, fmt.Errorf("part %.60q of %d bytes a part with tree hash %.80q", aws.ToString(p.RangeInBytes), partSize, aws.ToString(p.SHA256TreeHash))
	}
	return transport.PartReceipt{Number: int(first/partSize) + 1, Size: last - first + 1, Sum: tree[:]}, nil
}

// Find lists the uploads whose description holds exactly this key, oldest
// first. Of finished archives it finds none, ever: they have no keys.
func (d *Destination) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	const op = "find"
	if err := d.check(op, transport.Object{Key: key}); err != nil {
		return nil, nil, err
	}
	type aged struct {
		transport.Upload
		begun time.Time
	}
	found := []aged{}
	err := d.list(ctx, op, key, func(u transport.Upload, begun time.Time) error {
		if u.Object.Key == key {
			found = append(found, aged{u, begun})
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].begun.Before(found[j].begun) })
	uploads := make([]transport.Upload, len(found))
	for i, f := range found {
		uploads[i] = f.Upload
	}
	return uploads, nil, nil
}

// Uploads lists unfinished uploads, those with a description that Dray made.
func (d *Destination) Uploads(ctx context.Context, prefix string, fn func(transport.Upload, time.Time) error) error {
	return d.list(ctx, "list uploads", prefix, func(u transport.Upload, begun time.Time) error {
		if !strings.HasPrefix(u.Object.Key, prefix) {
			return nil
		}
		return fn(u, begun)
	})
}

func (d *Destination) list(ctx context.Context, op, key string, fn func(transport.Upload, time.Time) error) error {
	in := &glacier.ListMultipartUploadsInput{AccountId: &d.account, VaultName: &d.vault}
	for range maxPages {
		out, err := d.client.ListMultipartUploads(ctx, in)
		if err != nil {
			e := d.asked(op, key, err)
			if e.Kind == transport.Gone { // a list is of the vault
				e.Kind = transport.Denied
			}
			return e
		}
		if out.UploadsList == nil {
			return &transport.Error{Op: op, Key: key, Err: errOtherList}
		}
		for _, u := range out.UploadsList {
			o, err := parseDescription(aws.ToString(u.ArchiveDescription))
			id := aws.ToString(u.MultipartUploadId)
			if err != nil || id == "" || len(id) > maxID {
				continue // somebody else's
			}
			begun, _ := time.Parse(time.RFC3339, aws.ToString(u.CreationDate)) // zero if it makes no sense
			if err := fn(transport.Upload{ID: id, Object: transport.Object{Key: o.Key, Size: -1}}, begun); err != nil {
				return err
			}
		}
		next := aws.ToString(out.Marker)
		if next == "" {
			return nil
		}
		if next == aws.ToString(in.Marker) {
			break
		}
		in.Marker = &next
	}
	return &transport.Error{Op: op, Key: key, Err: errEndless}
}

// errNoKeys says why a vault cannot be asked for an object.
var errNoKeys = errors.New("vaults have no keys; hold receipts against an inventory: dray verify --inventory FILE")

// Stat is denied: an archive has no key.
func (d *Destination) Stat(_ context.Context, key string) (*transport.Stored, error) {
	return nil, &transport.Error{Op: "stat", Key: key, Kind: transport.Denied, Err: errNoKeys}
}

// Objects is denied: a vault lists its archives by an inventory only, which
// takes hours. See Inventory.
func (d *Destination) Objects(_ context.Context, prefix string, _ func(transport.Entry) error) error {
	return &transport.Error{Op: "list objects", Key: prefix, Kind: transport.Denied, Err: errors.New("vaults list archives in an inventory only: dray glacier inventory fetches one, dray audit --inventory FILE reads it")}
}
