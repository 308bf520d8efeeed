package creds

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

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

// Dead reports whether an error code says that the keys themselves are no good.
func Dead(code string) bool { return slices.Contains(dead, code) }

// TellRefusals returns what tells each of to, once it is among the APIOptions of a
// client, of each request that was refused for its credentials. A client takes
// it once.
func TellRefusals(to ...Refusable) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		// Before all others of its step: it sees the error that these made of the reply.
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("TellOfRefusals",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, meta, err := next.HandleDeserialize(ctx, in)
				if id, dead, refused := refusedKeys(in.Request, err); refused {
					for _, r := range to {
						r.Refused(id, dead)
					}
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
		isDead = Dead(api.ErrorCode())
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
