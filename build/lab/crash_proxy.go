package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
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
	calls []string // of this life: what they are
	away  bool
	gone  bool // the next upload of a second part is told that its upload is no more
	// at is called before each call and behind it with its number, from 1, and
	// whether it is behind. If it returns false, nobody hears of the call again.
	at func(call int, behind bool) bool
}

var errCallCut = errors.New("the power went")

// newProxy starts one before the lab's bucket and vault.
func (lab *crashLab) newProxy() (*crashProxy, error) {
	bucket, err1 := url.Parse(lab.gateway.Endpoint)
	vault, err2 := url.Parse(lab.vault.Endpoint)
	if err := errors.Join(err1, err2); err != nil {
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
			to := bucket
			if isVaultCall(r.In) {
				to = vault
			}
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
	p.calls = append(p.calls, callKind(r))
	n, at, away := len(p.calls), p.at, p.away
	gone := p.gone && r.URL.Query().Get("partNumber") == "2"
	p.gone = p.gone && !gone
	p.mu.Unlock()
	if away {
		return nil, errors.New("the server is away")
	}
	if at != nil && !at(n, false) {
		return nil, errCallCut
	}
	var resp *http.Response
	var err error
	if gone {
		resp = &http.Response{StatusCode: http.StatusNotFound, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/xml"}}, Request: r,
			Body: io.NopCloser(strings.NewReader("<Error><Code>NoSuchUpload</Code><Message>The upload is no more.</Message></Error>"))}
	} else {
		resp, err = p.via.RoundTrip(r)
	}
	if at != nil && !at(n, true) {
		if err == nil {
			_ = resp.Body.Close() // nobody is to read it
		}
		return nil, errCallCut
	}
	return resp, err
}

// watch begins a life: calls are counted anew, and if gone says so, an upload is
// said to be no more.
func (p *crashProxy) watch(gone bool, at func(call int, behind bool) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.away, p.gone, p.at = nil, false, gone, at
}

func (p *crashProxy) setAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// made returns what the calls of this life were.
func (p *crashProxy) made() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

func isVaultCall(r *http.Request) bool { return strings.Contains(r.URL.Path, "/vaults/") }

// callKind names a call as S3 does, as far as Dray makes it.
func callKind(r *http.Request) string {
	q := r.URL.Query()
	if isVaultCall(r) {
		whole := strings.HasSuffix(r.URL.Path, "/multipart-uploads")
		switch {
		case r.Method == http.MethodPost && whole:
			return "CreateMultipartUpload"
		case r.Method == http.MethodPut:
			return "UploadPart"
		case r.Method == http.MethodGet && whole:
			return "ListMultipartUploads"
		case r.Method == http.MethodGet:
			return "ListParts"
		}
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "UploadPart"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodDelete:
		return "AbortMultipartUpload"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case q.Has("uploads"):
		return "ListMultipartUploads"
	case q.Has("uploadId"):
		return "ListParts"
	}
	return "other call"
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
