package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

var (
	_ transport.Catalogue = (*Destination)(nil)
	_ transport.Examiner  = (*Destination)(nil)
)

// The trials that only S3 has.
const (
	trialClock      transport.Trial = "clock"
	trialWrongBytes transport.Trial = "wrong bytes"
	trialEncryption transport.Trial = "encryption"
	trialClass      transport.Trial = "storage class"
	trialLock       transport.Trial = "object lock"
	trialTags       transport.Trial = "tags"
)

// granted is what IAM calls the permission for each trial. That to look at an
// upload's parts, and those to end or list uploads, are not part of PutObject.
var granted = map[transport.Trial]string{
	transport.TrialCreate:      "s3:PutObject",
	transport.TrialPart:        "s3:PutObject",
	transport.TrialComplete:    "s3:PutObject",
	transport.TrialCondition:   "s3:PutObject",
	transport.TrialPut:         "s3:PutObject",
	transport.TrialListParts:   "s3:ListMultipartUploadParts",
	transport.TrialListUploads: "s3:ListBucketMultipartUploads",
	transport.TrialAbort:       "s3:AbortMultipartUpload",
	transport.TrialHead:        "s3:GetObject",
	transport.TrialAbsent:      "s3:ListBucket",
	transport.TrialList:        "s3:ListBucket",
	transport.TrialRemove:      "s3:DeleteObject",
}

// named finds an action that the service itself names in a refusal.
var named = regexp.MustCompile(`\b(?:s3|s3express|kms):[A-Z][A-Za-z]{2,48}\b`)

// Lacks names the IAM action, or the feature, for want of which a trial failed.
func (d *Destination) Lacks(t transport.Trial, err error) string {
	code := codeOf(err)
	switch {
	case code == "NotImplemented" && t == transport.TrialCondition:
		return "support of If-None-Match"
	case code == "NotImplemented":
		return "support of this request"
	case t == transport.TrialChecksum:
		return "checksums of objects"
	case t == transport.TrialCondition && transport.KindOf(err) == transport.Temporary && statusOf(err) == 0:
		return "support of If-None-Match"
	case transport.KindOf(err) != transport.Denied:
		return ""
	}
	if r := (*refusal)(nil); errors.As(err, &r) {
		if action := named.FindString(r.text); action != "" {
			return action
		}
	}
	switch {
	case strings.HasPrefix(code, "KMS."):
		return "kms:GenerateDataKey and kms:Decrypt, with a key that is enabled"
	case !forbidden(err):
		return "" // it is not permission that is missing; the error says what
	}
	action := granted[t]
	if d.directory {
		action = createSession
	}
	return strings.Join(append([]string{action}, d.alsoWanted(t)...), " or ")
}

// alsoWanted are the other permissions that a trial needs with this config. A
// bare refusal does not tell one from the other.
func (d *Destination) alsoWanted(t transport.Trial) (more []string) {
	f := &d.form
	creates := t == transport.TrialCreate || t == transport.TrialPut
	add := func(on bool, action string) {
		if on {
			more = append(more, action)
		}
	}
	add(creates && f.tagging != nil, "s3:PutObjectTagging")
	add(creates && f.lockMode != "", "s3:PutObjectRetention")
	add(creates && f.hold != "", "s3:PutObjectLegalHold")
	if f.encryption == types.ServerSideEncryptionAwsKms {
		add(creates || t == transport.TrialPart, "kms:GenerateDataKey")
		add(t == transport.TrialPart || t == transport.TrialComplete || t == transport.TrialCondition || t == transport.TrialHead, "kms:Decrypt")
	}
	add(f.owner != nil, "a bucket of the account expected_owner")
	return more
}

// Spares says why the config makes a trial pointless.
func (d *Destination) Spares(t transport.Trial) string {
	if t == transport.TrialCondition && !d.form.absent {
		return "the config lets objects be replaced"
	}
	return ""
}

