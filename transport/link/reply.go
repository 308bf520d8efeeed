package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

// RetryAfter reads the Retry-After header in its two forms, seconds and a date. A date is
// measured against the reply's own, since this device's clock may be wrong.
func RetryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if s, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), maxRetryAfter)
}

// Unanswered says in e what err means, with which RoundTrip or the reading of a
// reply failed.
func Unanswered(e *transport.Error, err error) {
	e.Kind, e.Unknown = transport.Offline, true
	if u := (*url.Error)(nil); errors.As(err, &u) {
		e.Err = u.Err // leaves out what the SDK and net/http say around it
	}
	var (
		dial  *net.OpError
		dns   *net.DNSError
		proxy *ProxyError
	)
	hint, denied := Denied(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Err = err
	case denied:
		e.Kind, e.Unknown, e.Caller = transport.Denied, false, true
		e.Err = fmt.Errorf("%w; %s", e.Err, hint)
	case errors.Is(err, http.ErrSchemeMismatch):
		e.Unknown = false // there was no handshake
		e.Err = fmt.Errorf("%w; check scheme and port of endpoint", e.Err)
	case errors.As(err, &dial) && slices.Contains([]string{"dial", "proxyconnect", "socks connect"}, dial.Op), errors.As(err, &dns), errors.As(err, &proxy):
		e.Unknown = false // nothing was sent
	case errors.Is(err, ErrIncomplete):
		e.Unknown = false
	}
}

// Plain makes text from outside fit for a log line of at most limit bytes.
func Plain(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}
