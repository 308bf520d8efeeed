package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// Config says which bucket and how to reach it.
type Config struct {
	Bucket    string // must exist
	Region    string // default "us-east-1" if Endpoint is set, else needed
	Endpoint  string // "https://host[:port][/path]"; default: Amazon's for Region
	PathStyle bool   // http://host/bucket/key, which most servers other than Amazon's need
	Prefix    string // goes before every key, with a slash between
	PartSize  int64  // bytes; default 8 MiB, 5 MiB to 5 GiB

	Write // how objects are written

	Variant // of Amazon's endpoints

	AccessKeyID     string
	SecretAccessKey string `json:"-"`
	SessionToken    string `json:"-"` // for temporary credentials
	// Credentials are used instead of the three above, if set. Its errors may be
	// *transport.Error, to say what they mean; see also creds.Refusable.
	Credentials aws.CredentialsProvider `json:"-"`

	HTTP *link.Transport // default: one of its own
}

// What S3 takes, in bytes.
const (
	DefaultPartSize = 8 << 20
	MinPartSize     = 5 << 20
	MaxPartSize     = 5 << 30
	maxParts        = 10_000
	maxObject       = 5 << 40
	maxPut          = 5 << 30
)

// Destination is a bucket. It is safe for concurrent use and starts no
// goroutine of its own; HTTP keeps connections.
type Destination struct {
	client   *s3.Client
	link     *link.Transport
	bucket   string
	prefix   string
	region   string
	partSize int64
	form     form

	directory bool // a directory bucket

	condition condition
}

var _ transport.Destination = (*Destination)(nil)
var _ transport.Noter = (*Destination)(nil)

// New checks c. It connects to nothing.
func New(c Config) (*Destination, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("s3 destination: %w", err)
	}
	if c.PartSize == 0 {
		c.PartSize = DefaultPartSize
	}
	if c.HTTP == nil {
		var err error
		if c.HTTP, err = link.New(link.Config{}); err != nil {
			return nil, err
		}
	}
	prefix := strings.TrimSuffix(c.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	options := c.options()
	d := &Destination{
		link:     c.HTTP,
		bucket:   c.Bucket,
		prefix:   prefix,
		region:   options.Region,
		partSize: c.PartSize,
		form:     newForm(c.Write),

		directory: c.directory(),
	}
	c.sign(d, &options)
	d.client = s3.New(options)
	return d, nil
}

func (c *Config) check() error {
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/ \t\r\n") {
		return &ConfigError{"bucket", fmt.Sprintf("%q is not a bucket's name", c.Bucket), "write the name alone, without ARN, folder or address"}
	}
	if c.Region == "" && c.Endpoint == "" || strings.ContainsAny(c.Region, "/ \t\r\n") {
		return &ConfigError{"region", fmt.Sprintf("%q is not a region", c.Region), "write the bucket's, such as eu-west-1"}
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil {
			return errors.New("endpoint: not a URL") // which is not repeated: it may hold a password
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("endpoint: must be http:// or https://, a host and nothing after its path")
		}
	}
	if p := strings.TrimSuffix(c.Prefix, "/"); p != "" {
		if err := transport.CheckKey(p); err != nil {
			return &ConfigError{"prefix", err.Error(), "write folders that keys are to be in, such as fleet/north"}
		}
	}
	if c.PartSize != 0 && (c.PartSize < MinPartSize || c.PartSize > MaxPartSize) {
		return fmt.Errorf("part size %d: must be %d to %d bytes", c.PartSize, int64(MinPartSize), int64(MaxPartSize))
	}
	if err := errors.Join(c.Write.check(), c.checkDirectory(), c.checkCarriage()); err != nil {
		return err
	}
	return errors.Join(c.Variant.check(c), c.checkKeys())
}

// options sets every option that matters; the SDK's own configuration from
// files and environment is left out, and with it 1.5 MiB of binary.
func (c *Config) options() s3.Options {
	o := s3.Options{
		Region:       c.Region,
		UsePathStyle: c.PathStyle,
		HTTPClient: &http.Client{
			Transport: known{c.HTTP},
			// A redirect has to be signed anew for the other host; see follow.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Retryer: aws.NopRetryer{},
		Logger:  logging.Nop{},
		// Checksums are given as headers; else the SDK adds trailers that some
		// servers refuse.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		// With Expect: 100-continue the reason of a refusal is often lost.
		ContinueHeaderThresholdBytes: -1,
		APIOptions:                   c.stack(),
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
		// With its bucket in the path it is no directory bucket, whatever its name:
		// those have sessions, and answer only at a host of their own.
		o.DisableS3ExpressSessionAuth = aws.Bool(c.PathStyle)
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	}
	c.Variant.apply(&o)
	return o
}

// Limits returns those of Amazon S3, which no other server exceeds. With a
// customer's key nothing is put whole: some servers ignore the key and keep the
// bytes in the clear, and only a multipart upload shows that before they are sent.
func (d *Destination) Limits() transport.Limits {
	l := transport.Limits{
		MinPart:   leastPart(),
		MaxPart:   MaxPartSize,
		MaxParts:  maxParts,
		MaxObject: maxObject,
		MaxPut:    maxPut,
		PartSize:  d.partSize,
		Hash:      d.form.scheme.name,
		NewHash:   newHash,
	}
	if d.form.customer.key != nil {
		l.MaxPut = 0
	}
	return l
}

// CloseIdle closes connections that no call uses.
func (d *Destination) CloseIdle() { d.link.CloseIdle() }

// key returns the key in the bucket.
func (d *Destination) key(key string) *string { return aws.String(d.prefix + key) }

// check refuses what no server could store faithfully.
func (d *Destination) check(op string, o transport.Object) error {
	err := o.Check()
	if n := size(d.form.metadata) + size(encodeMetadata(o.Metadata)); err == nil && n > transport.MaxMetadata {
		err = fmt.Errorf("metadata of %d bytes as it is sent: must be at most %d", n, transport.MaxMetadata)
	}
	if n := len(d.prefix) + len(o.Key); err == nil && n > transport.MaxKey {
		err = fmt.Errorf("key of %d bytes with its prefix: must be at most %d", n, transport.MaxKey)
	}
	if err != nil {
		return invalid(op, o.Key, err)
	}
	return nil
}

// lay returns the scheme that o was laid out for.
func (d *Destination) lay(op string, o transport.Object) (*scheme, error) {
	s := schemeOf(o.Hash)
	if s == nil {
		return nil, invalid(op, o.Key, fmt.Errorf("object was laid out for the unknown checksum %q", clip(o.Hash)))
	}
	return s, nil
}

func invalid(op, key string, err error) *transport.Error {
	return &transport.Error{Op: op, Key: key, Kind: transport.Invalid, Err: err}
}
