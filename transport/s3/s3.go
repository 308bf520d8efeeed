package s3

import (
	"context"
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

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // for temporary credentials

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
	partSize int64
}

var _ transport.Destination = (*Destination)(nil)

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
	return &Destination{
		client:   s3.New(c.options()),
		link:     c.HTTP,
		bucket:   c.Bucket,
		prefix:   prefix,
		partSize: c.PartSize,
	}, nil
}

func (c *Config) check() error {
	if c.Bucket == "" || strings.ContainsAny(c.Bucket, "/ \t\r\n") {
		return fmt.Errorf("bucket %q: must be a bucket's name", c.Bucket)
	}
	if c.Region == "" && c.Endpoint == "" {
		return errors.New("region is empty")
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
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if c.PartSize != 0 && (c.PartSize < MinPartSize || c.PartSize > MaxPartSize) {
		return fmt.Errorf("part size %d: must be %d to %d bytes", c.PartSize, int64(MinPartSize), int64(MaxPartSize))
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return errors.New("credentials: access key ID and secret access key are needed")
	}
	return nil
}

// options sets every option that matters; the SDK's own configuration from
// files and environment is left out, and with it 1.5 MiB of binary.
func (c *Config) options() s3.Options {
	o := s3.Options{
		Region:       c.Region,
		UsePathStyle: c.PathStyle,
		Credentials:  c.credentials(),
		HTTPClient: &http.Client{
			Transport: c.HTTP,
			// A redirect would send the body again, to who knows where.
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
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
		// Else a bucket named *--x-s3 makes the client ask for a session.
		o.DisableS3ExpressSessionAuth = aws.Bool(true)
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	}
	return o
}

func (c *Config) credentials() aws.CredentialsProvider {
	fixed := aws.Credentials{
		AccessKeyID:     c.AccessKeyID,
		SecretAccessKey: c.SecretAccessKey,
		SessionToken:    c.SessionToken,
		Source:          "config",
	}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return fixed, nil })
}

// Limits returns those of Amazon S3, which no other server exceeds.
func (d *Destination) Limits() transport.Limits {
	return transport.Limits{
		MinPart:   MinPartSize,
		MaxPart:   MaxPartSize,
		MaxParts:  maxParts,
		MaxObject: maxObject,
		MaxPut:    maxPut,
		PartSize:  d.partSize,
	}
}

// CloseIdle closes connections that no call uses.
func (d *Destination) CloseIdle() { d.link.CloseIdle() }

// key returns the key in the bucket.
func (d *Destination) key(key string) *string { return aws.String(d.prefix + key) }

// check refuses what no server could store faithfully.
func (d *Destination) check(op string, o transport.Object) error {
	err := o.Check()
	if n := len(d.prefix) + len(o.Key); err == nil && n > transport.MaxKey {
		err = fmt.Errorf("key of %d bytes with its prefix: must be at most %d", n, transport.MaxKey)
	}
	if err != nil {
		return invalid(op, o.Key, err)
	}
	return nil
}

func invalid(op, key string, err error) *transport.Error {
	return &transport.Error{Op: op, Key: key, Kind: transport.Invalid, Err: err}
}
