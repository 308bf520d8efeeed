package link

import (
	"net/http"
	"time"
)

// dated is a reply's time, and when it came.
type dated struct{ server, heard time.Time }

// hear notes the time that a server says, if it is the server beyond doubt: the
// handshake has proved it, and no cache has kept the reply.
func (t *Transport) hear(resp *http.Response) {
	if resp.TLS == nil || resp.Header.Get("Age") != "" {
		return
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.clock.Store(&dated{at, time.Now()})
	}
}

// Clock returns the time that a server said last, exact to a second or so, and
// when it was heard. Only servers that have proved over TLS who they are count;
// both are zero if none was heard.
func (t *Transport) Clock() (server, heard time.Time) {
	if d := t.clock.Load(); d != nil {
		return d.server, d.heard
	}
	return time.Time{}, time.Time{}
}

// TellTime has certificates judged by now, and not by the wall clock: a device
// that wakes in 1970 would find none of them valid, and never hear from a server
// what time it is.
func (t *Transport) TellTime(now func() time.Time) { t.time.Store(&now) }

// now is what time it is for certificates.
func (t *Transport) now() time.Time {
	if now := t.time.Load(); now != nil {
		return (*now)()
	}
	return time.Now()
}
