package glacier

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"

	"github.com/seed-7270d448/dray/transport"
)

// spares says which trials a vault has no answer to.
var spares = map[transport.Trial]string{
	transport.TrialComplete:  "an archive costs storage for 90 days at least; see complete without effect",
	transport.TrialHead:      "vaults have no keys to ask by; dray verify --inventory compares receipts with an inventory",
	transport.TrialAbsent:    "vaults have no keys to ask by",
	transport.TrialChecksum:  "the tree hash is compared at each part and at the end",
	transport.TrialCondition: "vaults have no keys that could be taken",
	transport.TrialPut:       "archives go out in parts, small ones in one",
	transport.TrialList:      "vaults list archives in an inventory only; see dray glacier inventory",
	transport.TrialRemove:    "nothing was made",
}

// Spares says why a vault makes a trial pointless; empty if it does not.
func (d *Destination) Spares(t transport.Trial) string { return spares[t] }

// lacks are the permissions that the trials need.
var lacks = map[transport.Trial]string{
	transport.TrialCreate:      actions["create"],
	transport.TrialPart:        actions["upload part"],
	transport.TrialListParts:   actions["list parts"],
	transport.TrialListUploads: actions["find"],
	transport.TrialAbort:       actions["abort"],
	trialComplete:              actions["complete"],
	trialInventory:             actions["list jobs"],
}

// Lacks names the permission for want of which a trial failed with err.
func (d *Destination) Lacks(t transport.Trial, err error) string {
	if forbidden(err) {
		return lacks[t]
	}
	return ""
}

// The trials that only vaults need.
const (
	trialComplete  transport.Trial = "complete without effect"
	trialInventory transport.Trial = "inventory"
)

// Examine tries to complete an upload with a wrong tree hash: an answer other
// than that it is wrong says what is lacking, and no archive comes of it. And it
// asks for inventory jobs.
func (d *Destination) Examine(ctx context.Context, o transport.Object, _ bool) []transport.Finding {
	complete := transport.Finding{Trial: trialComplete, Need: transport.Needed, Means: "nothing can be archived"}
	complete.OK, complete.Detail = d.completeInVain(ctx, o, &complete)
	inventory := transport.Finding{Trial: trialInventory, Need: transport.Optional, OK: true}
	if _, err := d.Jobs(ctx); err != nil {
		inventory.OK, inventory.Detail, inventory.Lacks = false, err.Error(), d.Lacks(trialInventory, err)
		inventory.Means = "dray glacier inventory cannot work from here; uploading does not need it"
	}
	for _, f := range []*transport.Finding{&complete, &inventory} {
		if f.OK {
			f.Means = ""
		}
	}
	return []transport.Finding{complete, inventory}
}

func (d *Destination) completeInVain(ctx context.Context, o transport.Object, f *transport.Finding) (ok bool, detail string) {
	o.Size, o.PartSize = -1, MinPartSize
	id, err := d.Create(ctx, o)
	if err != nil {
		f.NotRun = true
		return false, "not tried, because create failed"
	}
	u := transport.Upload{ID: id, Object: o}
	_, err = d.client.CompleteMultipartUpload(ctx, &glacier.CompleteMultipartUploadInput{
		AccountId: &d.account, VaultName: &d.vault, UploadId: &id,
		ArchiveSize: aws.String(strconv.Itoa(1)),
		Checksum:    aws.String(node(sha256.Sum256(nil)).String()),
	})
	if err == nil {
		err = errors.New("an upload without a part was completed")
	} else if e := d.fail("complete", o.Key, err); e.Kind == transport.Invalid {
		err = nil // refused for what is wrong with it, and not for who asks
	} else {
		err, f.Lacks = e, d.Lacks(trialComplete, e)
	}
	if end := d.Abort(context.WithoutCancel(ctx), u); end != nil {
		detail = "; its upload " + id + " stays: " + end.Error()
	}
	if err != nil {
		return false, err.Error() + detail
	}
	return true, "a wrong one was refused as wrong, so a right one is permitted" + detail
}

// Remove is refused: trials make no archives.
func (d *Destination) Remove(_ context.Context, key string) error {
	return invalid("remove", key, errors.New("archives are not removed"))
}
