package link

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// taken notes when bytes came.
type taken struct {
	mu sync.Mutex
	at []time.Duration // one each byte
}

func (s *taken) take(c net.Conn, start time.Time) {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		s.mu.Lock()
		for range n {
			s.at = append(s.at, time.Since(start))
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func TestARateHoldsOverEverySecondAndAllConnections(t *testing.T) {
	for _, rate := range []int64{1 << 10, 100 << 10, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			var got taken
			start := time.Now()
			shared := NewRate(rate)
			var all sync.WaitGroup
			for range 2 { // two destinations, of which each has two connections
				link := pipe(t, Config{Rates: []*Rate{NewRate(rate), nil, shared}}, func(c net.Conn) { got.take(c, start) })
				for range 2 {
					all.Go(func() {
						c, err := link.http.DialContext(t.Context(), "tcp", "server")
						if err != nil {
							t.Error(err)
							return
						}
						if _, err := io.Copy(c, strings.NewReader(strings.Repeat("x", int(5*rate)))); err != nil {
							t.Error(err)
						}
						if err := c.Close(); err != nil {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
			synctest.Wait()
			if n := int64(len(got.at)); n != 20*rate {
				t.Fatalf("rate %d: %d bytes came, want %d", rate, n, 20*rate)
			}
			// Twenty seconds' worth, of which the credit and the last piece went at once.
			if took := got.at[len(got.at)-1]; took > 20*time.Second || took < 18*time.Second {
				t.Errorf("rate %d: took %v for 20 s worth of bytes", rate, took)
			}
			for i, j := 0, 0; i < len(got.at); i++ {
				for got.at[i]-got.at[j] >= time.Second {
					j++
				}
				if within := int64(i - j + 1); within > rate+rate/4+rate/8+2<<10 {
					t.Fatalf("rate %d: %d bytes within a second", rate, within)
				}
			}
		})
	}
}

func TestAConnectionThatARateHoldsBackIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := NewRate(1 << 10)
		link := pipe(t, Config{Stall: time.Second, Rates: []*Rate{rate}}, func(c net.Conn) {
			if swallow(t, c) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // the client sees what arrived
			}
		})
		for range 60 { // another destination is a minute ahead
			rate.wait(1<<10, nil)
		}
		if got, err := exchange(t.Context(), link, strings.NewReader(strings.Repeat("x", 10<<10)), 10<<10); got != "ok" {
			t.Errorf("got %q, %v", got, err)
		}
		link.CloseIdle()
	})
}

func TestClosingWakesAWriterThatARateHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }() // until it is closed
		rate := NewRate(1 << 10)
		c := &conn{Conn: here, link: &Transport{rates: []*Rate{rate}, piece: rate.piece()}, closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { _, err := c.Write(make([]byte, 1<<20)); done <- err }()
		synctest.Wait()
		if err := errors.Join(c.Close(), there.Close()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
}
