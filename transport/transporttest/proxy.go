package transporttest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A Proxy stands between a client and an HTTP server and spoils requests as
// its script says. Host and path pass unchanged, so signatures stay right.
// Its methods are safe for concurrent use.
type Proxy struct {
	Endpoint string // "http://127.0.0.1:40002", in place of the server's

	target   string
	keys     Keys
	log      func(request, done string)
	upstream *http.Transport
	server   *http.Server
	front    *door
	side     *door // where a Redirect leads
	handlers sync.WaitGroup
	closing  chan struct{}

	mu       sync.Mutex
	script   []Fault
	modes    Modes
	seen     seen
	fired    []Fault
	requests []string
	sent     int64
	partSize int64 // of the last upload in a vault
}

// ProxyOptions say what a proxy stands before.
type ProxyOptions struct {
	Target string                     // "http://host:port" of the server
	TLS    *tls.Config                // whom to trust there; nil: the system's CAs
	Listen string                     // default: a free port on loopback
	Cert   *tls.Certificate           // speak TLS with it; nil: plain http
	Keys   Keys                       // of the client: for modes that change what it signed
	Log    func(request, done string) // told of each request and what was done to it; may be nil
}

// StartProxy puts a proxy before target ("http://host:port"). tls, which may be
// nil, says whom to trust there. It ends with the test.
func StartProxy(t testing.TB, target string, tls *tls.Config) *Proxy {
	t.Helper()
	p, err := NewProxy(ProxyOptions{Target: target, TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	return p
}

// NewProxy starts a proxy without faults. The caller must Close it.
func NewProxy(o ProxyOptions) (*Proxy, error) {
	u, err := url.Parse(o.Target)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("start proxy: target %q: must be http://host:port", o.Target)
	}
	p := &Proxy{
		target:   u.Scheme + "://" + u.Host,
		keys:     o.Keys,
		log:      o.Log,
		upstream: &http.Transport{TLSClientConfig: o.TLS, DisableCompression: true, MaxIdleConnsPerHost: 16},
		closing:  make(chan struct{}),
	}
	p.reset(nil, Modes{})
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ErrorLog: discard}
	if p.front, err = openDoor(p.server, o.Listen, o.Cert); err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	if p.side, err = openDoor(p.server, "", o.Cert); err != nil {
		return nil, fmt.Errorf("start proxy: %w", errors.Join(err, p.front.close()))
	}
	p.Endpoint = p.front.url()
	return p, nil
}

// Close hangs up on everybody and waits until nothing runs.
func (p *Proxy) Close() error {
	close(p.closing)
	err := errors.Join(p.front.close(), p.side.close(), p.server.Close())
	p.handlers.Wait()
	p.upstream.CloseIdleConnections()
	return err
}

// Script sets what happens to the requests from now on, and forgets what it
// was told before and what it saw.
func (p *Proxy) Script(faults ...Fault) { p.reset(faults, Modes{}) }

// Read is Script with the text of one, for which see ParseScript.
func (p *Proxy) Read(text string) error {
	faults, modes, err := ParseScript(text)
	if err != nil {
		return err
	}
	if modes.signs() && p.keys == (Keys{}) {
		return fmt.Errorf("script: mode %v needs the client's keys", modes)
	}
	p.reset(faults, modes)
	return nil
}

func (p *Proxy) reset(faults []Fault, modes Modes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.modes = slices.Clone(faults), modes
	p.seen = seen{map[partOf]bool{}, map[string][]byte{}, map[string]bool{}}
	p.fired, p.requests, p.sent = nil, nil, 0
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

// Fired returns the faults that came to pass, in order, each as often as it did.
func (p *Proxy) Fired() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.fired)
}

// Sent returns how many bytes of parts and whole objects came since Script,
// those included that were cut or never reached the server.
func (p *Proxy) Sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// next returns the fault for r, the zero Fault if there is none, or what the
// modes answer in the server's place.
func (p *Proxy) next(r *http.Request, c call) (Fault, Modes, *CannedReply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.RequestURI)
	if c.op == "abort" {
		p.seen.aborted[c.id] = true
	}
	for i := range p.script {
		f := &p.script[i]
		if !f.matches(r, c) {
			continue
		}
		fault := *f
		if f.Times--; f.Times <= 0 {
			p.script = slices.Delete(p.script, i, i+1)
		}
		fault.Times = 0
		p.fired = append(p.fired, fault)
		fault.Instead, fault.After = fault.Instead.as(c), fault.After.as(c)
		return fault, p.modes, p.modes.refuse(r, c, &p.seen).as(c)
	}
	return Fault{}, p.modes, p.modes.refuse(r, c, &p.seen).as(c)
}

