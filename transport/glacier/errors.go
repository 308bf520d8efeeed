package glacier

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// kinds is what Glacier's error codes mean. Codes go before the status, which
// says little: a throttled request is answered with 400, as a wrong one is.
var kinds = map[transport.Kind][]string{
	transport.Denied: {
		"AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException",
		"LimitExceededException", "MissingAuthenticationTokenException", "NoLongerSupportedException", "NotAuthorized", "OptInRequired",
		"PolicyEnforcedException", "RequestExpired", "UnrecognizedClientException",
	},
	transport.Throttled: {"InsufficientCapacityException", "ThrottlingException", "TooManyRequestsException"},
	transport.Temporary: {"InternalFailure", "InternalServerError", "RequestTimeoutException", "ServiceUnavailableException"},
	transport.Gone:      {"ResourceNotFoundException"},
	transport.Invalid: {
		"BadRequest", "InvalidParameterValueException", "MissingParameterValueException", "SerializationException",
		"UnknownOperationException", "ValidationException",
	},
}

// ofTheCall are the denials of what was asked. All others are of who asks, or when.
var ofTheCall = []string{"AccessDeniedException", "LimitExceededException", "NoLongerSupportedException", "PolicyEnforcedException"}

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

// hints are what an operator can do.
var hints = map[string]string{
	"ExpiredTokenException":       "renew the credentials",
	"InvalidSignatureException":   "check the secret access key, the region and this device's clock",
	"RequestExpired":              "check this device's clock",
	"UnrecognizedClientException": "check the access key ID",
	"LimitExceededException":      "check the account's limits; dray uploads lists what this device has begun",
	"NoLongerSupportedException":  NoNewCustomers,
}

// actions are the permissions that the calls need, as IAM names them.
var actions = map[string]string{
	"create":       "glacier:InitiateMultipartUpload",
	"upload part":  "glacier:UploadMultipartPart",
	"list parts":   "glacier:ListParts",
	"complete":     "glacier:CompleteMultipartUpload",
	"abort":        "glacier:AbortMultipartUpload",
	"find":         "glacier:ListMultipartUploads",
	"list uploads": "glacier:ListMultipartUploads",
	"list jobs":    "glacier:ListJobs",
	"start job":    "glacier:InitiateJob",
	"read job":     "glacier:GetJobOutput",
}

// A refusal is what the service answered, in few words. It wraps the SDK's error.
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
func (d *Destination) fail(op, key string, err error) *transport.Error {
	e := &transport.Error{Op: op, Key: key, Err: err}
	var (
		reply    *smithyhttp.ResponseError
		params   smithy.InvalidParamsError
		encoding *smithy.SerializationError
		keys     *transport.Error
	)
	switch {
	case errors.As(err, &keys) && keys.Op == "credentials": // there are none, so nothing was sent
		e.Kind, e.RetryAfter, e.Caller, e.Err = keys.Kind, keys.RetryAfter, keys.Kind == transport.Denied, keys
	case errors.As(err, &reply) && reply.HTTPResponse() != nil && reply.HTTPStatusCode() != 0:
		d.classify(e, reply)
	case errors.As(err, &params), errors.As(err, &encoding):
		e.Kind = transport.Invalid
	default:
		link.Unanswered(e, err)
	}
	return e
}

// asked is fail for a question, which has no effect.
func (d *Destination) asked(op, key string, err error) *transport.Error {
	e := d.fail(op, key, err)
	e.Unknown = false
	return e
}

// classify says what a reply means.
func (d *Destination) classify(e *transport.Error, reply *smithyhttp.ResponseError) {
	r := &refusal{status: reply.HTTPStatusCode(), err: e.Err}
	var api smithy.APIError
	if errors.As(e.Err, &api) {
		r.code, r.text = link.Plain(api.ErrorCode(), 64), link.Plain(api.ErrorMessage(), 300)
	}
	if r.code == "" || r.code == "UnknownError" { // the SDK's word for none
		r.code, r.text = "", "its body makes no sense"
	}
	r.hint = hints[r.code]
	e.Err = r
	kind, known := byCode[r.code]
	switch {
	case known:
		e.Kind = kind
	case r.status/100 == 2, r.status == http.StatusRequestTimeout, r.status/100 == 5 && r.status != http.StatusServiceUnavailable:
		e.Kind = transport.Temporary
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.status == http.StatusProxyAuthRequired, r.status/100 == 3:
		e.Kind = transport.Denied
	case r.status == http.StatusTooManyRequests, r.status == http.StatusServiceUnavailable:
		e.Kind = transport.Throttled
	case r.code == "":
		e.Kind = transport.Temporary // any box on the way may have answered
	default:
		e.Kind = transport.Invalid
	}
	switch {
	case e.Kind == transport.Gone && (e.Op == "create" || strings.Contains(strings.ToLower(r.text), "vault not found")):
		e.Kind, r.hint = transport.Denied, "check vault, account and region"
	case e.Kind == transport.Denied && r.hint == "" && (r.code == "AccessDeniedException" || r.code == ""):
		r.hint = "check that the credentials may " + actions[e.Op]
	case e.Kind == transport.Invalid && e.Op == "upload part" && strings.Contains(strings.ToLower(r.text), "hash"):
		e.Kind = transport.Corrupt
	}
	e.Caller = e.Kind == transport.Denied && !slices.Contains(ofTheCall, r.code) && (r.code != "" || r.status != http.StatusForbidden)
	e.RetryAfter = link.RetryAfter(reply.HTTPResponse().Header)
	e.Unknown = r.status/100 == 2 || r.status/100 == 5 || r.status == http.StatusRequestTimeout
}

// codeOf is the error code that the service answered, empty if none.
func codeOf(err error) string {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.code
	}
	return ""
}

// forbidden reports whether a permission is lacking, which no new keys and no
// right clock would bring.
func forbidden(err error) bool {
	return transport.KindOf(err) == transport.Denied && slices.Contains([]string{"", "AccessDeniedException"}, codeOf(err))
}
