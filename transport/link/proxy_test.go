package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// tunnel is a proxy that lets user "me" with password "hush" through to the
// server at to, whatever is asked for, and notes what that was.
func tunnel(t *testing.T, to string, tls bool) (address string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var hosts []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		hosts = append(hosts, r.Method+" "+r.Host)
		mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != "Basic bWU6aHVzaA==" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n") // what is missing is missed by the client
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
			both.Go(func() {
				_, _ = io.Copy(way[0], way[1]) // ends with either connection
				way[0].Close()
			})
		}
		both.Wait()
	})
	srv := httptest.NewUnstartedServer(handler)
	if tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), hosts...)
	}
}

func proxied(t *testing.T, text string) Proxy {
	t.Helper()
	p, err := ParseProxy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRequestsGoThroughTheProxy(t *testing.T) {
	url, ca, seen := tlsServer(t, nil)
	to := strings.TrimPrefix(url, "https://")
	address, asked := tunnel(t, to, false)
	link := opened(t, Config{CAFile: ca, Proxy: proxied(t, "http://me:hush@"+address)})
	for range 3 {
		if got, err := get(t, link, "https://example.com"); got != "ok" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if got := asked(); len(got) != 1 || got[0] != "CONNECT example.com:443" || len(seen()) != 3 {
		t.Errorf("the proxy was asked for %v, the server %d times", got, len(seen()))
	}
}

func TestAProxyThatRefusesIsForAnOperator(t *testing.T) {
	address, _ := tunnel(t, "127.0.0.1:1", false)
	_, err := get(t, opened(t, Config{Proxy: proxied(t, "http://me:wrong-hush@"+address)}), "https://example.com")
	var refused *ProxyError
	if !errors.As(err, &refused) || refused.Status != http.StatusProxyAuthRequired {
		t.Fatalf("got %v, want a ProxyError of 407", err)
	}
	if hint, denied := Denied(err); !denied || !strings.Contains(hint, "proxy") || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %q, %v for %v", hint, denied, err)
	}
	if _, denied := Denied(&ProxyError{http.StatusBadGateway}); denied {
		t.Error("a proxy without a link is taken for one that refuses")
	}
}

func TestARequestThroughATLSProxyIsWatched(t *testing.T) {
	url, ca, _ := tlsServer(t, nil)
	address, _ := tunnel(t, strings.TrimPrefix(url, "https://"), true)
	// Both servers have httptest's certificate, for example.com and loopback.
	link := opened(t, Config{CAFile: ca, Proxy: proxied(t, "https://me:hush@"+address)})
	var watched bool
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := link.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	w := resp.Body.(*reply).watch
	w.mu.Lock()
	watched = w.conn != nil
	w.mu.Unlock()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if !watched {
		t.Error("nothing watches the connection")
	}
}

func TestAProxysPasswordIsNeverShown(t *testing.T) {
	c := Config{Proxy: proxied(t, "http://me:hush@proxy.example:3128")}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := struct{ p Proxy }{c.Proxy}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c.Proxy, c.Proxy), fmt.Sprintf("%v %+v %#v", wrapped, wrapped, wrapped)} {
		if strings.Contains(shown, "hush") {
			t.Errorf("got %s", shown)
		}
	}
	if got, want := c.Proxy.String(), "http://proxy.example:3128"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, text := range []string{"me:hush@proxy", "http://me:hush@", "ftp://me:hush@h", "http://me:hush@h/path", "http://me:hu sh@h", "http://h\x00hush"} {
		if _, err := ParseProxy(text); err == nil || strings.Contains(err.Error(), "hu") && strings.Contains(err.Error(), "sh@h") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// net/http reads the environment once, so a child of this test looks at it.
func TestTheEnvironmentsProxyCountsAndIsNotShown(t *testing.T) {
	const child = "LINK_TEST_CHILD"
	if os.Getenv(child) != "" {
		req, err := http.NewRequest(http.MethodGet, "https://example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := Proxy{}.of(req)
		direct, _ := Proxy{direct: true}.of(req)
		fmt.Printf("proxy %v error %v direct %v\n", u, err, direct)
		return
	}
	for value, want := range map[string]string{
		"http://proxy.example:3128":      "proxy http://proxy.example:3128 error <nil> direct <nil>",
		"http://me:hush@proxy:not-a-num": "proxy <nil> error HTTPS_PROXY or HTTP_PROXY in the environment is not the address of a proxy direct <nil>",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1", "HTTPS_PROXY="+value, "https_proxy="+value, "NO_PROXY=", "no_proxy=")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) || strings.Contains(string(out), "hush") {
			t.Errorf("%v: got %s, want %s", err, out, want)
		}
	}
}
