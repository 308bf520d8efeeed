package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe makes a Transport whose connections are pipes to serve, so that a
// bubble's clock rules them.
func pipe(t *testing.T, c Config, serve func(net.Conn)) *Transport {
	t.Helper()
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	link.http.DialContext = func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close() // a pipe: never fails
			serve(there)
		}()
		return &conn{Conn: here, link: link}, nil
	}
	return link
}

// every is a body or a reply of n bytes, one each d.
type every struct {
	d time.Duration
	n int
}

func (e *every) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	<-time.After(e.d)
	e.n--
	p[0] = 'x'
	return 1, nil
}

// exchange sends a request with a body of n bytes and reads the reply.
func exchange(ctx context.Context, link *Transport, body io.Reader, n int64) (string, error) {
	return exchangeWith(ctx, link, "http://server/key", body, n)
}

func exchangeWith(ctx context.Context, link *Transport, url string, body io.Reader, n int64) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, body)
	if err != nil {
		return "", err
	}
	req.ContentLength = n
	resp, err := link.RoundTrip(req)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}

// swallow reads a request to its end.
func swallow(t *testing.T, c net.Conn) bool {
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

func TestARequestThatProgressesIsNeverEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := pipe(t, Config{Stall: time.Minute}, func(c net.Conn) {
			if !swallow(t, c) {
				t.Error("the request did not arrive whole")
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(c, &every{50 * time.Second, 100}); err != nil {
				t.Error(err)
			}
		})
		start := time.Now()
		// Three chunks may wait in net/http's buffer before one is written.
		got, err := exchange(t.Context(), link, &chunks{15 * time.Second, 100}, 100*chunk)
		if err != nil || len(got) != 100 {
			t.Errorf("got %d bytes, %v, want 100", len(got), err)
		}
		if took, want := time.Since(start), 100*(15+50)*time.Second; took != want {
			t.Errorf("took %v, want %v", took, want)
		}
		if got := link.Counters().Stalls; got != 0 {
			t.Errorf("%d stalls, want 0", got)
		}
		link.CloseIdle()
	})
}

// chunks is a body of n chunks of 32 KiB, one each d.
type chunks struct {
	d time.Duration
	n int
}

const chunk = 32 << 10

func (b *chunks) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, io.EOF
	}
	<-time.After(b.d)
	b.n--
	return copy(p, make([]byte, chunk)), nil
}

func TestARequestThatStandsStillIsEnded(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
	for _, tt := range []struct {
		name     string
		patience time.Duration
		serve    func(net.Conn) // what the server does before it stands still
		want     time.Duration
	}{
		{"nothing is read", 0, func(net.Conn) {}, time.Minute},
		{"no reply", 0, func(c net.Conn) { swallow(t, c) }, time.Minute},
		{"no reply, patience", 10 * time.Minute, func(c net.Conn) { swallow(t, c) }, 10 * time.Minute},
		{"half a reply", 0, func(c net.Conn) {
			if swallow(t, c) {
				_, _ = io.WriteString(c, head+"half") // the client sees what arrived
			}
		}, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				link := pipe(t, Config{Stall: time.Minute}, func(c net.Conn) { tt.serve(c); <-over })
				start := time.Now()
				_, err := exchange(WithPatience(t.Context(), tt.patience), link, strings.NewReader("body"), 4)
				if !errors.Is(err, ErrStalled) {
					t.Errorf("got %v, want ErrStalled", err)
				}
				took := time.Since(start)
				if took < tt.want || took > tt.want+tt.want/looks {
					t.Errorf("ended after %v, want %v", took, tt.want)
				}
				if got := link.Counters().Stalls; got != 1 {
					t.Errorf("%d stalls, want 1", got)
				}
				link.CloseIdle()
			})
		})
	}
}

func TestTheCallersOwnEndIsNotCalledAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		link := pipe(t, Config{}, func(c net.Conn) { swallow(t, c); <-over })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := exchange(ctx, link, nil, 0)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrStalled) {
			t.Errorf("got %v, want the context's error", err)
		}
		link.CloseIdle()
	})
}

func TestARepliesBodyIsBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", int(r.ContentLength))) // the client may hang up
	}))
	defer srv.Close()
	link, err := New(Config{MaxReply: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer link.CloseIdle()
	for n, ok := range map[int]bool{999: true, 1000: true, 1001: false, 100_000: false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, strings.NewReader(strings.Repeat("y", n)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := link.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if (err == nil) != ok || len(b) > 1000 {
			t.Errorf("reply of %d bytes: read %d, %v", n, len(b), err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCountersCountTheWire(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // what is missing is missed below
		_, _ = w.Write(b)
	}))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(srv), 0o600); err != nil {
		t.Fatal(err)
	}
	link, err := New(Config{CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer link.CloseIdle()
	const n = 100_000
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL, strings.NewReader(strings.Repeat("y", n)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := link.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || len(b) != n {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
	}
	got := link.Counters()
	if got.Requests != 3 || got.Connections != 1 || got.Stalls != 0 {
		t.Errorf("%+v, want 3 requests over 1 connection, no stall", got)
	}
	for _, moved := range []int64{got.BytesSent, got.BytesReceived} {
		if moved < 3*n || moved > 3*n+20_000 {
			t.Errorf("%+v: %d bytes one way, want a little over %d", got, moved, 3*n)
		}
	}
}

func TestTheKernelTellsWhatWasAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{Conn: raw, link: new(Transport)}
	defer c.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	before := c.progress().acked
	if _, err := c.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("x")); err != nil { // carries the acknowledgement
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if got := c.progress().acked - before; got != 1000 {
		t.Errorf("%d bytes acknowledged, want 1000", got)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		{Stall: time.Millisecond}, {Stall: -time.Second}, {Dial: 1}, {TLS: 1}, {MaxConns: -1}, {MaxReply: -1},
		{CAFile: empty}, {CAFile: empty + ".absent"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v): no error", c)
		} else if c.CAFile != "" && !strings.Contains(fmt.Sprint(err), c.CAFile) {
			t.Errorf("New(%+v): %v, want the file named", c, err)
		}
	}
}
