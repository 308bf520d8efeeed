package s3

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Write says how objects are written. The zero value is good: a CRC32C over
// the whole object, never in another's place.
type Write struct {
	Checksum     string // crc32c (the default), crc64nvme, crc32, sha1, sha256
	ChecksumType string // full_object or composite; default: what the algorithm does best

	MayReplace bool   // do not ask for the key to be free (If-None-Match: "*")
	IfMatch    string // ETag of the one object that may be replaced; instead of asking for the key to be free

	ExpectedOwner string // account ID that the bucket must belong to, twelve digits
	RequestPayer  bool   // confirm that the requester pays

	Encryption   Encryption
	StorageClass string
	Tags         map[string]string // at most ten
	Lock         Lock

	ContentType     string            // default application/octet-stream
	ContentEncoding string            //
	Metadata        map[string]string // besides Dray's own; values are percent-encoded
}

// Encryption says how the server encrypts objects at rest.
type Encryption struct {
	Type        string            // "": as the bucket has it; s3, kms or customer
	KMSKey      string            // ID, ARN or alias; default: Amazon's own key
	KMSContext  map[string]string // authenticated with every use of the KMS key
	BucketKey   bool              // fewer calls of KMS, by a key of the bucket's
	CustomerKey CustomerKey       // 32 bytes
}

// Lock keeps finished objects from being deleted or replaced.
type Lock struct {
	Mode      string        // governance or compliance; needs Retain
	Retain    time.Duration // counted from the object's creation at the server
	LegalHold bool
}

// A CustomerKey is the secret of SSE-C. However it is printed, it shows
// "[secret]".
type CustomerKey []byte

