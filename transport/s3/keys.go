package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Refusable provider of credentials wants to know which the service refused,
// so that the next request has others where there are any.
type Refusable interface {
	// Refused is told the access key ID; dead says that the keys are no good
	// whatever they are for (expired, unknown), rather than not allowed to do this.
	Refused(accessKeyID string, dead bool)
}

// dead are the error codes of keys that will not do again.
var dead = []string{
	"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
	"TokenRefreshRequired", "UnrecognizedClientException",
}

// tell tells r of each request that was refused for its credentials.
func tell(r Refusable) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		// Before all others of its step: it sees the error that these made of the reply.
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("TellOfRefusals",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, meta, err := next.HandleDeserialize(ctx, in)
				if id, dead, refused := refusedKeys(in.Request, err); refused {
					r.Refused(id, dead)
				}
				return out, meta, err
			}), middleware.Before)
	}
}

// refusedKeys returns the ID of the keys that request was signed with, if err
// says that they were refused, and whether they are dead.
func refusedKeys(request any, err error) (id string, isDead, refused bool) {
	var api smithy.APIError
	if errors.As(err, &api) {
		isDead = slices.Contains(dead, api.ErrorCode())
	}
	var reply *smithyhttp.ResponseError
	if errors.As(err, &reply) && reply.HTTPResponse() != nil {
		status := reply.HTTPStatusCode()
		refused = status == http.StatusForbidden || status == http.StatusUnauthorized
	}
	r, ok := request.(*smithyhttp.Request)
	if !ok || !isDead && !refused {
		return "", false, false
	}
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	id, _, _ = strings.Cut(scope, "/")
	return id, isDead, id != ""
}

// sign sets what the client signs with.
func (c *Config) sign(o *s3.Options) {
	o.Credentials = c.Credentials
	if c.Credentials == nil {
		o.Credentials = c.fixed()
	}
	if r, ok := c.Credentials.(Refusable); ok {
		o.APIOptions = append(o.APIOptions, tell(r))
	}
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
