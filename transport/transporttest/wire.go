package transporttest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// discard takes what net/http has to say of connections that are meant to break.
var discard = log.New(io.Discard, "", 0)

// stall keeps the client waiting, for ever if d is 0, and hangs up.
func (p *Proxy) stall(r *http.Request, d time.Duration) {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the context end when the client hangs up
	var end <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		end = t.C
	}
	select {
	case <-r.Context().Done():
	case <-p.closing:
	case <-end:
	}
	hangUp()
}

// breakOff ends the connection, with a TCP reset if so asked. It does not return.
func (p *Proxy) breakOff(w http.ResponseWriter, reset bool) {
	if reset {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			hangUp()
		}
		raw := conn
		if t, ok := conn.(*tls.Conn); ok {
			raw = t.NetConn()
		}
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // it fails only on a connection that is gone
		}
		_ = raw.Close()
	}
	hangUp()
}

// drip answers as a server does that has not done its work yet: with its head,
// then blanks, and at last the body. An XML declaration, which nothing may come
// before, goes first.
func (p *Proxy) drip(w http.ResponseWriter, resp *http.Response, n int) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxXML))
	if err != nil {
		return err
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(resp.StatusCode)
	if end := bytes.Index(body, []byte("?>")); bytes.HasPrefix(body, []byte("<?xml")) && end > 0 {
		if _, err := w.Write(body[:end+2]); err != nil {
			return err
		}
		body = body[end+2:]
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range n {
		if _, err := io.WriteString(w, " "); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-p.closing:
			return errCut
		}
	}
	_, err = w.Write(body)
	return err
}

// twice sends a reply two times over, as a broken middlebox does. Of the second
// one the client must not think that it answers its next request.
func (p *Proxy) twice(w http.ResponseWriter, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxXML))
	if err != nil {
		return err
	}
	setBody(resp, body)
	var once bytes.Buffer
	if err := resp.Write(&once); err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	_, err = conn.Write(bytes.Repeat(once.Bytes(), 2))
	return errors.Join(err, conn.Close())
}

func (c *CannedReply) write(w http.ResponseWriter) {
	for name, value := range c.Header {
		w.Header().Set(name, value)
	}
	if c.Early {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(c.Status)
	_, _ = io.WriteString(w, c.Body) // the client may be gone
}

// cutReader fails.
type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, errCut }

// A door is an address that can be shut for a while: the kernel then refuses
// connections. A second socket, which never listens, keeps the port from others.
type door struct {
	addr   string
	keep   int // file descriptor
	cert   *tls.Certificate
	server *http.Server

	mu       sync.Mutex
	listener net.Listener // nil: shut
	opening  *time.Timer
	closed   bool
	badTLS   int // handshakes that are to fail
	served   sync.WaitGroup
	failed   error
}

// openDoor serves at addr, a free port on loopback if it is empty.
func openDoor(s *http.Server, addr string, cert *tls.Certificate) (*door, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	d := &door{addr: addr, cert: cert, server: s, keep: -1}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.open(); err != nil {
		return nil, err
	}
	d.addr = d.listener.Addr().String()
	if err := d.hold(); err != nil {
		_ = d.listener.Close() // nothing was served yet
		return nil, err
	}
	return d, nil
}

// hold binds a socket to the port that is listened at.
func (d *door) hold() error {
	addr, ok := d.listener.Addr().(*net.TCPAddr)
	if !ok || addr.IP.To4() == nil {
		return errors.New("must listen at an IPv4 address")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}))
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	d.keep = fd
	return nil
}

func (d *door) url() string {
	if d.cert != nil {
		return "https://" + d.addr
	}
	return "http://" + d.addr
}

// open listens and serves. The lock is held.
func (d *door) open() error {
	reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		control := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(control, err)
	}}
	l, err := reuse.Listen(context.Background(), "tcp4", d.addr)
	if err != nil {
		return err
	}
	d.listener = l
	d.served.Go(func() {
		err := d.serve(l)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
			return // shut on purpose
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failed = errors.Join(d.failed, err)
	})
	return nil
}

func (d *door) serve(l net.Listener) error {
	if d.cert == nil {
		return d.server.Serve(l)
	}
	return d.server.Serve(tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{*d.cert},
		MinVersion:   tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.badTLS == 0 {
				return nil, nil
			}
			d.badTLS--
			return nil, errCut
		},
	}))
}

// shut refuses connections for so long, or fails the next handshake.
func (d *door) shut(long time.Duration, badTLS bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if badTLS {
		d.badTLS++
	}
	if long == 0 || d.listener == nil || d.closed {
		return
	}
	_ = d.listener.Close() // whatever it says, nobody listens now
	d.listener = nil
	d.opening = time.AfterFunc(long, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.closed {
			d.failed = errors.Join(d.failed, d.open())
		}
	})
}

// close shuts the door for good. Connections that were let in stay.
func (d *door) close() error {
	d.mu.Lock()
	d.closed = true
	var err error
	if d.listener != nil {
		err = d.listener.Close()
	}
	if d.opening != nil {
		d.opening.Stop()
	}
	if d.keep >= 0 {
		err = errors.Join(err, unix.Close(d.keep))
	}
	d.mu.Unlock()
	d.served.Wait()
	if err != nil && strings.Contains(err.Error(), "use of closed network connection") {
		err = nil // the server closed it first
	}
	return errors.Join(err, d.failed)
}