// Format writes "[secret]", whatever the verb.
func (CustomerKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[secret]") }

// MarshalText returns "[secret]".
func (CustomerKey) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

const customerKeyBytes = 32

// ParseCustomerKey reads the contents of a key file: 32 bytes as they are, or
// in base64 or hexadecimal on one line. Its error repeats nothing of them.
func ParseCustomerKey(data []byte) (CustomerKey, error) {
	if len(data) == customerKeyBytes {
		return data, nil
	}
	text := strings.TrimSpace(string(data))
	for _, decode := range []func(string) ([]byte, error){base64.StdEncoding.DecodeString, hex.DecodeString} {
		if key, err := decode(text); err == nil && len(key) == customerKeyBytes {
			return key, nil
		}
	}
	return nil, errors.New("holds no key: it must be 32 bytes, or those in base64 or hexadecimal")
}

// A ConfigError is what is wrong with one key of a destination.
type ConfigError struct {
	Field   string // path of the key, as in "object_lock.mode"
	Problem string
	Hint    string // what to do; may be empty
}

// Error returns "field: problem; hint".
func (e *ConfigError) Error() string {
	s := e.Field + ": " + e.Problem
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Bounds of what S3 takes.
const (
	maxTags          = 10
	maxTagName       = 128     // characters
	maxTagValue      = 256     // characters
	maxOwnMetadata   = 1 << 10 // bytes of Write.Metadata as sent; the rest of 2 KiB is Dray's
	maxKMSContext    = 4 << 10 // bytes of JSON
	maxRetain        = 100 * 365 * 24 * time.Hour
	maxHeaderValue   = 256 // bytes
	ownerDigits      = 12
	identityReserved = "dray-"
)

// check returns everything that is wrong with w, joined.
func (w *Write) check() error {
	var errs []error
	wrong := func(field, hint, format string, args ...any) {
		errs = append(errs, &ConfigError{field, fmt.Sprintf(format, args...), hint})
	}
	if _, err := findScheme(w.Checksum, w.ChecksumType); err != nil {
		errs = append(errs, err)
	}
	if w.IfMatch != "" && (len(w.IfMatch) > maxETag || !headerSafe(w.IfMatch)) {
		wrong("if_match", "write the ETag as the server gave it", "is not an ETag")
	}
	if w.IfMatch != "" && w.MayReplace {
		wrong("if_match", "leave one of the two out", "cannot go with if_absent: false")
	}
	if o := w.ExpectedOwner; o != "" && (len(o) != ownerDigits || strings.Trim(o, "0123456789") != "") {
		wrong("expected_owner", "write the twelve digits of the account ID", "%q is not an account ID", clip(o))
	}
	if c := w.StorageClass; c != "" && strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || len(c) > 64 {
		wrong("storage_class", "write it as S3 does, such as STANDARD_IA, GLACIER_IR or DEEP_ARCHIVE", "%q is not a storage class", clip(c))
	}
	for field, value := range map[string]string{"content_type": w.ContentType, "content_encoding": w.ContentEncoding} {
		if len(value) > maxHeaderValue || !headerSafe(value) {
			wrong(field, "leave out blanks, as in text/plain;charset=utf-8", "must be at most %d printable characters without a blank", maxHeaderValue)
		} else if _, _, err := mime.ParseMediaType(value); field == "content_type" && value != "" && (err != nil || !strings.Contains(value, "/")) {
			wrong(field, "write type/subtype, such as text/csv", "%q is not a content type", clip(value))
		}
	}
	w.Encryption.check(wrong)
	w.Lock.check(wrong)
	w.checkTags(wrong)
	w.checkMetadata(wrong)
	return errors.Join(errs...)
}

type complaint func(field, hint, format string, args ...any)

func (e *Encryption) check(wrong complaint) {
	const field = "encryption."
	if !slices.Contains([]string{"", "s3", "kms", "customer"}, e.Type) {
		wrong(field+"type", "choose one of s3, kms, customer", "%q is not known", clip(e.Type))
		return
	}
	if e.Type != "kms" {
		for name, set := range map[string]bool{"kms_key": e.KMSKey != "", "kms_context": len(e.KMSContext) > 0, "bucket_key": e.BucketKey} {
			if set {
				wrong(field+name, "set type: kms or leave the key out", "goes only with type kms")
			}
		}
	}
	if len(e.KMSKey) > 2048 || !headerSafe(e.KMSKey) {
		wrong(field+"kms_key", "write the key's ID, ARN or alias", "is not the name of a key")
	}
	if len(kmsContext(e.KMSContext)) > base64.StdEncoding.EncodedLen(maxKMSContext) {
		wrong(field+"kms_context", "", "is greater than %d bytes as JSON", maxKMSContext)
	}
	switch {
	case e.Type == "customer" && len(e.CustomerKey) == 0:
		wrong(field+"key_file", "name a file of mode 0600 that holds 32 random bytes", "is missing")
	case e.Type == "customer" && len(e.CustomerKey) != customerKeyBytes:
		wrong(field+"key_file", "", "holds %d bytes: must be %d", len(e.CustomerKey), customerKeyBytes)
	case e.Type != "customer" && len(e.CustomerKey) > 0:
		wrong(field+"key_file", "set type: customer or leave the key out", "goes only with type customer")
	}
}

func (l *Lock) check(wrong complaint) {
	const field = "object_lock."
	switch {
	case !slices.Contains([]string{"", "governance", "compliance"}, l.Mode):
		wrong(field+"mode", "choose governance or compliance", "%q is not known", clip(l.Mode))
	case l.Mode != "" && l.Retain == 0:
		wrong(field+"retain", "say for how long, such as 8760h", "is missing")
	case l.Mode == "" && l.Retain != 0:
		wrong(field+"mode", "choose governance or compliance", "is missing")
	case l.Retain < 0 || l.Retain > maxRetain:
		wrong(field+"retain", "S3 keeps objects for a hundred years at most", "%v is out of bounds", l.Retain)
	}
}

func (w *Write) checkTags(wrong complaint) {
	if len(w.Tags) > maxTags {
		wrong("tags", "S3 takes at most ten", "%d tags are too many", len(w.Tags))
	}
	for name, value := range w.Tags {
		if n := utf8.RuneCountInString(name); n == 0 || n > maxTagName || strings.HasPrefix(name, "aws:") || strings.ContainsFunc(name, notTagRune) {
			wrong("tags", "names are 1 to 128 letters, digits, blanks and + - = . _ : / @, and do not begin with aws:", "%q is not a tag's name", clip(name))
		}
		if utf8.RuneCountInString(value) > maxTagValue || strings.ContainsFunc(value, notTagRune) {
			wrong("tags", "values are at most 256 letters, digits, blanks and + - = . _ : / @", "tag %q has a value that S3 does not take", clip(name))
		}
	}
}

func (w *Write) checkMetadata(wrong complaint) {
	total := 0
	for name, value := range encodeMetadata(w.Metadata) {
		total += len(name) + len(value)
		switch {
		case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			wrong("metadata", "use lower-case ASCII letters, digits and '-'", "%q is not a name", clip(name))
		case strings.HasPrefix(name, identityReserved):
			wrong("metadata", "names that begin with dray- say what an object holds", "%q is reserved", clip(name))
		case !utf8.ValidString(w.Metadata[name]):
			wrong("metadata", "", "%s is not UTF-8", name)
		}
	}
	if total > maxOwnMetadata {
		wrong("metadata", "blanks and what is not ASCII take three bytes each", "%d bytes are too many: at most %d", total, maxOwnMetadata)
	}
}

// DirectoryBucketSuffix ends the name of every directory bucket, and of no other.
const DirectoryBucketSuffix = "--x-s3"

// directory reports whether the bucket is a directory bucket. With its bucket
// in the path, at an endpoint of one's own, it is not, whatever its name.
func (c *Config) directory() bool {
	return strings.HasSuffix(c.Bucket, DirectoryBucketSuffix) && !c.PathStyle
}

// checkDirectory says what a directory bucket would refuse.
func (c *Config) checkDirectory() error {
	amazons := strings.HasSuffix(c.Bucket, DirectoryBucketSuffix) && c.Endpoint == ""
	if !c.directory() && !amazons {
		return nil
	}
	var errs []error
	for field, set := range map[string]bool{
		"path_style": c.PathStyle && c.Endpoint == "", "request_payer": c.RequestPayer, "encryption.type": c.Encryption.Type == "customer",
		"encryption.kms_context": len(c.Encryption.KMSContext) > 0,
		"tags":                   len(c.Tags) > 0, "object_lock": c.Lock != Lock{}, "content_encoding": c.ContentEncoding != "",
		"storage_class": c.StorageClass != "" && c.StorageClass != string(types.StorageClassExpressOnezone),
	} {
		if set {
			errs = append(errs, &ConfigError{field, "is not supported by directory buckets", "leave it out, or use another bucket"})
		}
	}
	if e := c.Encryption; e.Type == "kms" && (e.KMSKey == "" || strings.Contains(e.KMSKey, "alias/")) {
		errs = append(errs, &ConfigError{"encryption.kms_key", "must be the ID or ARN of a key of your own for a directory bucket", "give the one that the bucket is set up with"})
	}
	return errors.Join(errs...)
}

// checkCarriage refuses to send a customer's key in the clear.
func (c *Config) checkCarriage() error {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" || c.Encryption.Type != "customer" || loopback(u.Hostname()) {
		return nil
	}
	return &ConfigError{"encryption.type", "the key would cross the network in the clear", "use an https endpoint"}
}

// headerSafe reports whether s is fit for a signed header as it is: printable
// ASCII without a blank.
func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func notTagRune(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" +-=._:/@", r)
}

// clip bounds what an error repeats of a config.
func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
