package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
)

// cutter takes n bytes of each connection and then resets it; with n < 0 it
// answers no request.
func cutter(t *testing.T, n int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if n < 0 {
				_, _ = io.Copy(io.Discard, c)
			} else {
				_, _ = io.CopyN(io.Discard, c, n)
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func put(ctx context.Context, t *testing.T, link *Transport, addr string, n int) error {
	t.Helper()
	_, err := exchangeWith(ctx, link, "http://"+addr+"/key", bytes.NewReader(make([]byte, n)), int64(n))
	return err
}

func TestWhatABrokenConnectionCarriedIsCounted(t *testing.T) {
	link, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	const cut, body = 1 << 20, 64 << 20
	addr := cutter(t, cut)
	for range 3 {
		if err := put(t.Context(), t, link, addr, body); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("a request of which the server got a 64th: %v, want %v", err, ErrIncomplete)
		}
	}
	// Beyond the cut there is what the far side's kernel took without its program.
	c := link.Counters()
	if c.Broken != 3 || c.BrokenBytes < 3*cut || c.BrokenBytes > c.BytesSent+c.BytesReceived {
		t.Errorf("%d broken connections carried %d bytes of %d; want 3 and at least %d", c.Broken, c.BrokenBytes, c.BytesSent, 3*cut)
	}
}

func TestARequestThatLeftWholeMayHaveHadAnEffect(t *testing.T) {
	link, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	const body = 1 << 10
	if err := put(t.Context(), t, link, cutter(t, body), body); err == nil || errors.Is(err, ErrIncomplete) {
		t.Errorf("got %v, want an error that promises nothing", err)
	}
}

func TestAConnectionThatItsUserGaveUpIsNotBroken(t *testing.T) {
	link, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- put(ctx, t, link, cutter(t, -1), 1) }()
	for link.Counters().BytesSent == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if c := link.Counters(); c.Broken != 0 {
		t.Errorf("%d broken connections, want 0", c.Broken)
	}
}

func TestARefusedConnectionIsNotBroken(t *testing.T) {
	link, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), t, link, addr, 1); err == nil {
		t.Fatal("a refused connection succeeded")
	}
	if c := link.Counters(); c.Broken != 0 {
		t.Errorf("%d broken connections, want 0", c.Broken)
	}
}