// Examine holds the clock against the server's, and the object against what
// the config asks for.
func (d *Destination) Examine(ctx context.Context, o transport.Object, stored bool) []transport.Finding {
	head, date, err := d.headRaw(ctx, o.Key)
	findings := []transport.Finding{clock(date, time.Now(), err)}
	for _, note := range d.Notes() {
		findings = append(findings, transport.Finding{Trial: transport.TrialCondition, Need: transport.Wanted, Lacks: "support of If-None-Match", Means: note})
	}
	if stored && err == nil {
		findings = append(findings, d.encryption(head))
		findings = append(findings, d.extras(head)...)
	}
	if stored {
		findings = append(findings, d.wrongBytes(ctx, o))
	}
	return findings
}

// headRaw asks for the object and for the time at the server, which even a
// refusal tells; zero if no reply came.
func (d *Destination) headRaw(ctx context.Context, key string) (out *s3.HeadObjectOutput, date time.Time, err error) {
	f := &d.form
	out, err = d.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &d.bucket, Key: d.key(key),
		SSECustomerAlgorithm: f.customer.algorithm, SSECustomerKey: f.customer.key, SSECustomerKeyMD5: f.customer.md5,
	})
	var header http.Header
	reply := (*smithyhttp.ResponseError)(nil)
	if errors.As(err, &reply) && reply.HTTPResponse() != nil && reply.HTTPResponse().Response != nil {
		header = reply.HTTPResponse().Header
	} else if err == nil {
		if raw, ok := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response); ok && raw.Response != nil {
			header = raw.Header
		}
	}
	date, _ = http.ParseTime(header.Get("Date")) // zero: it told none
	return out, date, err
}

// clock compares this device's time with the server's.
func clock(server, now time.Time, err error) transport.Finding {
	const tolerance = time.Minute // S3 refuses from 15 on; capture times are wrong long before
	f := transport.Finding{Trial: trialClock, Need: transport.Wanted}
	skew := now.Sub(server).Round(time.Second)
	switch {
	case server.IsZero():
		f.NotRun, f.Detail = true, "the server did not tell its time"
		if err != nil {
			f.Detail = fail("stat", "", err).Error()
		}
	case skew.Abs() <= tolerance:
		f.OK, f.Detail = true, fmt.Sprintf("within %v of the server's", cmp.Or(skew.Abs(), time.Second))
	default:
		way := "ahead of"
		if skew < 0 {
			way = "behind"
		}
		f.Lacks = "the right time on this device"
		f.Means = "capture times in keys and metadata are wrong; requests are signed with the server's time, once one was refused"
		f.Detail = fmt.Sprintf("this device is %v %s the server", skew.Abs(), way)
	}
	return f
}

// encryption says how the object is encrypted. Some servers ignore what they
// were asked for.
func (d *Destination) encryption(head *s3.HeadObjectOutput) transport.Finding {
	f := transport.Finding{Trial: trialEncryption, Need: transport.Optional, OK: true}
	have := string(head.ServerSideEncryption)
	if head.SSECustomerAlgorithm != nil {
		have = "customer"
	}
	want := string(d.form.encryption)
	if d.form.customer.key != nil {
		want = "customer"
	}
	switch {
	case want == "":
		f.Detail = "the config asks for none; the server says " + link.Plain(cmp.Or(have, "nothing"), 64)
	case want != have || !sameKey(aws.ToString(d.form.kmsKey), aws.ToString(head.SSEKMSKeyId)):
		f.OK, f.Need = false, transport.Needed
		f.Lacks = "encryption of type " + want
		f.Means = "objects are not encrypted as the config asks"
		f.Detail = "the server says " + link.Plain(strings.TrimSpace(cmp.Or(have, "nothing")+" "+aws.ToString(head.SSEKMSKeyId)), 300)
	default:
		f.Need, f.Detail = transport.Needed, link.Plain(have, 64)
	}
	return f
}

// sameKey compares a key's name in the config with the ARN that the server
// gives. An alias cannot be compared.
func sameKey(want, have string) bool {
	return want == "" || have == "" || strings.Contains(want, "alias/") || want == have || strings.HasSuffix(have, "/"+want)
}

