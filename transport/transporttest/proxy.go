package transporttest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// A Proxy stands between a client and an HTTP server and spoils requests as
// its script says. Host and path pass unchanged, so signatures stay right.
type Proxy struct {
	Endpoint string // "http://127.0.0.1:40002", in place of the server's

	target   string
	upstream *http.Transport
	server   *http.Server
	handlers sync.WaitGroup
	closing  chan struct{}
	served   chan error

	mu       sync.Mutex
	script   []Fault
	requests []string
}

// A Fault spoils the first request that it matches. At most one of the fields
// that say what to do may be set; if none is, the request passes unharmed.
type Fault struct {
	Method string // matches requests of this method; empty: any
	Query  string // matches requests with this query parameter, with or without a value; empty: any
	Times  int    // how many requests it spoils; 0: one

	CutUpload int64               // let so many bytes of the body through, then hang up on both sides
	DropReply bool                // let the server do its work, then hang up without a reply
	CutReply  int64               // let so many bytes of the reply's body through, then hang up
	Stall     bool                // take the request, answer nothing, until the client hangs up
	Instead   *CannedReply        // answer this and do not ask the server
	After     *CannedReply        // let the server do its work, but answer this
	Do        func(*http.Request) // call this just before the request passes
}

// A CannedReply is what a portal, a load balancer or a failing server answers.
type CannedReply struct {
	Status int
	Header map[string]string
	Body   string
	Early  bool // answer before the request's body was read, and hang up
}

// StartProxy puts a proxy before target ("http://host:port"). tls, which may be
// nil, says whom to trust there. It ends with the test.
func StartProxy(t testing.TB, target string, tls *tls.Config) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		Endpoint: "http://" + listener.Addr().String(),
		target:   u.Scheme + "://" + u.Host,
		upstream: &http.Transport{TLSClientConfig: tls, DisableCompression: true},
		closing:  make(chan struct{}),
		served:   make(chan error, 1),
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve)}
	go func() { p.served <- p.server.Serve(listener) }()
	t.Cleanup(func() {
		close(p.closing)
		err := p.server.Close()
		p.handlers.Wait()
		p.upstream.CloseIdleConnections()
		if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		if err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	return p
}

// Script sets what happens to the requests from now on, and forgets what it
// was told before and what it saw.
func (p *Proxy) Script(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = slices.Clone(faults)
	p.requests = nil
}

// Requests returns "METHOD /path?query" of each request since Script, in the
// order in which they came.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Pending returns how many faults have not come to pass.
func (p *Proxy) Pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.script)
}

// next returns the fault for r, the zero Fault if there is none.
func (p *Proxy) next(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.RequestURI)
	for i := range p.script {
		f := &p.script[i]
		if f.Method != "" && f.Method != r.Method || f.Query != "" && !r.URL.Query().Has(f.Query) {
			continue
		}
		fault := *f
		if f.Times--; f.Times <= 0 {
			p.script = slices.Delete(p.script, i, i+1)
		}
		return fault
	}
	return Fault{}
}

var errCut = errors.New("cut by the proxy")

// hangUp ends a handler and closes the client's connection.
func hangUp() { panic(http.ErrAbortHandler) }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.handlers.Add(1)
	defer p.handlers.Done()
	f := p.next(r)
	switch {
	case f.Do != nil:
		f.Do(r)
	case f.Stall:
		_, _ = io.Copy(io.Discard, r.Body) // only then does the context end when the client hangs up
		select {
		case <-r.Context().Done():
		case <-p.closing:
		}
		hangUp()
	case f.Instead != nil:
		if !f.Instead.Early {
			_, _ = io.Copy(io.Discard, r.Body) // whatever comes of it
		}
		f.Instead.write(w)
		return
	case f.CutUpload > 0:
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, f.CutUpload), cutReader{}))
	}
	resp, err := p.forward(r)
	if err != nil {
		hangUp()
	}
	defer resp.Body.Close() // an upstream that fails now is the client's to notice
	switch {
	case f.DropReply:
		_, _ = io.Copy(io.Discard, resp.Body)
		hangUp()
	case f.After != nil:
		_, _ = io.Copy(io.Discard, resp.Body)
		f.After.write(w)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if f.CutReply > 0 {
		_, _ = io.CopyN(w, resp.Body, f.CutReply)
		_ = http.NewResponseController(w).Flush() // before it hangs up on the client anyway
		hangUp()
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		hangUp()
	}
}

// forward sends the request on, byte for byte what was signed.
func (p *Proxy) forward(r *http.Request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.target+r.RequestURI, r.Body)
	if err != nil {
		return nil, err
	}
	out.Header, out.Host, out.ContentLength = r.Header.Clone(), r.Host, r.ContentLength
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return p.upstream.RoundTrip(out)
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
