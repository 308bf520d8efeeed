package link

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var errNoMore = errors.New("the day's budget is used up")

// purse is a Meter with so many bytes in it.
type purse struct {
	mu     sync.Mutex
	left   int64
	taken  int64 // and not given back
	most   int64 // of taken
	ifaces map[string]bool
}

func (p *purse) Take(iface string, n int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ifaces == nil {
		p.ifaces = map[string]bool{}
	}
	p.ifaces[iface] = true
	if n > p.left {
		return errNoMore
	}
	p.left -= n
	p.taken += n
	p.most = max(p.most, p.taken)
	return nil
}

func (p *purse) Settle(_ string, n int64, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left -= n
	p.taken += n
	p.most = max(p.most, p.taken)
}

// echo is an https server that gives back what it gets, and a Config to reach it.
func echo(t *testing.T) (*httptest.Server, Config) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is missing is missed by the client
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, pemOf(srv))
	return srv, Config{CAFile: ca}
}

func TestWhatALinkCostsIsTakenBeforeAndSettledAfter(t *testing.T) {
	srv, c := echo(t)
	purse := &purse{left: 1 << 30}
	c.Meter = purse
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	const n = 3 << 20
	if _, err := exchangeWith(t.Context(), link, srv.URL, bytes.NewReader(make([]byte, n)), n); err != nil {
		t.Fatal(err)
	}
	counters := link.Counters()
	if purse.taken < counters.BytesSent+counters.BytesReceived {
		t.Errorf("%d bytes taken while the connection is open, %d passed", purse.taken, counters.BytesSent+counters.BytesReceived)
	}
	link.CloseIdle()
	counters = link.Counters()
	passed := counters.BytesSent + counters.BytesReceived
	if purse.taken != counters.CostBytes {
		t.Errorf("settled at %d, want the cost %d", purse.taken, counters.CostBytes)
	}
	// Loopback has segments of 64 KiB, so headers are few.
	if purse.taken <= passed || purse.taken > passed+passed/50+8<<10 {
		t.Errorf("settled at %d for %d bytes of TLS", purse.taken, passed)
	}
	if !purse.ifaces["lo"] || len(purse.ifaces) != 1 {
		t.Errorf("interfaces asked for: %v, want lo", purse.ifaces)
	}
	if got := link.Interface(); got != "lo" {
		t.Errorf("interface %q, want lo", got)
	}
}

func TestNoByteGoesBeyondWhatTheMeterAllows(t *testing.T) {
	srv, c := echo(t)
	for _, budget := range []int64{0, 1000, openCost, 64 << 10, 1 << 20} {
		purse := &purse{left: budget}
		c.Meter = purse
		link, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		const n = 8 << 20
		start := time.Now()
		_, err = exchangeWith(t.Context(), link, srv.URL, bytes.NewReader(make([]byte, n)), n)
		if !errors.Is(err, ErrSpent) || !errors.Is(err, errNoMore) {
			t.Errorf("with %d bytes: got %v after %v, want the meter's error", budget, err, time.Since(start))
		}
		link.CloseIdle()
		counters := link.Counters()
		if purse.most > budget || counters.BytesSent+counters.BytesReceived > budget {
			t.Errorf("with %d bytes: %d taken at most, %d sent and %d received", budget, purse.most, counters.BytesSent, counters.BytesReceived)
		}
		if budget < openCost && counters.Connections > 0 {
			t.Errorf("with %d bytes a connection was opened", budget)
		}
		if counters.Broken > 0 {
			t.Errorf("with %d bytes: an exhausted budget counts as a link that broke", budget)
		}
	}
}

func TestATryToConnectThatFailsCostsLittle(t *testing.T) {
	srv, c := echo(t)
	addr := srv.URL
	srv.Close()
	purse := &purse{left: 1 << 20}
	c.Meter = purse
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchangeWith(t.Context(), link, addr, nil, 0); err == nil {
		t.Fatal("no error")
	}
	if purse.taken != failCost {
		t.Errorf("%d bytes taken, want %d", purse.taken, failCost)
	}
}

func TestAReconnectResumesItsTLSSession(t *testing.T) {
	srv, c := echo(t)
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var sent [3]int64
	for i := range sent {
		before := link.Counters().BytesReceived
		if _, err := exchangeWith(t.Context(), link, srv.URL, bytes.NewReader([]byte("x")), 1); err != nil {
			t.Fatal(err)
		}
		sent[i] = link.Counters().BytesReceived - before
		link.CloseIdle()
	}
	if got := link.Counters(); got.Handshakes != 3 || got.Resumed != 2 {
		t.Errorf("%d handshakes, %d resumed; want 3 and 2", got.Handshakes, got.Resumed)
	}
	if sent[1] >= sent[0] {
		t.Errorf("received %d bytes the first time and %d with a session: nothing is saved", sent[0], sent[1])
	}
}

func TestAHealthyConnectionOutlivesAChangeOfTheNetwork(t *testing.T) {
	srv, c := echo(t)
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer link.CloseIdle()
	for range 3 {
		if _, err := exchangeWith(t.Context(), link, srv.URL, bytes.NewReader([]byte("x")), 1); err != nil {
			t.Fatal(err)
		}
		link.Changed()
	}
	if got := link.Counters(); got.Connections != 1 || got.Changes != 0 {
		t.Errorf("%+v, want one connection for all", got)
	}
}