// extras says whether what else the config asks for is there.
func (d *Destination) extras(head *s3.HeadObjectOutput) (findings []transport.Finding) {
	f := &d.form
	add := func(t transport.Trial, asked, there bool, lacks, means string) {
		if !asked {
			return
		}
		finding := transport.Finding{Trial: t, Need: transport.Wanted, OK: there}
		if !there {
			finding.Lacks, finding.Means = lacks, means
		}
		findings = append(findings, finding)
	}
	class := cmp.Or(head.StorageClass, types.StorageClassStandard)
	add(trialClass, f.storageClass != "", class == f.storageClass, "storage class "+string(f.storageClass), "objects are kept in the class "+link.Plain(string(class), 64))
	locked := (f.lockMode == "" || head.ObjectLockMode == f.lockMode) && (f.hold == "" || head.ObjectLockLegalHoldStatus == f.hold)
	add(trialLock, f.lockMode != "" || f.hold != "", locked, "object lock in the bucket, or s3:GetObjectRetention and s3:GetObjectLegalHold to see it", "objects may be deleted before their time")
	add(trialTags, f.tagging != nil, aws.ToInt32(head.TagCount) > 0, "tags of objects, or s3:GetObjectTagging to see them", "objects may lack their tags")
	return findings
}

// wrongBytes sends a part whose checksum is another's. Refused or not, it goes
// with its upload.
func (d *Destination) wrongBytes(ctx context.Context, o transport.Object) transport.Finding {
	f := transport.Finding{
		Trial: trialWrongBytes, Need: transport.Wanted,
		Means: "a part that is damaged on its way is noticed by Dray alone, where the server says what it holds",
	}
	o.Size, o.CRC32C, o.Sum = -1, 0, nil
	id, err := d.Create(ctx, o)
	if err != nil {
		f.NotRun, f.Detail = true, err.Error()
		return f
	}
	form, scheme := &d.form, schemeOf(o.Hash)
	value := scheme.sums(encode(make([]byte, scheme.size)))
	body := []byte("dray doctor: these bytes have another checksum.\n")
	_, err = d.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &d.bucket, Key: d.key(o.Key), UploadId: &id, PartNumber: aws.Int32(1),
		ContentLength: aws.Int64(int64(len(body))), Body: bytes.NewReader(body),
		SSECustomerAlgorithm: form.customer.algorithm, SSECustomerKey: form.customer.key, SSECustomerKeyMD5: form.customer.md5,
		ChecksumCRC32: value.crc32, ChecksumCRC32C: value.crc32c, ChecksumCRC64NVME: value.crc64nvme, ChecksumSHA1: value.sha1, ChecksumSHA256: value.sha256,
	})
	e := (*transport.Error)(nil)
	if err != nil {
		e = d.fail("upload part", o.Key, err)
	}
	switch {
	case e == nil:
		f.Lacks = "a check of " + string(scheme.algorithm)
	case statusOf(e)/100 == 4 && e.Kind != transport.Denied && e.Kind != transport.Throttled:
		f.OK, f.Means, f.Detail = true, "", fmt.Sprintf("refused with %s", cmp.Or(codeOf(e), fmt.Sprint(statusOf(e))))
	default:
		f.NotRun, f.Detail = true, e.Error()
	}
	if err := d.Abort(ctx, transport.Upload{ID: id, Object: o}); err != nil {
		f.Detail = strings.TrimPrefix(f.Detail+"; an upload stays behind: "+err.Error(), "; ")
	}
	return f
}

// Remove deletes an object that a trial made.
func (d *Destination) Remove(ctx context.Context, key string) error {
	const op = "remove"
	if err := d.check(op, transport.Object{Key: key}); err != nil {
		return err
	}
	if !slices.Contains(strings.Split(key, "/"), transport.TrialFolder) {
		return invalid(op, key, fmt.Errorf("only what a trial made, under %s, is ever removed", transport.TrialFolder))
	}
	_, err := d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &d.bucket, Key: d.key(key)})
	if err == nil {
		return nil
	}
	if e := d.fail(op, key, err); e.Kind != transport.Gone {
		return e
	}
	return nil
}
