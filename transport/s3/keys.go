package s3

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/transport/creds"
)

// sign sets what d's client signs with, and has each refusal told to who can get
// other keys.
func (c *Config) sign(d *Destination, o *s3.Options) {
	o.Credentials = c.Credentials
	if c.Credentials == nil {
		o.Credentials = c.fixed()
	}
	var refusable []creds.Refusable
	if r, ok := c.Credentials.(creds.Refusable); ok {
		refusable = append(refusable, r)
	}
	if d.directory {
		refusable = append(refusable, d.inSession(o))
	}
	o.APIOptions = append(o.APIOptions, creds.TellRefusals(refusable...))
}

// fixed returns a provider of the keys in c.
func (c *Config) fixed() aws.CredentialsProvider {
	fixed := aws.Credentials{
		AccessKeyID:     c.AccessKeyID,
		SecretAccessKey: c.SecretAccessKey,
		SessionToken:    c.SessionToken,
		Source:          "config",
	}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return fixed, nil })
}

// checkKeys says whether there are credentials, and only of one kind.
func (c *Config) checkKeys() error {
	keys := c.AccessKeyID != "" || c.SecretAccessKey != "" || c.SessionToken != ""
	switch {
	case c.Credentials != nil && keys:
		return errors.New("credentials: both keys and a provider of keys are given; leave one out")
	case c.Credentials == nil && (c.AccessKeyID == "" || c.SecretAccessKey == ""):
		return errors.New("credentials: access key ID and secret access key are needed")
	}
	return nil
}

// Format writes c with "[secret]" in place of the secret access key and the
// session token, whatever the verb.
func (c Config) Format(f fmt.State, verb rune) {
	type config Config // which has no Format
	for _, s := range []*string{&c.SecretAccessKey, &c.SessionToken} {
		if *s != "" {
			*s = "[secret]"
		}
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), config(c))
}
