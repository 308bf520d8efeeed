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
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
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
		err = stalled(ctx, err)
		w.broke(err)
		if w.short(req.ContentLength) {
			err = fmt.Errorf("%w: %w", ErrIncomplete, err)
		}
		w.stop()
		return nil, err
	}
	resp.Body = &reply{body: resp.Body, ctx: ctx, watch: w, left: t.maxReply}
	return resp, nil
}

// stalled replaces err by the watchdog's error if that is why ctx ended.
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrStalled) {
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

const looks = 8 // within the limit: so a stall is seen at most an eighth late

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
	w.seen, w.since = w.conn.progress(), time.Now()
	w.before = w.conn.left()
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
	if p := w.conn.progress(); p != w.seen {
		w.seen, w.since = p, now
	}
	if idle := now.Sub(w.since); idle >= w.limit {
		w.link.stalls.Add(1)
		w.cancel(fmt.Errorf("%w: no byte moved for %v", ErrStalled, w.limit))
		return
	}
	w.timer.Reset(w.limit / looks)
}

// stop ends the watch and releases the request's context.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
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
	if w.conn == nil || w.stopped || errors.Is(err, context.Canceled) || !w.conn.broken.CompareAndSwap(false, true) {
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
	err = stalled(r.ctx, err)
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

// conn counts the bytes of one connection.
type conn struct {
	net.Conn
	link           *Transport
	sent, received atomic.Int64
	acked          atomic.Uint64 // as the kernel said last
	gone           atomic.Int64  // bytes that left this machine, those sent again counted again; likewise
	broken         atomic.Bool   // counted already
}

// Close asks a last time what was acknowledged.
func (c *conn) Close() error {
	c.progress()
	return c.Conn.Close()
}

// carried is how many bytes the far side acknowledged or sent. Where the kernel
// does not tell, what was handed to it stands in.
func (c *conn) carried() int64 {
	p := c.progress()
	if p.acked == 0 {
		return p.sent + p.received
	}
	return int64(p.acked) + p.received
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	c.link.received.Add(int64(n))
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	c.link.sent.Add(int64(n))
	return n, err
}

// left is how many bytes left this machine, 0 where the kernel does not tell.
func (c *conn) left() int64 {
	c.progress()
	return c.gone.Load()
}

// progress is what a connection has moved: any change of it is a sign of life.
type progress struct {
	sent, received int64
	acked          uint64
}

// progress also asks the kernel how much the far side has acknowledged: on a
// slow link a single Write of 64 KiB can wait for minutes on a send buffer of
// megabytes that drains all the while, and the last part of a body is in that
// buffer long before it is over the wire.
func (c *conn) progress() progress {
	p := progress{sent: c.sent.Load(), received: c.received.Load(), acked: c.acked.Load()}
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return p
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return p // closed: the request is about to learn of it
	}
	// It fails only on a closed connection.
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			p.acked = info.Bytes_acked
			c.acked.Store(p.acked)
			c.gone.Store(int64(info.Bytes_sent))
		}
	})
	return p
}
