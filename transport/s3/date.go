package s3

import (
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-7270d448/dray/transport/link"
)

// known hands on replies, and of those that need not come from the service takes
// the Date away: the SDK signs by the Date of the last reply, whatever the reply
// is, so that a captive portal with a wrong clock would have the service refuse
// the next request. A refusal for a wrong clock comes from the service; so a
// device whose clock is wrong signs right from its second request on.
type known struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (k known) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := k.RoundTripper.RoundTrip(req)
	if err == nil && !ofService(resp) {
		if after := link.RetryAfter(resp.Header); after > 0 { // which is told against the Date
			resp.Header.Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		}
		resp.Header.Del("Date")
	}
	return resp, err
}

// ofService says that a reply is the service's by what portals do not have: a
// certificate, an ID of the request, or XML.
func ofService(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return resp.TLS != nil || resp.Header.Get("X-Amz-Request-Id") != "" || kind == "application/xml" || kind == "text/xml"
}

// signedByAnother says that a request was signed by another clock than the one
// that its reply goes by: the SDK signs the next one by the latter.
func signedByAnother(resp *http.Response) bool {
	if resp == nil || resp.Request == nil {
		return false
	}
	signed, err := time.Parse("20060102T150405Z", resp.Request.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	said, err := http.ParseTime(resp.Header.Get("Date"))
	return err == nil && said.Sub(signed).Abs() > time.Minute
}
