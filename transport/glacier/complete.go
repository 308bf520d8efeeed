package glacier

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// completePatience is how long the service may work on a Complete without a word.
const completePatience = 10 * time.Minute

// checksumPrefix begins the Checksum of a receipt that holds a tree hash.
const checksumPrefix = "sha256-tree:"

// Complete makes the parts into the archive. Repeated while the service still
// remembers, it gives the same archive ID.
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
	case o.Size == 0:
		return none, invalid(op, o.Key, errors.New("archive is empty"))
	case len(missing) > 0:
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Missing, Parts: missing, Err: errors.New("never sent")}
	}
	trees := make([]node, len(parts))
	for i, p := range parts {
		tree, _, ok := sums(p.Sum)
		if !ok {
			missing = append(missing, p.Number)
		}
		trees[i] = tree
	}
	if len(missing) > 0 {
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Missing, Parts: missing, Err: errors.New("their hashes are not known")}
	}
	tree := treeOf(trees)
	out, err := d.client.CompleteMultipartUpload(link.WithPatience(ctx, completePatience), &glacier.CompleteMultipartUploadInput{
		AccountId:   &d.account,
		VaultName:   &d.vault,
		UploadId:    &u.ID,
		ArchiveSize: aws.String(strconv.FormatInt(o.Size, 10)),
		Checksum:    aws.String(tree.String()),
	})
	if err != nil {
		switch e := d.fail(op, o.Key, err); e.Kind {
		case transport.Gone:
			return d.settle(ctx, u, tree, e)
		case transport.Invalid:
			return none, d.nameWrong(ctx, u, parts, e)
		default:
			return none, e
		}
	}
	got, ok := parseNode(out.Checksum)
	switch id := aws.ToString(out.ArchiveId); {
	case id == "" || len(id) > maxID || !ok:
		return none, &transport.Error{Op: op, Key: o.Key, Unknown: true, Err: fmt.Errorf("success with an archive ID of %d bytes: %s", len(id), notTheService)}
	case got != tree:
		err := fmt.Errorf("the service has tree hash %v, sent was %v: %w", got, tree, transport.ErrChecksum)
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Corrupt, Unknown: true, Err: err}
	default:
		return transport.Receipt{
			Size:      o.Size,
			Checksum:  checksumPrefix + tree.String(),
			ArchiveID: id,
			Location:  link.Plain(aws.ToString(out.Location), maxLocation),
		}, nil
	}
}

// settle says what it means that the service does not know the upload: that it
// expired, or that an earlier Complete, whose reply was not seen, was its end and
// the time in which a repetition is answered is over. An archive cannot be asked
// for by anything but its ID, so if there was an earlier one nobody knows.
func (d *Destination) settle(ctx context.Context, u transport.Upload, tree node, e *transport.Error) (transport.Receipt, error) {
	var none transport.Receipt
	_, err := d.parts(ctx, e.Op, u)
	switch {
	case err == nil:
		e.Kind = transport.Temporary
		e.Err = fmt.Errorf("%w; yet its parts are listed: tried again", e.Err)
		return none, e
	case transport.KindOf(err) != transport.Gone && !forbidden(err):
		e.Kind, e.Unknown = transport.KindOf(err), true
		e.Err = fmt.Errorf("%w; asked for its parts: %w", e.Err, err)
		return none, e
	case !u.Tried:
		return none, e // nothing was made
	case d.inDoubt == Resend:
		e.Err = fmt.Errorf("%w; it may have become an archive unseen: sent again, as in_doubt: %s asks", e.Err, Resend)
		return none, e
	}
	text, _ := describe(u.Object) // checked
	return transport.Receipt{
		Size:     u.Object.Size,
		Checksum: checksumPrefix + tree.String(),
		InDoubt: fmt.Sprintf("the reply to its completion was not seen, and upload %s is no more: it became an archive or expired; look in the inventory of vault %s (account %s, %s) for %d bytes with tree hash %v and description %q",
			u.ID, d.vault, d.account, d.region, u.Object.Size, tree, text),
	}, nil
}

// nameWrong finds out which parts made the service refuse a Complete: it holds
// them with another hash or range, or not at all.
func (d *Destination) nameWrong(ctx context.Context, u transport.Upload, parts []transport.PartReceipt, e *transport.Error) *transport.Error {
	held, err := d.parts(ctx, e.Op, u)
	if err != nil {
		if kind := transport.KindOf(err); kind == transport.Gone || forbidden(err) {
			return e
		}
		e.Kind = transport.KindOf(err)
		e.Err = fmt.Errorf("%w; asked for its parts: %w", e.Err, err)
		return e
	}
	have := make(map[int]transport.PartReceipt, len(held))
	for _, p := range held {
		have[p.Number] = p
	}
	for _, p := range parts {
		tree, _, _ := sums(p.Sum) // checked
		if h, ok := have[p.Number]; !ok || h.Size != p.Size || string(h.Sum) != string(tree[:]) {
			e.Parts = append(e.Parts, p.Number)
		}
	}
	if len(e.Parts) > 0 {
		e.Kind = transport.Missing
	}
	return e
}
