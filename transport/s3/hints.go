package s3

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/link"
)

const kmsHint = "check encryption.kms_key, and that the credentials may use that key: kms:GenerateDataKey and kms:Decrypt"

const redirectHint = "it is not followed; check endpoint, and for a log-in page in the way"

// hints say what an operator can do about a code.
var hints = map[string]string{
	"AuthorizationHeaderMalformed": "check region",
	"BadDigest":                    "the bytes or their checksum changed on the way",
	"EntityTooSmall":               "the server wants greater parts: check part_size",
	"ExpiredToken":                 "renew the credentials",
	"ExpiredTokenException":        "renew the credentials",
	"InvalidAccessKeyId":           "check the access key ID",
	"InvalidStorageClass":          "check storage_class",
	"InvalidTag":                   "check tags",
	"InvalidToken":                 "check the session token",
	"NoSuchBucket":                 "check bucket, or make it",
	"PermanentRedirect":            "check region and endpoint",
	"RequestTimeTooSkewed":         "check this device's clock",
	"SignatureDoesNotMatch":        "check the secret access key",
	"TokenRefreshRequired":         "renew the credentials",
}

// statusHints are those about a reply whose code says nothing.
var statusHints = map[int]string{
	http.StatusMovedPermanently:  redirectHint,
	http.StatusFound:             redirectHint,
	http.StatusSeeOther:          redirectHint,
	http.StatusProxyAuthRequired: "check the user and password in proxy",
}

// actions are what credentials must be allowed for each call, as IAM calls it.
var actions = map[string]string{
	"put":         "s3:PutObject",
	"create":      "s3:PutObject",
	"upload part": "s3:PutObject",
	"complete":    "s3:PutObject",
	"abort":       "s3:AbortMultipartUpload",
	"list parts":  "s3:ListMultipartUploadParts",
	"find":        "s3:GetObject, s3:ListBucket and s3:ListBucketMultipartUploads",
	"head":        "s3:GetObject and s3:ListBucket",

	"list objects": "s3:ListBucket",
	"list uploads": "s3:ListBucketMultipartUploads",
	"remove":       "s3:DeleteObject",
}

// action is what credentials must be allowed for op. To a directory bucket a
// session lets in, and with it everything.
func (d *Destination) action(op string) string {
	if d.directory {
		return createSession
	}
	return actions[op]
}

const createSession = "s3express:CreateSession"

// fail is the package's fail with what this destination knows of the cause.
func (d *Destination) fail(op, key string, err error) *transport.Error {
	e := fail(op, key, err)
	if _, unsent := e.Err.(*transport.Error); unsent { // for want of credentials, which it speaks of
		return e
	}
	var (
		r     *refusal
		reply *smithyhttp.ResponseError
	)
	if !errors.As(e, &r) || !errors.As(err, &reply) || reply.HTTPResponse() == nil {
		return e
	}
	switch region := rightRegion(reply.HTTPResponse().Header, r); {
	case region != "" && region != d.region && (r.status/100 == 3 || r.status == http.StatusBadRequest || r.status == http.StatusForbidden):
		e.Kind, e.Caller, r.hint = transport.Denied, true, fmt.Sprintf("the bucket is in another region: set region: %s", region)
	case r.status == http.StatusTemporaryRedirect:
		r.hint = fmt.Sprintf("it points to %s, which is not followed: it is not of the same service; check endpoint", link.Plain(reply.HTTPResponse().Header.Get("Location"), 100))
	case d.directory && op != createSessionOp && creds.Dead(r.code):
		e.Kind, e.Caller, r.hint = transport.Temporary, false, "the session has ended before its time; the next request gets another"
	case r.code == "RequestTimeTooSkewed":
		r.hint = fmt.Sprintf("check this device's clock: the server's says %s", link.Plain(reply.HTTPResponse().Header.Get("Date"), 40))
		if signedByAnother(reply.HTTPResponse().Response) {
			e.Kind, e.Caller = transport.Temporary, false // the next request is signed by the time that this reply says
		}
	case r.forbids():
		r.hint = d.permission(op, r.text)
	case r.code == "NoSuchKey" && d.form.ifMatch != nil:
		e.Kind, e.Caller, r.hint = transport.Denied, false, "if_match is set, and there is no object to replace"
	case e.Kind == transport.Invalid && e.Op == "upload part" && strings.Contains(strings.ToLower(r.text), "encryption"):
		e.Kind, r.hint = transport.Gone, "the upload began under another encryption; it begins anew"
	}
	return e
}

// permission says what may be lacking where access was denied.
func (d *Destination) permission(op, text string) string {
	if strings.Contains(text, "kms:") {
		return kmsHint
	}
	var b strings.Builder
	action := d.action(op)
	b.WriteString("check that the credentials may " + action)
	writes := action == "s3:PutObject" || action == createSession
	if writes && d.form.encryption == types.ServerSideEncryptionAwsKms {
		b.WriteString(", and kms:GenerateDataKey and kms:Decrypt with encryption.kms_key")
	}
	if writes && d.form.tagging != nil {
		b.WriteString(", and s3:PutObjectTagging")
	}
	if writes && d.form.lockMode != "" {
		b.WriteString(", and s3:PutObjectRetention")
	}
	if writes && d.form.hold != "" {
		b.WriteString(", and s3:PutObjectLegalHold")
	}
	if d.form.owner != nil {
		b.WriteString(fmt.Sprintf(", and that the bucket belongs to expected_owner %s", *d.form.owner))
	}
	return b.String()
}

var expecting = regexp.MustCompile(`expecting '([a-z0-9-]{1,40})'`)

// rightRegion is where the server says that the bucket is; "" if it does not.
func rightRegion(h http.Header, r *refusal) string {
	if region := h.Get("X-Amz-Bucket-Region"); region != "" {
		return link.Plain(region, 40)
	}
	if m := expecting.FindStringSubmatch(r.text); m != nil {
		return m[1]
	}
	return ""
}

// errNotEncrypted says that the server took a request for encryption and did
// not do it.
var errNotEncrypted = errors.New("the server does not confirm the encryption that was asked for, so objects would not be encrypted as the config says; use a server that supports it, or change encryption")

// encrypted compares what a reply confirms with what was asked for.
func (d *Destination) encrypted(op, key string, as types.ServerSideEncryption, algorithm, md5 *string) *transport.Error {
	if want := d.form.encryption; want != "" && as != want {
		return &transport.Error{Op: op, Key: key, Kind: transport.Denied, Unknown: true, Err: fmt.Errorf("%s: %w", want, errNotEncrypted)}
	}
	return d.customerKept(op, key, algorithm, md5)
}

// customerKept checks that a reply confirms the customer's key: some servers
// ignore it and keep the bytes in the clear.
func (d *Destination) customerKept(op, key string, algorithm, md5 *string) *transport.Error {
	c := d.form.customer
	if c.key == nil || aws.ToString(algorithm) == *c.algorithm && aws.ToString(md5) == *c.md5 {
		return nil
	}
	return &transport.Error{Op: op, Key: key, Kind: transport.Denied, Unknown: true, Err: fmt.Errorf("SSE-C: %w", errNotEncrypted)}
}