// note remembers what the server said yes to.
func (p *Proxy) note(c call, status int, body []byte) {
	if status/100 != 2 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch c.op {
	case "part":
		p.seen.parts[partOf{c.id, c.part}] = true
	case "complete":
		if p.seen.done[c.id] == nil {
			p.seen.done[c.id] = body
		}
	}
}

// callOf is what r asks, with the number of a vault's part: it is told by its
// range, and the size of parts when the upload begins.
func (p *Proxy) callOf(r *http.Request) call {
	c := callOf(r)
	if !c.vault {
		return c
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if size, err := strconv.ParseInt(r.Header.Get("X-Amz-Part-Size"), 10, 64); err == nil && size > 0 {
		p.partSize = size
	}
	var first int64
	if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-", &first); err == nil && p.partSize > 0 {
		c.part = int(first/p.partSize) + 1
	}
	return c
}

// A counted body adds what is read of it to Sent.
type counted struct {
	io.ReadCloser
	p *Proxy
}

func (b counted) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.p.mu.Lock()
	b.p.sent += int64(n)
	b.p.mu.Unlock()
	return n, err
}

var errCut = errors.New("cut by the proxy")

// hangUp ends a handler and closes the client's connection.
func hangUp() { panic(http.ErrAbortHandler) }

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.handlers.Add(1)
	defer p.handlers.Done()
	c := p.callOf(r)
	if c.op == "part" || c.op == "put" {
		r.Body = counted{r.Body, p}
	}
	f, modes, refusal := p.next(r, c)
	if p.log != nil {
		p.log(r.Method+" "+r.RequestURI, f.name)
	}
	switch {
	case f.Do != nil:
		f.Do(r)
	case f.Stall || f.StallFor > 0:
		p.stall(r, f.StallFor)
	case f.Refuse > 0 || f.BadTLS:
		_, _ = io.Copy(io.Discard, r.Body) // what comes of it is no matter: it is lost
		p.front.shut(f.Refuse, f.BadTLS)
		hangUp()
	case f.Redirect:
		_, _ = io.Copy(io.Discard, r.Body)
		moved := s3Error(http.StatusTemporaryRedirect, "TemporaryRedirect")
		moved.Header["Location"] = p.side.url() + r.RequestURI
		moved.write(w)
		return
	case f.Instead != nil:
		if !f.Instead.Early {
			_, _ = io.Copy(io.Discard, r.Body) // whatever comes of it
		}
		f.Instead.write(w)
		return
	case f.CutUpload > 0 || f.Reset > 0:
		n := max(f.CutUpload, f.Reset)
		if modes.IgnoreChecksums {
			// The server is to overlook checksums, not that half of a body is missing.
			_, _ = io.CopyN(io.Discard, r.Body, n)
			p.breakOff(w, f.Reset > 0)
		}
		r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, n), cutReader{}))
	}
	if refusal != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		refusal.write(w)
		return
	}
	if err := modes.request(r, c, p.keys); err != nil {
		hangUp()
	}
	resp, err := p.forward(r)
	if err != nil {
		p.breakOff(w, f.Reset > 0)
	}
	defer resp.Body.Close() // an upstream that fails now is the client's to notice
	if err := p.answer(w, resp, c, &f, &modes); err != nil {
		hangUp()
	}
}

// answer gives the client what the server said, as far as the fault lets it.
func (p *Proxy) answer(w http.ResponseWriter, resp *http.Response, c call, f *Fault, modes *Modes) error {
	if err := modes.reply(resp, c); err != nil {
		return err
	}
	if c.op == "complete" {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxXML))
		if err != nil {
			return err
		}
		p.note(c, resp.StatusCode, b)
		setBody(resp, b)
	} else {
		p.note(c, resp.StatusCode, nil)
	}
	switch {
	case f.DropReply:
		_, _ = io.Copy(io.Discard, resp.Body)
		hangUp()
	case f.After != nil:
		_, _ = io.Copy(io.Discard, resp.Body)
		f.After.write(w)
		return nil
	case f.Twice:
		return p.twice(w, resp)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	if f.Skew != 0 {
		w.Header().Set("Date", time.Now().Add(f.Skew).UTC().Format(http.TimeFormat))
	}
	if f.Drip > 0 {
		return p.drip(w, resp, f.Drip)
	}
	w.WriteHeader(resp.StatusCode)
	if f.CutReply > 0 {
		_, _ = io.CopyN(w, resp.Body, f.CutReply)
		_ = http.NewResponseController(w).Flush() // before it hangs up on the client anyway
		hangUp()
	}
	_, err := io.Copy(w, resp.Body)
	return err
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
