package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// A crashProxy stands before the S3 server and counts the calls. It can take
// the server away, and tell when a call is about to pass or has passed.
type crashProxy struct {
	Endpoint string

	server *http.Server
	served chan error
	via    *http.Transport

	mu    sync.Mutex
	calls int
	away  bool
	// at is called before each call and behind it with its number, from 1, and
	// whether it is behind. If it returns false, nobody hears of the call again.
	at func(call int, behind bool) bool
}

var errCallCut = errors.New("the power went")

func newCrashProxy(target string) (*crashProxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &crashProxy{Endpoint: "http://" + l.Addr().String(), served: make(chan error, 1),
		via: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8}}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: p,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, errCallCut) {
				panic(http.ErrAbortHandler) // no reply
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	}
	p.server = &http.Server{Handler: forward, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet}
	go func() { p.served <- p.server.Serve(l) }()
	return p, nil
}

// RoundTrip passes a call on.
func (p *crashProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.calls++
	n, at, away := p.calls, p.at, p.away
	p.mu.Unlock()
	if away {
		return nil, errors.New("the server is away")
	}
	if at != nil && !at(n, false) {
		return nil, errCallCut
	}
	resp, err := p.via.RoundTrip(r)
	if at != nil && !at(n, true) {
		if err == nil {
			_ = resp.Body.Close() // nobody is to read it
		}
		return nil, errCallCut
	}
	return resp, err
}

// watch begins a life: calls are counted anew.
func (p *crashProxy) watch(away bool, at func(call int, behind bool) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.away, p.at = 0, away, at
}

func (p *crashProxy) setAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// count returns the calls of this life.
func (p *crashProxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Close ends the proxy.
func (p *crashProxy) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, p.server.Close())
	}
	if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	p.via.CloseIdleConnections()
	return err
}
