package glacier

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
)

// Bounds of what a service can make Dray keep on flash, in bytes.
const (
	maxID       = 1024 // of an upload or an archive
	maxLocation = 2048
)

const notTheService = "it may not have come from the service at all; check for a log-in page in the way"

// Create begins a multipart upload. The archive's description is fixed here.
func (d *Destination) Create(ctx context.Context, o transport.Object) (string, error) {
	const op = "create"
	if err := d.check(op, o); err != nil {
		return "", err
	}
	text, _ := describe(o) // checked
	size := o.PartSize
	if size == 0 {
		size = d.partSize
	}
	if size < MinPartSize || size > MaxPartSize || bits.OnesCount64(uint64(size)) != 1 {
		return "", invalid(op, o.Key, fmt.Errorf("parts of %d bytes: must be 1 MiB times a power of two", size))
	}
	out, err := d.client.InitiateMultipartUpload(ctx, &glacier.InitiateMultipartUploadInput{
		AccountId:          &d.account,
		VaultName:          &d.vault,
		ArchiveDescription: &text,
		PartSize:           aws.String(strconv.FormatInt(size, 10)),
	})
	if err != nil {
		return "", d.fail(op, o.Key, err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" || len(id) > maxID {
		return "", &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: fmt.Errorf("success with an upload ID of %d bytes: %s", len(id), notTheService)}
	}
	return id, nil
}

// UploadPart sends one part. Both its hashes are known already, so its body is
// read once, while it is sent.
func (d *Destination) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, body transport.Body) (transport.PartReceipt, error) {
	const op = "upload part"
	fail := func(e *transport.Error) (transport.PartReceipt, error) {
		e.Parts = []int{p.Number}
		return transport.PartReceipt{}, e
	}
	if err := d.check(op, u.Object); err != nil {
		return transport.PartReceipt{}, err
	}
	if err := checkPart(u, p); err != nil {
		return fail(invalid(op, u.Object.Key, err))
	}
	tree, linear, ok := sums(p.Sum)
	if !ok {
		return fail(invalid(op, u.Object.Key, errors.New("its hashes are not known")))
	}
	c, err := transport.NewChecked(body, p.Size, p.CRC32C)
	switch {
	case err != nil && c == nil:
		return fail(invalid(op, u.Object.Key, err))
	case err != nil:
		return fail(&transport.Error{Op: op, Key: u.Object.Key, Kind: transport.Corrupt, Err: err})
	}
	out, err := d.client.UploadMultipartPart(ctx, &glacier.UploadMultipartPartInput{
		AccountId: &d.account,
		VaultName: &d.vault,
		UploadId:  &u.ID,
		Checksum:  aws.String(tree.String()),
		Range:     aws.String(fmt.Sprintf("bytes %d-%d/*", p.Offset, p.Offset+p.Size-1)),
		Body:      c,
	}, hashed(linear))
	switch {
	case c.Err() != nil:
		return fail(&transport.Error{Op: op, Key: u.Object.Key, Kind: transport.Corrupt, Err: c.Err()})
	case err != nil:
		return fail(d.fail(op, u.Object.Key, err))
	}
	switch got, ok := parseNode(out.Checksum); {
	case !ok:
		return fail(&transport.Error{Op: op, Key: u.Object.Key, Unknown: true, Err: errors.New("success without the tree hash: " + notTheService)})
	case got != tree:
		err := fmt.Errorf("the service has tree hash %v, sent was %v: %w", got, tree, transport.ErrChecksum)
		return fail(&transport.Error{Op: op, Key: u.Object.Key, Kind: transport.Corrupt, Unknown: true, Err: err})
	case !c.Sent():
		return fail(&transport.Error{Op: op, Key: u.Object.Key, Unknown: true, Err: fmt.Errorf("success after %d of %d bytes: %s", c.Taken(), p.Size, notTheService)})
	}
	return transport.PartReceipt{Number: p.Number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, Sum: p.Sum}, nil
}

// hashed has a part's request signed with the linear hash that is known, and
// says it in the header too, which the SDK leaves out once the tree hash is given.
func hashed(linear string) func(*glacier.Options) {
	return func(o *glacier.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Content-Sha256", linear), func(s *middleware.Stack) error {
			return s.Initialize.Add(middleware.InitializeMiddlewareFunc("KnownPayloadHash",
				func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
					return next.HandleInitialize(v4.SetPayloadHash(ctx, linear), in)
				}), middleware.Before)
		})
	}
}

func checkPart(u transport.Upload, p transport.Part) error {
	switch {
	case u.ID == "":
		return errors.New("upload ID is empty")
	case p.Number < 1 || p.Number > maxParts:
		return fmt.Errorf("part number must be 1 to %d", maxParts)
	case p.Size < 1 || p.Size > MaxPartSize:
		return fmt.Errorf("part of %d bytes: must be 1 to %d", p.Size, int64(MaxPartSize))
	case p.Offset < 0 || u.PartSize > 0 && p.Offset != int64(p.Number-1)*u.PartSize:
		return fmt.Errorf("part at offset %d: must be at %d", p.Offset, int64(p.Number-1)*u.PartSize)
	}
	return nil
}

// Put is refused: Glacier's UploadArchive answers with the only name that the
// archive has, and an answer can be lost.
func (d *Destination) Put(_ context.Context, o transport.Object, _ transport.Body) (transport.Receipt, error) {
	return transport.Receipt{}, invalid("put", o.Key, errors.New("vaults take archives in parts only; one part will do"))
}

// Abort ends an upload.
func (d *Destination) Abort(ctx context.Context, u transport.Upload) error {
	const op = "abort"
	if err := d.check(op, u.Object); err != nil {
		return err
	}
	if u.ID == "" {
		return invalid(op, u.Object.Key, errors.New("upload ID is empty"))
	}
	out, err := d.client.AbortMultipartUpload(ctx, &glacier.AbortMultipartUploadInput{AccountId: &d.account, VaultName: &d.vault, UploadId: &u.ID})
	what := errors.New("a success that the service does not give")
	if err != nil {
		e := d.fail(op, u.Object.Key, err)
		if e.Kind == transport.Gone {
			return nil
		}
		if e.Kind != transport.Invalid { // which is its answer to an upload that was completed
			return e
		}
		what = e.Err
	} else if reply, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok && reply.StatusCode == http.StatusNoContent {
		return nil // any log-in page can give another
	}
	_, err = d.parts(ctx, op, u)
	switch {
	case transport.KindOf(err) == transport.Gone, forbidden(err):
		return nil
	case err == nil:
		err = errors.New("the upload is still there")
	}
	err = fmt.Errorf("%w, and %w", what, err)
	return &transport.Error{Op: op, Key: u.Object.Key, Kind: transport.KindOf(err), Unknown: true, Err: err}
}
