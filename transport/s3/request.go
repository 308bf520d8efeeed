package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
)

const defaultContentType = "application/octet-stream"

// A form is what every request to one bucket has in common, made once.
type form struct {
	scheme *scheme // of objects yet to be laid out

	ifMatch *string
	absent  bool // ask for the key to be free

	owner    *string // for hints; account says it to the server
	customer customer

	contentType, contentEncoding *string
	metadata                     map[string]string // encoded
	storageClass                 types.StorageClass
	tagging                      *string

	encryption types.ServerSideEncryption
	kmsKey     *string
	kmsContext *string
	bucketKey  *bool

	lockMode types.ObjectLockMode
	retain   time.Duration
	hold     types.ObjectLockLegalHoldStatus
}

// customer is the key of SSE-C as its three headers have it; nil without one.
type customer struct{ algorithm, key, md5 *string }

// newForm makes the form of a Write that was checked.
func newForm(w Write) (f form) {
	f.scheme, _ = findScheme(w.Checksum, w.ChecksumType) // checked
	f.absent = !w.MayReplace && w.IfMatch == ""
	f.ifMatch, f.owner = maybe(w.IfMatch), maybe(w.ExpectedOwner)
	f.contentType, f.contentEncoding = maybe(w.ContentType), maybe(w.ContentEncoding)
	if f.contentType == nil {
		f.contentType = aws.String(defaultContentType)
	}
	f.metadata = encodeMetadata(w.Metadata)
	f.storageClass = types.StorageClass(w.StorageClass)
	f.tagging = maybe(tagging(w.Tags))
	switch e := w.Encryption; e.Type {
	case "s3":
		f.encryption = types.ServerSideEncryptionAes256
	case "kms":
		f.encryption = types.ServerSideEncryptionAwsKms
		f.kmsKey, f.kmsContext = maybe(e.KMSKey), maybe(kmsContext(e.KMSContext))
		if e.BucketKey {
			f.bucketKey = aws.Bool(true)
		}
	case "customer":
		f.customer = newCustomer(e.CustomerKey)
	}
	f.lockMode, f.retain = types.ObjectLockMode(strings.ToUpper(w.Lock.Mode)), w.Lock.Retain
	if w.Lock.LegalHold {
		f.hold = types.ObjectLockLegalHoldStatusOn
	}
	return f
}

// newCustomer makes the headers of a key. The SDK fills in the MD5 of some
// calls only, so it is given on all.
func newCustomer(key CustomerKey) customer {
	sum := md5.Sum(key)
	return customer{
		algorithm: aws.String("AES256"),
		key:       aws.String(base64.StdEncoding.EncodeToString(key)),
		md5:       aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
}

// maybe leaves an empty value out of a request.
func maybe(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// tagging is the header's form of tags. Blanks are %20: a plus sign would be
// one too, but not to every server.
func tagging(tags map[string]string) string {
	q := url.Values{}
	for name, value := range tags {
		q.Set(name, value)
	}
	return strings.ReplaceAll(q.Encode(), "+", "%20")
}

// kmsContext is the header's form of an encryption context.
func kmsContext(c map[string]string) string {
	if len(c) == 0 {
		return ""
	}
	b, _ := json.Marshal(c) // strings always encode
	return base64.StdEncoding.EncodeToString(b)
}

// objectMetadata is all the metadata of an object as it is sent.
func (f *form) objectMetadata(o transport.Object) map[string]string {
	m := encodeMetadata(o.Metadata)
	maps.Copy(m, f.metadata)
	return m
}

// retainUntil is when the lock of an object created now ends, by the server's
// clock if it has told the time: nobody can shorten a lock that a wrong clock made
// too long. nil without one.
func (d *Destination) retainUntil() *time.Time {
	if d.form.lockMode == "" {
		return nil
	}
	now := time.Now()
	if server, heard := d.link.Clock(); !heard.IsZero() {
		now = server.Add(now.Sub(heard))
	}
	return aws.Time(now.Add(d.form.retain).UTC())
}

// ifNoneMatch asks for the key to be free, unless the server knows no such
// condition.
func (d *Destination) ifNoneMatch() *string {
	if d.form.absent && !d.condition.off() {
		return aws.String("*")
	}
	return nil
}

// locked names the algorithm of the checksum that goes with a body: servers
// demand that, or an MD5, of objects with a lock.
func (f *form) locked(s *scheme) func(*s3.Options) {
	return func(o *s3.Options) {
		if f.lockMode != "" || f.hold != "" {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Sdk-Checksum-Algorithm", string(s.algorithm)))
		}
	}
}

// loopback reports whether host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
