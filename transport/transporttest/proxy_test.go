package transporttest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A stand is a proxy before a small server that counts.
type stand struct {
	*testing.T
	proxy  *Proxy
	client *http.Client
	served atomic.Int64 // requests whose whole body the server had
}

func newStand(t *testing.T, o ProxyOptions) *stand {
	s := &stand{T: t}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		s.served.Add(1)
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("X-Amz-Checksum-Crc32c", "AAAAAA==")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	o.Target = server.URL
	var err error
	if s.proxy, err = NewProxy(o); err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := s.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const answer = `<?xml version="1.0"?>` + "\n<Result><ETag>e</ETag><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Result>"

// ask sends one request and returns the reply with its body read.
func (s *stand) ask(method, path, body string) (*http.Response, string, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.proxy.Endpoint+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), errors.Join(err, resp.Body.Close())
}

const part1 = "/b/k?uploadId=u&partNumber=1"

func TestEachFaultIsWhatItsNameSays(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		script string
		served int64 // requests that the server had
		broken bool  // the client gets no whole reply
		status int
		body   string
	}{
		{"part pass", 1, false, 200, answer},
		{"part cut-up=1000", 0, true, 0, ""},
		{"part reset=1000", 0, true, 0, ""},
		{"part drop", 1, true, 0, ""},
		{"part cut-down=10", 1, true, 0, ""},
		{"part stall=1ms", 0, true, 0, ""},
		{"part status=500:InternalError", 0, false, 500, s3Error(500, "InternalError").Body},
		{"part slow-down=3", 0, false, 503, s3Error(503, "SlowDown").Body},
		{"part lie=empty", 0, false, 200, ""},
		{"part lie=json", 0, false, 200, `{"ok":true}`},
		{"part late=404:NoSuchUpload", 1, false, 404, s3Error(404, "NoSuchUpload").Body},
		{"part late-lie=html", 1, false, 200, "<html><body>Welcome to Hotel Wi-Fi</body></html>"},
		{"part redirect", 0, false, 307, s3Error(307, "TemporaryRedirect").Body},
		{"part drip=5", 1, false, 200, strings.Replace(answer, "?>", "?>     ", 1)},
		{"part skew=-1h", 1, false, 200, answer},
		{"part twice", 1, false, 200, answer},
		{"complete drop; part#2 drop; create drop", 1, false, 200, answer},
	} {
		t.Run(tt.script, func(t *testing.T) {
			s := newStand(t, ProxyOptions{})
			if err := s.proxy.Read(tt.script); err != nil {
				t.Fatal(err)
			}
			resp, body, err := s.ask("PUT", part1, large)
			if (err != nil) != tt.broken {
				t.Fatalf("got %v, want broken: %v", err, tt.broken)
			}
			if got := s.served.Load(); got != tt.served {
				t.Errorf("the server had %d requests, want %d", got, tt.served)
			}
			if err == nil && (resp.StatusCode != tt.status || body != tt.body) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, tt.status, tt.body)
			}
			switch tt.script {
			case "part reset=1000":
				// Whoever reads for the client may see it first, and close under the writer.
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v, want a reset", err)
				}
			case "part slow-down=3":
				if got := resp.Header.Get("Retry-After"); got != "3" {
					t.Errorf("Retry-After %q, want 3", got)
				}
			case "part skew=-1h":
				if d, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(d) < 59*time.Minute {
					t.Errorf("Date %v, %v, want an hour ago", d, err)
				}
			case "part redirect":
				to := resp.Header.Get("Location")
				if strings.HasPrefix(to, s.proxy.Endpoint) || !strings.HasSuffix(to, part1) {
					t.Errorf("Location %q, want another address", to)
				}
				again, err := s.client.Get(to)
				if err != nil || again.StatusCode != 200 || again.Body.Close() != nil {
					t.Errorf("at the other address: %v, %v", again, err)
				}
			}
			// Used up: the next one goes through, unless it broke the connection that
			// the client keeps.
			s.client.CloseIdleConnections()
			if _, _, err := s.ask("PUT", part1, ""); err != nil && !strings.Contains(tt.script, ";") {
				t.Errorf("the next request: %v", err)
			}
			if fired := len(s.proxy.Fired()); fired != 1 && !strings.Contains(tt.script, ";") {
				t.Errorf("%d faults came to pass, want 1", fired)
			}
		})
	}
}

func TestAPortIsReallyClosedAndOpensAgain(t *testing.T) {
	s := newStand(t, ProxyOptions{})
	if err := s.proxy.Read("part refuse=50ms"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ask("PUT", part1, "x"); err == nil {
		t.Error("the request went through")
	}
	_, _, err := s.ask("PUT", part1, "x")
	for refused := 0; err != nil; refused++ {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("got %v, want a refused connection", err)
		}
		_, _, err = s.ask("PUT", part1, "x")
	}
}

func TestAHandshakeFailsOnce(t *testing.T) {
	dir := t.TempDir()
	files, ca, err := makeCerts(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		t.Fatal(err)
	}
	s := newStand(t, ProxyOptions{Cert: &cert})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	if err := s.proxy.Read("part bad-tls"); err != nil {
		t.Fatal(err)
	}
	_, _, first := s.ask("PUT", part1, "x")
	_, _, second := s.ask("PUT", part1, "x")
	_, _, third := s.ask("PUT", part1, "x")
	if alert := (*net.OpError)(nil); first == nil || !errors.As(second, &alert) || alert.Op != "remote error" || third != nil {
		t.Errorf("got %v, %v, %v; want hung up, a TLS alert, success", first, second, third)
	}
}

