package s3

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// stack is what is added to the SDK's handling of every request.
func (c *Config) stack() []func(*middleware.Stack) error {
	var endpoint string
	if u, err := url.Parse(c.Endpoint); err == nil { // checked
		endpoint = u.Hostname()
	}
	return []func(*middleware.Stack) error{
		func(s *middleware.Stack) error {
			return s.Finalize.Insert(follow{endpoint}, "Signing", middleware.Before)
		},
		func(s *middleware.Stack) error {
			return s.Build.Add(account{c.ExpectedOwner, c.RequestPayer}, middleware.After)
		},
	}
}

// account says on every request whose bucket it must be and who pays, so that
// no call can forget it.
type account struct {
	owner string
	payer bool
}

func (account) ID() string { return "DrayAccount" }

func (a account) HandleBuild(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
	if r, ok := in.Request.(*smithyhttp.Request); ok && middleware.GetOperationName(ctx) != "CreateSession" { // which takes neither
		if a.owner != "" {
			r.Header.Set("X-Amz-Expected-Bucket-Owner", a.owner)
		}
		if a.payer {
			r.Header.Set("X-Amz-Request-Payer", "requester")
		}
	}
	return next.HandleBuild(ctx, in)
}

// follow does what a 307 asks for: the same request, body and all, to another
// host of the same service, signed for that host. Amazon sends one while a new
// bucket's name is not yet known everywhere. Any other redirect is an error.
type follow struct {
	endpoint string // host name of a custom endpoint; empty: Amazon's
}

// maxRedirects bounds how often one request is sent on.
const maxRedirects = 2

func (follow) ID() string { return "DrayFollow" }

func (f follow) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, meta middleware.Metadata, err error) {
	first, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return next.HandleFinalize(ctx, in)
	}
	// It says "attempt=1; max=1": a blank in a header that would be signed, of
	// which S3 warns. There is but one attempt.
	first.Header.Del("Amz-Sdk-Request")
	for r, n := first, 0; ; n++ {
		in.Request = r.Clone() // signing adds headers, of which the next try must be free
		out, meta, err = next.HandleFinalize(ctx, in)
		to := f.target(r.URL, err)
		if to == nil || n == maxRedirects {
			return out, meta, err
		}
		r = first.Clone()
		r.URL.Scheme, r.URL.Host, r.Host = to.Scheme, to.Host, ""
		if rewind := r.RewindStream(); rewind != nil {
			return out, meta, errors.Join(err, rewind)
		}
	}
}

// target is where err, the answer to a request for from, sends it; nil if that
// is nowhere, or nowhere that it may go.
func (f follow) target(from *url.URL, err error) *url.URL {
	var reply *smithyhttp.ResponseError
	if !errors.As(err, &reply) || reply.HTTPResponse() == nil || reply.HTTPStatusCode() != http.StatusTemporaryRedirect {
		return nil
	}
	to, err := from.Parse(reply.HTTPResponse().Header.Get("Location"))
	if err != nil || to.User != nil || to.Scheme != "https" && to.Scheme != from.Scheme || to.Host == from.Host || !f.family(from.Hostname(), to.Hostname()) {
		return nil
	}
	return to
}

// family reports whether the host to belongs to the service that from does:
// nobody else is to have the bytes.
func (f follow) family(from, to string) bool {
	within := func(host, domain string) bool { return host == domain || strings.HasSuffix(host, "."+domain) }
	if f.endpoint != "" {
		return within(to, f.endpoint)
	}
	for _, domain := range []string{"amazonaws.com", "amazonaws.com.cn", "api.aws"} {
		if within(from, domain) {
			return within(to, domain) && strings.Contains(to, "s3")
		}
	}
	return false
}
