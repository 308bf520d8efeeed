package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how to use the wire. The zero value is good.
type Config struct {
	Stall    time.Duration // end a request that moved no byte for so long; default 30 s, at least 1 s
	Dial     time.Duration // limit for name look-up and connecting together; default 30 s
	TLS      time.Duration // limit for a TLS handshake; default 30 s
	CAFile   string        // PEM file of CAs to trust besides the system's
	CertFile string        // PEM file of a client certificate and those that vouch for it; read anew when it changes
	KeyFile  string        // PEM file of its key; likewise
	Proxy    Proxy         // default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment
	Idle     time.Duration // keep a connection that no request uses for so long; default 2 min, at least 1 s
	MaxConns int           // connections to one host at a time; default 0: as many as there are requests
	MaxReply int64         // bytes of a reply's body; default 16 MiB
	Rates    []*Rate       // caps on what is sent; those shared with others among them
	Meter    Meter         // asked before bytes are sent; nil: nobody counts
}

// Defaults of Config.
const (
	DefaultStall    = 30 * time.Second
	DefaultDial     = 30 * time.Second
	DefaultTLS      = 30 * time.Second
	DefaultIdle     = 2 * time.Minute
	DefaultMaxReply = 16 << 20
)

// Sizes and times that nobody needs to set.
const (
	// Request head and the beginning of a body go out in one write.
	writeBuffer = 64 << 10
	headerBytes = 256 << 10
	maxIdle     = 16 // connections kept for reuse, at most
)

// alive finds a connection that broke unseen, as mobile networks and NATs drop
// them, before a part is sent into it: after 60 s without an answer, which is
// dial's TCP_USER_TIMEOUT; and its probes keep a NAT from forgetting. A server
// that closes an idle one says so, and it is then not used again.
var alive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 2}

// Transport is the wire. It is an http.RoundTripper, safe for concurrent use.
// Nothing of it runs between requests, save that each idle connection has two
// goroutines of net/http's, which end with CloseIdle or after Config.Idle.
type Transport struct {
	http     *http.Transport
	pair     *pair // nil: no client certificate
	sessions *sessions
	stall    time.Duration
	maxReply int64
	rates    []*Rate
	piece    int // bytes written at once
	meter    Meter
	iface    atomic.Pointer[string] // of the last connection, or the last that was wanted
	moved    atomic.Int64           // when any connection last moved a byte, Unix nanoseconds

	sent, received, requests, connections, stalls, broken, brokenBytes atomic.Int64
	handshakes, resumed, changes, cost                                 atomic.Int64

	mu    sync.Mutex
	conns map[*conn]struct{} // open ones
	clock atomic.Pointer[dated]
	time  atomic.Pointer[func() time.Time] // nil: time.Now
	dials map[*dialing]struct{}
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
	Broken        int64 `json:"broken"`       // connections that failed while a request used them
	BrokenBytes   int64 `json:"broken_bytes"` // what those had carried, both ways, as far as the far side acknowledged it
	Handshakes    int64 `json:"handshakes"`   // of TLS
	Resumed       int64 `json:"resumed"`      // of those, the ones that went on with an earlier session
	Changes       int64 `json:"changes"`      // connections ended because the network changed under them
	CostBytes     int64 `json:"cost_bytes"`   // what closed connections cost, as Meter counts it
}

// New checks c and reads the files of certificates. It connects to nothing.
func New(c Config) (*Transport, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		other time.Duration
	}{{"stall", &c.Stall, DefaultStall}, {"dial", &c.Dial, DefaultDial}, {"TLS", &c.TLS, DefaultTLS}, {"idle", &c.Idle, DefaultIdle}} {
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
	pair, err := newPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("link: client certificate: %w", err)
	}
	t := &Transport{pair: pair, sessions: newSessions(), stall: c.Stall, maxReply: c.MaxReply, piece: writeBuffer, meter: c.Meter, conns: map[*conn]struct{}{}, dials: map[*dialing]struct{}{}}
	for _, r := range c.Rates {
		if r != nil {
			t.rates, t.piece = append(t.rates, r), min(t.piece, r.piece())
		}
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	t.http = &http.Transport{
		Proxy:                  c.Proxy.of,
		OnProxyConnectResponse: connected,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.dial(ctx, c.Dial, network, addr)
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			ClientSessionCache: t.sessions, // saves bytes on metered links
			Time:               t.now,
		},
		Protocols:              &protocols,
		TLSHandshakeTimeout:    c.TLS,
		DisableCompression:     true,
		MaxConnsPerHost:        c.MaxConns,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        c.Idle,
		MaxResponseHeaderBytes: headerBytes,
		WriteBufferSize:        writeBuffer,
	}
	if pair != nil {
		t.http.TLSClientConfig.GetClientCertificate = pair.give
	}
	return t, nil
}

// trust returns the system's CAs and those in file; nil (the system's) if
// there is no file.
func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := readFile(file)
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
		Broken:        t.broken.Load(),
		BrokenBytes:   t.brokenBytes.Load(),
		Handshakes:    t.handshakes.Load(),
		Resumed:       t.resumed.Load(),
		Changes:       t.changes.Load(),
		CostBytes:     t.cost.Load(),
	}
}

// CloseIdle closes connections that no request uses.
func (t *Transport) CloseIdle() { t.http.CloseIdleConnections() }

// ErrStalled is in the chain of the error of a request that was ended because
// no byte moved.
var ErrStalled = errors.New("link stalled")

// ErrIncomplete is in the chain of the error of a request whose connection
// failed before all of its body had left this machine: it had no effect.
var ErrIncomplete = errors.New("connection failed within the request")

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