func TestTimesAndOrderOfAScriptCount(t *testing.T) {
	s := newStand(t, ProxyOptions{})
	if err := s.proxy.Read("part pass; part status=500: *2\nany status=501: % the rest"); err != nil {
		t.Fatal(err)
	}
	var got []int
	for range 5 {
		resp, _, err := s.ask("PUT", part1, "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.StatusCode)
	}
	if want := []int{200, 500, 500, 501, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestModesMakeAServerIntoAnother(t *testing.T) {
	for _, tt := range []struct {
		mode, method, path string
		before             string // path of a request that succeeds first
		status             int
		checksum           bool
		body               string
	}{
		{"deny-head", "HEAD", "/b/k", "", 403, false, ""},
		{"deny-list", "GET", "/b/k?uploadId=u", "", 403, false, s3Error(403, "AccessDenied").Body},
		{"deny-list", "GET", "/b?uploads", "", 403, false, s3Error(403, "AccessDenied").Body},
		{"deny-abort", "DELETE", "/b/k?uploadId=u", "", 403, false, s3Error(403, "AccessDenied").Body},
		{"again=gone", "POST", "/b/k?uploadId=u", "", 200, true, answer},
		{"again=gone", "POST", "/b/k?uploadId=u", "/b/k?uploadId=u", 404, false, s3Error(404, "NoSuchUpload").Body},
		{"again=gone", "POST", "/b/k?uploadId=v", "/b/k?uploadId=u", 200, true, answer},
		{"again=error", "POST", "/b/k?uploadId=u", "/b/k?uploadId=u", 500, false, s3Error(500, "InternalError").Body},
		{"again=taken", "POST", "/b/k?uploadId=u", "/b/k?uploadId=u", 412, false, s3Error(412, "PreconditionFailed").Body},
		{"again=same", "POST", "/b/k?uploadId=u", "/b/k?uploadId=u", 200, false, answer},
		{"empty-etag", "POST", "/b/k?uploadId=u", "", 200, true, strings.Replace(answer, "<ETag>e</ETag>", "", 1)},
		{"no-checksums", "POST", "/b/k?uploadId=u", "", 200, false, strings.Replace(answer, "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>", "", 1)},
		{"no-checksums", "PUT", part1, "", 200, false, answer},
		{"no-resend", "PUT", part1, part1, 501, false, s3Error(501, "NotImplemented").Body},
	} {
		t.Run(tt.mode+" "+tt.method, func(t *testing.T) {
			s := newStand(t, ProxyOptions{})
			if err := s.proxy.Read("mode " + tt.mode); err != nil {
				t.Fatal(err)
			}
			if tt.before != "" {
				if _, _, err := s.ask(tt.method, tt.before, ""); err != nil {
					t.Fatal(err)
				}
			}
			resp, body, err := s.ask(tt.method, tt.path, "")
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || body != tt.body || (resp.Header.Get("X-Amz-Checksum-Crc32c") != "") != tt.checksum {
				t.Errorf("got %d %q %v, want %d %q, a checksum: %v", resp.StatusCode, body, resp.Header, tt.status, tt.body, tt.checksum)
			}
		})
	}
	s := newStand(t, ProxyOptions{})
	if err := s.proxy.Read("mode ignore-condition"); err == nil {
		t.Error("a mode that changes what is signed was taken without keys")
	}
}

func TestBadScriptsAreRefusedWithTheirLine(t *testing.T) {
	for _, text := range []string{
		"nonsense drop", "part", "part drop drop", "part drop *x", "part drop *-1", "part#0 drop", "create#1 drop", "part#10001 drop", "part nonsense",
		"part drop=1", "part cut-up=0", "part cut-up=-5", "part stall=-1s", "part stall=x", "part status=99:", "part status=200:<x>", "part lie=true",
		"part slow-down=-1", "part drip=99999999", "part refuse=-1s", "mode nonsense", "mode again=maybe",
	} {
		_, _, err := ParseScript("part drop\n" + text)
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, want an error that names line 2", text, err)
		}
	}
	if _, _, err := ParseScript(strings.Repeat("part drop;", maxFaults+1)); err == nil {
		t.Error("a script without end was taken")
	}
}

func FuzzScript(f *testing.F) {
	for _, seed := range []string{"part#2 cut-up=100 *3; complete drop", "mode deny-head again=gone\ncreate late-lie=html", "any stall; part skew=-1h % no", "mode again=same;mode no-resend"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		faults, modes, err := ParseScript(text)
		if err != nil {
			return
		}
		again, sameModes, err := ParseScript(FormatScript(faults, modes))
		if err != nil || modes != sameModes || FormatScript(again, sameModes) != FormatScript(faults, modes) {
			t.Errorf("%q was written as %q, which reads as %q, %v", text, FormatScript(faults, modes), FormatScript(again, sameModes), err)
		}
	})
}

func TestTheProxyLeavesNothingBehind(t *testing.T) {
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewProxy(ProxyOptions{Target: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Read("any stall"); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(p.Endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) || bytes.Contains(b, []byte("200")) {
		t.Errorf("got %q, %v", b, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	after, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(after) > len(before)+1 { // the poller's, made with the first socket, may be new
		var open []string
		for _, d := range after {
			to, _ := os.Readlink(filepath.Join("/proc/self/fd", d.Name())) // it may be closed by now
			open = append(open, to)
		}
		t.Errorf("%d descriptors are open, %d were before: %q", len(after), len(before), open)
	}
}
