package s3

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// kinds is what S3's error codes mean. Codes go before the status: the same
// one comes with different statuses from different servers.
var kinds = map[transport.Kind][]string{
	transport.Denied: {
		"AccessDenied", "AllAccessDisabled", "AccountProblem", "AuthorizationHeaderMalformed", "ExpiredToken", "IllegalLocationConstraintException",
		"ExpiredTokenException", "Forbidden", "InvalidAccessKeyId", "InvalidSecurity", "InvalidToken",
		"NoSuchBucket", "NotSignedUp", "PermanentRedirect", "RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
		"TemporaryRedirect", "TokenRefreshRequired", "UnauthorizedAccess", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded",
	},
	transport.Throttled: {
		"BandwidthLimitExceeded", "RequestLimitExceeded", "RequestThrottled", "SlowDown", "SlowDownRead", "SlowDownWrite",
		"Throttling", "ThrottlingException", "TooManyRequests", "TooManyRequestsException",
	},
	transport.Gone:      {"NoSuchUpload"},
	transport.Missing:   {"InvalidPart", "InvalidPartOrder"},
	transport.Corrupt:   {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"},
	transport.Conflict:  {"PreconditionFailed", "ConditionalRequestConflict"},
	transport.Temporary: {"IncompleteBody", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable"},
	transport.Invalid: {
		"EntityTooLarge", "EntityTooSmall", "InvalidArgument", "InvalidRequest", "KeyTooLongError", "MalformedXML",
		"InvalidObjectState", "InvalidStorageClass", "InvalidTag", "MetadataTooLarge", "MethodNotAllowed", "NotImplemented",
	},
}

// byCode is kinds the other way round.
var byCode = func() map[string]transport.Kind {
	m := make(map[string]transport.Kind)
	for kind, codes := range kinds {
		for _, code := range codes {
			m[code] = kind
		}
	}
	return m
}()

// A refusal is what a server answered, in few words. It wraps the SDK's error.
type refusal struct {
	status int
	code   string // empty if the reply held none
	text   string
	hint   string // what an operator can do; may be empty
	err    error
}

func (r *refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "status %d", r.status)
	if r.code != "" {
		b.WriteString(" " + r.code)
	}
	if r.text != "" {
		b.WriteString(": " + r.text)
	}
	if r.hint != "" {
		b.WriteString("; " + r.hint)
	}
	return b.String()
}

func (r *refusal) Unwrap() error { return r.err }

// fail makes the SDK's error an Error.
func fail(op, key string, err error) *transport.Error {
	e := &transport.Error{Op: op, Key: key, Err: err}
	var (
		api      smithy.APIError
		reply    *smithyhttp.ResponseError
		params   smithy.InvalidParamsError
		encoding *smithy.SerializationError
		keys     *transport.Error
	)
	isAPI := errors.As(err, &api)
	switch {
	case errors.As(err, &keys) && keys.Op == "credentials": // there are none, so nothing was sent
		e.Kind, e.RetryAfter, e.Caller, e.Err = keys.Kind, keys.RetryAfter, keys.Kind == transport.Denied, keys
	case errors.As(err, &reply) && reply.HTTPResponse() != nil && reply.HTTPStatusCode() != 0:
		classify(e, reply, api, isAPI)
	case errors.As(err, &params), errors.As(err, &encoding):
		e.Kind = transport.Invalid
	default:
		link.Unanswered(e, err)
	}
	return e
}

// classify says what a reply means.
func classify(e *transport.Error, reply *smithyhttp.ResponseError, api smithy.APIError, isAPI bool) {
	r := &refusal{status: reply.HTTPStatusCode(), err: e.Err}
	e.Err = r
	if isAPI {
		r.code, r.text = link.Plain(api.ErrorCode(), 64), link.Plain(api.ErrorMessage(), 300)
	} else {
		r.text = "its body makes no sense"
	}
	r.hint = cmp.Or(hints[r.code], statusHints[r.status])
	kind, known := byCode[r.code]
	if !known && strings.HasPrefix(r.code, "KMS.") {
		kind, known, r.hint = transport.Denied, true, kmsHint
	}
	switch {
	case known:
		e.Kind = kind
	case r.status/100 == 2:
		e.Kind = transport.Temporary
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusProxyAuthRequired || r.status/100 == 3:
		e.Kind = transport.Denied
	case r.status == http.StatusNotFound && (e.Op == "create" || e.Op == "put"):
		// They name nothing that could be missing but the place.
		e.Kind, r.hint = transport.Denied, "check endpoint, bucket and access key ID"
	case r.status == http.StatusNotFound:
		e.Kind = transport.Gone
	case r.status == http.StatusConflict || r.status == http.StatusPreconditionFailed:
		e.Kind = transport.Conflict
	case r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable:
		e.Kind = transport.Throttled
	case r.status == http.StatusNotImplemented || r.status == http.StatusRequestEntityTooLarge:
		e.Kind = transport.Invalid
	case r.status == http.StatusRequestTimeout || r.status/100 == 5 || !isAPI:
		// Without a code it may be any box on the way that answered.
		e.Kind = transport.Temporary
	default:
		e.Kind = transport.Invalid
	}
	if r.status == http.StatusServiceUnavailable && e.Kind == transport.Temporary {
		e.Kind = transport.Throttled
	}
	e.Caller = e.Kind == transport.Denied && !r.forbids() && r.hint != kmsHint
	e.RetryAfter = link.RetryAfter(reply.HTTPResponse().Header)
	e.Unknown = r.status/100 == 2 || r.status/100 == 5 && r.code != "NotImplemented"
}

// forbids reports whether a permission is lacking, which no new keys and no
// right clock would bring.
func (r *refusal) forbids() bool {
	return r.code == "AccessDenied" || r.code == "Forbidden" || r.code == "" && r.status == http.StatusForbidden
}

// codeOf is the error code that a server answered, empty if none.
func codeOf(err error) string {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.code
	}
	return ""
}

// statusOf is the HTTP status that a server answered, 0 if none.
func statusOf(err error) int {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.status
	}
	return 0
}

// headerOf is a header of the reply that err came with, empty if there is none.
func headerOf(err error, name string) string {
	var reply *smithyhttp.ResponseError
	if !errors.As(err, &reply) || reply.HTTPResponse() == nil || reply.HTTPResponse().Response == nil {
		return ""
	}
	return reply.HTTPResponse().Header.Get(name)
}
