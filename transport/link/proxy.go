package link

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// Proxy is where requests go through. The zero value leaves that to HTTPS_PROXY,
// HTTP_PROXY and NO_PROXY of the environment. It never shows user and password.
type Proxy struct {
	url    *url.URL // behind a pointer, that fmt does not look through
	direct bool
}

// ParseProxy reads "http://[user:password@]host:port", https:// or socks5://
// likewise; "direct" for none, whatever the environment says; "" for what the
// environment says. Its error repeats nothing of the text.
func ParseProxy(text string) (Proxy, error) {
	switch text {
	case "":
		return Proxy{}, nil
	case "direct":
		return Proxy{direct: true}, nil
	}
	u, err := url.Parse(text)
	if err != nil || !isProxy(u) {
		return Proxy{}, errors.New("is not a proxy; write http://host:port or http://user:password@host:port, or direct for none")
	}
	return Proxy{url: u}, nil
}

func isProxy(u *url.URL) bool {
	return u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) &&
		u.RawQuery == "" && u.Fragment == "" && (u.Path == "" || u.Path == "/")
}

// String returns scheme and host, "environment" or "direct".
func (p Proxy) String() string {
	switch {
	case p.direct:
		return "direct"
	case p.url == nil:
		return "environment"
	}
	return p.url.Scheme + "://" + p.url.Host
}

// Format writes String, whatever the verb.
func (p Proxy) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }

// MarshalText returns String.
func (p Proxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// of returns the proxy for a request, nil for none.
func (p Proxy) of(req *http.Request) (*url.URL, error) {
	if p.direct || p.url != nil {
		return p.url, nil
	}
	u, err := http.ProxyFromEnvironment(req)
	if err != nil || u != nil && !isProxy(u) {
		// Which holds the address, and with it perhaps a password.
		return nil, errors.New("HTTPS_PROXY or HTTP_PROXY in the environment is not the address of a proxy")
	}
	return u, nil
}

// ProxyError says that a proxy did not connect to where it was asked to.
type ProxyError struct{ Status int }

// Error returns the status and what it means.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("proxy answered %d %s", e.Status, http.StatusText(e.Status))
}

// connected looks at a proxy's answer to CONNECT.
func connected(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &ProxyError{resp.StatusCode}
	}
	return nil
}
