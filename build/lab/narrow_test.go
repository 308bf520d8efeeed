package main

import (
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
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
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// through sends n bytes over the link and returns how many came back.
func through(t *testing.T, l *narrow, n int) int64 {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr)
	if err != nil {
		return 0 // reset as soon as it was made
	}
	defer c.Close()
	go func() {
		_, _ = c.Write(make([]byte, n))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, _ := io.Copy(io.Discard, c)
	return got
}

func TestANarrowLinkCarriesWhatItsWeatherLetsThrough(t *testing.T) {
	for _, tt := range []struct {
		name  string
		w     weather
		least int64 // of 100 kB, that come back
		most  int64
	}{
		{"good", weather{rate: 1e8, faster: 1}, 100_000, 100_000},
		{"cut", weather{rate: 1e8, cut: 64_000, faster: 1}, 0, 32_000},
		{"refused", weather{rate: 1e8, refuse: 1, faster: 1}, 0, 0},
		{"down", weather{rate: 1e8, up: time.Nanosecond, every: time.Hour, faster: 1}, 0, 0},
		{"slow, made faster", weather{rate: 1e4, faster: 1e4}, 100_000, 100_000},
	} {
		l, err := newNarrow(echo(t), tt.w, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := through(t, l, 100_000)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		up, down := l.carried()
		if got < tt.least || got > tt.most || tt.w.cut > 0 && up+down > tt.w.cut {
			t.Errorf("%s: %d bytes came back, %d and %d were carried; want %d to %d", tt.name, got, up, down, tt.least, tt.most)
		}
	}
}

func TestWhatALinkCouldCarryCountsTheTimeThatItIsThere(t *testing.T) {
	l := narrow{weather: weather{rate: 10, up: time.Minute, every: time.Hour, faster: 60}}
	for d, want := range map[time.Duration]float64{time.Second: 600, 30 * time.Second: 600, time.Minute: 600, 61 * time.Second: 1200} {
		if got := l.could(d); got != want {
			t.Errorf("%v: %v bytes, want %v", d, got, want)
		}
	}
}
