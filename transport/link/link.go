package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// Config says how to use the wire. The zero value is good.
type Config struct {
	Stall    time.Duration // end a request that moved no byte for so long; default 60 s, at least 1 s
	Dial     time.Duration // limit for name look-up and connecting together; default 30 s
	TLS      time.Duration // limit for a TLS handshake; default 30 s
	CAFile   string        // PEM file of CAs to trust besides the system's
	MaxConns int           // connections to one host at a time; default 0: as many as there are requests
	MaxReply int64         // bytes of a reply's body; default 16 MiB
}

// Defaults of Config.
const (
	DefaultStall    = 60 * time.Second
	DefaultDial     = 30 * time.Second
	DefaultTLS      = 30 * time.Second
	DefaultMaxReply = 16 << 20
)

// Sizes and times that nobody needs to set.
const (
	// Request head and the beginning of a body go out in one write.
	writeBuffer = 64 << 10
	headerBytes = 256 << 10
	maxIdle     = 16               // connections kept for reuse, at most
	idleFor     = 30 * time.Second // servers close idle ones; a part sent into a closed one has to be sent again
)

// Transport is the wire. It is an http.RoundTripper, safe for concurrent use.
// Nothing of it runs between requests, save that each idle connection has two
// goroutines of net/http's, which end with CloseIdle or after 30 s.
type Transport struct {
	http     *http.Transport
	stall    time.Duration
	maxReply int64

	sent, received, requests, connections, stalls atomic.Int64
}

var _ http.RoundTripper = (*Transport)(nil)

// Counters is what crossed the wire since New. Bytes are those of TCP, TLS
// included; those that the kernel sends again are not counted again.
type Counters struct {
	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`
	Requests      int64 `json:"requests"`
	Connections   int64 `json:"connections"`
	Stalls        int64 `json:"stalls"`
}

// New checks c and reads the CA file. It connects to nothing.
func New(c Config) (*Transport, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		other time.Duration
	}{{"stall", &c.Stall, DefaultStall}, {"dial", &c.Dial, DefaultDial}, {"TLS", &c.TLS, DefaultTLS}} {
		if *d.value == 0 {
			*d.value = d.other
		}
		if *d.value < time.Second {
			return nil, fmt.Errorf("link: %s limit %v: must be at least 1s", d.name, *d.value)
		}
	}
	if c.MaxReply == 0 {
		c.MaxReply = DefaultMaxReply
	}
	if c.MaxReply < 0 || c.MaxConns < 0 {
		return nil, fmt.Errorf("link: reply limit %d, connection limit %d: must not be negative", c.MaxReply, c.MaxConns)
	}
	roots, err := trust(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("link: CA file: %w", err)
	}
	t := &Transport{stall: c.Stall, maxReply: c.MaxReply}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Timeout: c.Dial}
	t.http = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			t.connections.Add(1)
			return &conn{Conn: raw, link: t}, nil
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			ClientSessionCache: tls.NewLRUClientSessionCache(maxIdle), // saves bytes on metered links
		},
		Protocols:              &protocols,
		TLSHandshakeTimeout:    c.TLS,
		DisableCompression:     true,
		MaxConnsPerHost:        c.MaxConns,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleFor,
		MaxResponseHeaderBytes: headerBytes,
		WriteBufferSize:        writeBuffer,
	}
	return t, nil
}

// trust returns the system's CAs and those in file; nil (the system's) if
// there is no file.
func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a device without any still trusts the file
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: holds no certificate; it must be PEM", file)
	}
	return pool, nil
}

// Counters returns what crossed the wire until now.
func (t *Transport) Counters() Counters {
	return Counters{
		BytesSent:     t.sent.Load(),
		BytesReceived: t.received.Load(),
		Requests:      t.requests.Load(),
		Connections:   t.connections.Load(),
		Stalls:        t.stalls.Load(),
	}
}

// CloseIdle closes connections that no request uses.
func (t *Transport) CloseIdle() { t.http.CloseIdleConnections() }

// ErrStalled is in the chain of the error of a request that was ended because
// no byte moved.
var ErrStalled = errors.New("link stalled")

type patienceKey struct{}

// WithPatience returns a context whose requests may stand still for d, where
// that is longer than Config.Stall: for calls on which a server works before
// it answers, such as completing an upload.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// patience is how long a request with this context may stand still.
func (t *Transport) patience(ctx context.Context) time.Duration {
	d, _ := ctx.Value(patienceKey{}).(time.Duration)
	return max(d, t.stall)
}
