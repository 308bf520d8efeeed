package glacier

import (
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/smithy-go/logging"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/link"
)

// Config says which vault and how to reach it.
type Config struct {
	Vault    string // must exist
	Account  string // of the vault's owner, 12 digits; default "-", that of the credentials
	Region   string // default "us-east-1" if Endpoint is set, else needed
	Endpoint string // "https://host[:port]"; default: Amazon's for Region
	FIPS     bool   // Amazon's endpoint whose cryptography is validated by FIPS 140
	PartSize int64  // bytes; default 8 MiB; 1 MiB times a power of two, at most 4 GiB

	// InDoubt says what becomes of an archive whose Complete may have succeeded
	// unseen, once the service has forgotten its upload; default Keep.
	InDoubt InDoubt

	// Credentials sign the requests. Its errors may be *transport.Error, to say
	// what they mean; see also creds.Refusable.
	Credentials aws.CredentialsProvider `json:"-"`

	HTTP *link.Transport // default: one of its own
}

// InDoubt is a policy for what cannot be known.
type InDoubt string

// The policies. A vault has no keys: an archive that is sent again while the
// first is there is there twice, and costs twice.
const (
	Keep   InDoubt = "keep"   // its receipt says that it is in doubt, and what to look for in the inventory
	Resend InDoubt = "resend" // it is sent again
)

// What Glacier takes, in bytes.
const (
	DefaultPartSize = 8 << 20
	MinPartSize     = 1 << 20
	MaxPartSize     = 4 << 30
	maxParts        = 10_000
)

// A ConfigError is one thing that is wrong with a Config, by the name that the
// field has in config files.
type ConfigError struct{ Field, Problem, Hint string }

// Error returns "field: problem; hint".
func (e *ConfigError) Error() string {
	s := e.Field + ": " + e.Problem
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Destination is a vault. It is safe for concurrent use and starts no
// goroutine of its own; HTTP keeps connections.
type Destination struct {
	client   *glacier.Client
	link     *link.Transport
	vault    string
	account  string
	region   string
	partSize int64
	inDoubt  InDoubt
}

var (
	_ transport.Destination = (*Destination)(nil)
	_ transport.Catalogue   = (*Destination)(nil)
	_ transport.Describer   = (*Destination)(nil)
	_ transport.Examiner    = (*Destination)(nil)
)

// New checks c. It connects to nothing.
func New(c Config) (*Destination, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("glacier destination: %w", err)
	}
	if c.PartSize == 0 {
		c.PartSize = DefaultPartSize
	}
	if c.Account == "" {
		c.Account = "-"
	}
	if c.HTTP == nil {
		var err error
		if c.HTTP, err = link.New(link.Config{}); err != nil {
			return nil, err
		}
	}
	options := c.options()
	return &Destination{
		client:   glacier.New(options),
		link:     c.HTTP,
		vault:    c.Vault,
		account:  c.Account,
		region:   options.Region,
		partSize: c.PartSize,
		inDoubt:  c.InDoubt,
	}, nil
}

func (c *Config) check() error {
	var errs []error
	wrong := func(field, hint, format string, args ...any) {
		errs = append(errs, &ConfigError{field, fmt.Sprintf(format, args...), hint})
	}
	if n := len(c.Vault); n < 1 || n > 255 || strings.ContainsFunc(c.Vault, notVaultRune) {
		wrong("vault", "names have 1 to 255 of a-z A-Z 0-9 _ - .", "is not the name of a vault")
	}
	if a := c.Account; a != "" && a != "-" && (len(a) != 12 || strings.Trim(a, "0123456789") != "") {
		wrong("account", "write 12 digits, or leave it out for the credentials' own", "is not the number of an account")
	}
	switch u, err := url.Parse(c.Endpoint); {
	case c.Endpoint == "" && c.Region == "":
		wrong("region", "name the vault's region, such as eu-west-1", "is missing")
	case c.Endpoint == "":
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		// Not repeated: it may hold a password.
		wrong("endpoint", "write scheme and host only, such as https://glacier.example.org", "is not an address of a service")
	case c.FIPS:
		wrong("fips", "leave out endpoint or fips", "goes only with Amazon's own endpoints")
	}
	if n := c.PartSize; n != 0 && (n < MinPartSize || n > MaxPartSize || bits.OnesCount64(uint64(n)) != 1) {
		wrong("part_size", "use 1MiB, 2MiB, 4MiB and so on, up to 4GiB", "%d bytes are not 1 MiB times a power of two", n)
	}
	if c.InDoubt != "" && c.InDoubt != Keep && c.InDoubt != Resend {
		wrong("in_doubt", "use keep or resend", "%.40q is not known", string(c.InDoubt))
	}
	if c.Credentials == nil {
		wrong("credentials", "", "are missing")
	}
	return errors.Join(errs...)
}

func notVaultRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
}

// options sets every option that matters; the SDK's own configuration from
// files and environment is left out.
func (c *Config) options() glacier.Options {
	o := glacier.Options{
		Region: c.Region,
		HTTPClient: &http.Client{
			Transport:     c.HTTP,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Credentials: c.Credentials,
		Retryer:     aws.NopRetryer{},
		Logger:      logging.Nop{},
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
		if o.Region == "" {
			o.Region = "us-east-1"
		}
	}
	if c.FIPS {
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if r, ok := c.Credentials.(creds.Refusable); ok {
		o.APIOptions = append(o.APIOptions, creds.TellRefusals(r))
	}
	return o
}

// Limits returns those of Amazon Glacier. Nothing is put whole: a lost reply
// could not be settled, for the archive has no name but the one in the reply.
func (d *Destination) Limits() transport.Limits {
	return transport.Limits{
		MinPart:  MinPartSize,
		MaxPart:  MaxPartSize,
		PowerOf2: true,
		MaxParts: maxParts,
		PartSize: d.partSize,
		MaxIdle:  maxIdle,
		Once:     true,
		Hash:     hashName,
		NewHash:  newHash,
	}
}

// NoNewCustomers is what whoever chooses a vault today should know.
const NoNewCustomers = "Amazon takes no new customers for Glacier vaults since 2025-12-15; without one already, use type s3 with storage_class GLACIER_IR, GLACIER or DEEP_ARCHIVE"

// CloseIdle closes connections that no call uses.
func (d *Destination) CloseIdle() { d.link.CloseIdle() }

// Describe returns where and under which description the archive of o is kept.
func (d *Destination) Describe(o transport.Object) (transport.Description, error) {
	text, err := describe(o)
	return transport.Description{Vault: d.vault, Text: text}, err
}

// check refuses what a vault could not keep faithfully.
func (d *Destination) check(op string, o transport.Object) error {
	err := o.Check()
	if err == nil {
		_, err = describe(o)
	}
	if err != nil {
		return invalid(op, o.Key, err)
	}
	return nil
}

func invalid(op, key string, err error) *transport.Error {
	return &transport.Error{Op: op, Key: key, Kind: transport.Invalid, Err: err}
}
