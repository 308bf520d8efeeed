package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// RoundTrip sends one request, once. Its context is watched until the reply's
// body is read to its end or closed.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	t.refresh()
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{link: t, limit: t.patience(ctx), cancel: cancel}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { w.start(i.Conn) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil {
				t.handshakes.Add(1)
			}
			if err == nil && s.DidResume {
				t.resumed.Add(1)
			}
		},
	})
	// A copy, since a RoundTripper must not change what it is given.
	r := req.WithContext(ctx)
	if r.Body != nil {
		// The SDK closes the body when its call returns, and its WriteTo then
		// fails the connection while the reply is still being read. Read does not.
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	resp, err := t.http.RoundTrip(r)
	if err != nil {
		err = ended(ctx, err)
		w.broke(err)
		if w.short(req.ContentLength) {
			err = fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		w.stop()
		return nil, err
	}
	t.hear(resp)
	resp.Body = &reply{body: resp.Body, ctx: ctx, watch: w, left: t.maxReply}
	return resp, nil
}

// ended replaces err by the reason for which this package ended ctx, if it did.
func ended(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrStalled), errors.Is(cause, ErrChanged), errors.Is(cause, ErrSpent):
		return cause
	}
	return err
}

// A watch ends a request on whose connection nothing moves. It looks a few
// times within its limit; no goroutine waits in between.
type watch struct {
	link   *Transport
	limit  time.Duration
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	conn    *conn
	seen    progress
	since   time.Time // when seen last changed
	before  int64     // bytes that had left on the connection before the request
}

const (
	looks  = 8 // within the limit: so a stall is seen at most an eighth late
	starve = 2 // limits that a connection may stand still while others move
)

// start begins to watch, once the request has its connection. Until then the
// limits for dialling and the handshake hold.
func (w *watch) start(c net.Conn) {
	for { // through a proxy that speaks TLS itself there are two layers
		t, ok := c.(*tls.Conn)
		if !ok {
			break
		}
		c = t.NetConn()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, _ = c.(*conn)
	if w.conn == nil || w.stopped {
		return
	}
	w.conn.user.Store(w)
	w.seen, w.since = w.conn.progress(), time.Now()
	w.before = w.conn.left()
	w.link.moved.Store(w.since.UnixNano())
	if w.timer == nil { // else net/http got another connection for the same request
		w.timer = time.AfterFunc(w.limit/looks, w.look)
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	now := time.Now()
	if p := w.conn.progress(); p != w.seen || w.conn.waits.Load() > 0 {
		w.seen, w.since = p, now
		w.link.moved.Store(now.UnixNano())
	}
	if err := w.conn.charge(0); err != nil {
		w.cancel(err)
		return
	}
	// A link of 1 KB/s may leave one of four connections without a byte for a
	// minute. So as long as others move it is only late.
	idle := now.Sub(w.since)
	if idle >= starve*w.limit || idle >= w.limit && now.UnixNano()-w.link.moved.Load() >= int64(w.limit) {
		w.link.stalls.Add(1)
		w.cancel(fmt.Errorf("%w: no byte moved for %v; the far side or the way to it is gone", ErrStalled, w.limit))
		return
	}
	w.timer.Reset(w.limit / looks)
}

// stop ends the watch and releases the request's context.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.conn != nil {
		w.conn.user.CompareAndSwap(w, nil)
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
}

// broke counts the connection whose failure ended the request, with what it had
// carried until then; not one that its caller gave up.
func (w *watch) broke(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil || w.stopped || errors.Is(err, context.Canceled) || errors.Is(err, ErrSpent) || !w.conn.broken.CompareAndSwap(false, true) {
		return
	}
	w.link.broken.Add(1)
	w.link.brokenBytes.Add(w.conn.carried())
}

// short says that less left this machine for the request than its body has
// bytes. What was acknowledged would not prove it: the acknowledgements of the
// rest may have been lost.
func (w *watch) short(body int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn != nil && w.conn.left() > 0 && w.conn.left()-w.before < body
}

// reply is a body that is watched and bounded.
type reply struct {
	body  io.ReadCloser
	ctx   context.Context
	watch *watch
	left  int64
}

func (r *reply) Read(p []byte) (int, error) {
	if r.left <= 0 {
		// The body may just end here: only one more byte is too much.
		var one [1]byte
		n, err := r.body.Read(one[:])
		if n > 0 {
			return 0, fmt.Errorf("reply is longer than %d bytes", r.watch.link.maxReply)
		}
		return 0, r.end(err)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, r.end(err)
}

func (r *reply) end(err error) error {
	if err == nil {
		return nil
	}
	err = ended(r.ctx, err)
	if !errors.Is(err, io.EOF) {
		r.watch.broke(err)
	}
	r.watch.stop()
	return err
}

func (r *reply) Close() error {
	err := r.body.Close()
	r.watch.stop()
	return err
}
