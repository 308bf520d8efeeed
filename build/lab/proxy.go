package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A proxy stands before the S3 server, takes its time as a link does, and
// counts what passes.
type proxy struct {
	Endpoint string

	server *http.Server
	served chan error
	rate   int // bytes a second and connection of what goes up

	mu      sync.Mutex
	creates map[string]int                    // uploads made, by key
	parts   map[string]map[string]map[int]int // by key, upload and number: how often one was taken in full
	sent    int64                             // bytes of parts and whole objects, also of those cut off
	puts    int
	aborts  int
}

// newProxy serves before target, the base URL of an S3 server over plain http.
func newProxy(target string, rate int) (*proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{Endpoint: "http://" + l.Addr().String(), served: make(chan error, 1), rate: rate,
		creates: map[string]int{}, parts: map[string]map[string]map[int]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode/100 == 2 {
				p.note(r.Request.Method, r.Request.URL)
			}
			return nil
		},
		// A killed client is what this is for; the server's view of it is not news.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.serve(w, r, forward)
	})}
	go func() { p.served <- p.server.Serve(l) }()
	return p, nil
}

// Close ends the proxy and waits for it.
func (p *proxy) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// bytes returns how many bytes of bodies came, those cut off included.
func (p *proxy) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	if r.Method == http.MethodPut {
		r.Body = &slowBody{ReadCloser: r.Body, p: p, began: time.Now()}
	}
	forward.ServeHTTP(w, r)
}

// note counts a request that the server said yes to, whether or not the client
// lived to hear it.
func (p *proxy) note(method string, u *url.URL) {
	_, key, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if key == "" {
		return
	}
	q := u.Query()
	id := q.Get("uploadId")
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case method == http.MethodPost && q.Has("uploads"):
		p.creates[key]++
	case method == http.MethodPut && id != "":
		number, err := strconv.Atoi(q.Get("partNumber"))
		if err != nil {
			return // the server would not have said yes
		}
		if p.parts[key] == nil {
			p.parts[key] = map[string]map[int]int{}
		}
		if p.parts[key][id] == nil {
			p.parts[key][id] = map[int]int{}
		}
		p.parts[key][id][number]++
	case method == http.MethodDelete && id != "":
		p.aborts++
	case method == http.MethodPut:
		p.puts++
	}
}

// A slowBody passes the body of a request on at the link's rate.
type slowBody struct {
	io.ReadCloser
	p     *proxy
	began time.Time
	n     int64
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 64<<10)])
	b.n += int64(n)
	b.p.mu.Lock()
	b.p.sent += int64(n)
	b.p.mu.Unlock()
	if ahead := time.Duration(float64(b.n)/float64(b.p.rate)*float64(time.Second)) - time.Since(b.began); ahead > 0 {
		time.Sleep(ahead)
	}
	return n, err
}
