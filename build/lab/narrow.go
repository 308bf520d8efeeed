package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A weather is what a link does to those who use it. Times and rates are those
// of the link; faster says how many of its seconds pass in one of ours.
type weather struct {
	rate      float64       // bytes a second, each way
	cut       int64         // bytes of a connection, both ways together, after which it is reset; 0: never
	refuse    float64       // share of connections that are reset as they are made
	up, every time.Duration // the link is there for up of every; 0: always
	faster    float64
}

// A narrow link carries TCP connections to a server, whatever is in them, as its
// weather has it. What is beyond a cut reaches nobody, handshakes count as all
// else does, and there is next to no buffer on the way that would hide it.
type narrow struct {
	Addr string

	weather weather
	to      string
	l       net.Listener
	began   time.Time
	rand    *rand.Rand // of accept alone
	done    sync.WaitGroup
	ways    [2]way // up, down

	mu          sync.Mutex
	conns       map[net.Conn]bool
	closed      bool
	connections int
	cuts        int
}

// A way is one direction: connections share its rate.
type way struct {
	mu      sync.Mutex
	free    time.Time // when the next byte can go
	carried int64
}

func newNarrow(to string, w weather, seed uint64) (*narrow, error) {
	// What a receive buffer holds has not been carried yet, but it has been
	// acknowledged: so it is kept small, on the listener, before it is too late.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, w.chunk())
		})
		return errors.Join(err, failed)
	}}
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &narrow{Addr: l.Addr().String(), weather: w, to: to, l: l, began: time.Now(), rand: rand.New(rand.NewPCG(seed, 1)), conns: map[net.Conn]bool{}}
	n.done.Go(n.accept)
	if w.every > 0 {
		n.done.Go(n.tides)
	}
	return n, nil
}

// chunk is how many bytes are carried at a time, at most: those of 20 ms, but no
// more than a sixteenth of what a connection carries.
func (w weather) chunk() int {
	n := int(w.rate * w.faster / 50)
	if w.cut > 0 {
		n = min(n, int(w.cut/16))
	}
	return min(max(n, 4<<10), 64<<10)
}

// late is how far the link makes up for a machine that did not let it run in time.
const late = 100 * time.Millisecond

// Close ends the link and waits for all that runs on it.
func (n *narrow) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	err := n.l.Close()
	n.reset()
	n.done.Wait()
	return err
}

// carried is how many bytes went each way.
func (n *narrow) carried() (up, down int64) {
	for i, p := range []*int64{&up, &down} {
		n.ways[i].mu.Lock()
		*p = n.ways[i].carried
		n.ways[i].mu.Unlock()
	}
	return up, down
}

// could is how many bytes the link could have carried one way in so much of our time.
func (n *narrow) could(d time.Duration) float64 {
	w := n.weather
	seconds := d.Seconds() * w.faster
	if w.every > 0 {
		whole := float64(int(seconds / w.every.Seconds()))
		seconds = whole*w.up.Seconds() + min(seconds-whole*w.every.Seconds(), w.up.Seconds())
	}
	return seconds * w.rate
}

// there says whether the link is up, and when that changes.
func (n *narrow) there() (bool, time.Time) {
	w := n.weather
	if w.every == 0 {
		return true, time.Time{}
	}
	every, up := ours(w.every, w), ours(w.up, w)
	turn := n.began.Add(time.Since(n.began) / every * every)
	if time.Since(turn) < up {
		return true, turn.Add(up)
	}
	return false, turn.Add(every)
}

// ours is how long a time of the link's takes here.
func ours(d time.Duration, w weather) time.Duration { return time.Duration(float64(d) / w.faster) }

// tides resets every connection when the link goes down.
func (n *narrow) tides() {
	for !n.ended() {
		there, at := n.there()
		if !there {
			n.reset()
		}
		time.Sleep(min(time.Until(at), 20*time.Millisecond))
	}
}

func (n *narrow) ended() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

func (n *narrow) reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		rst(c)
	}
}

func rst(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0) // fails only on a closed one
	_ = c.Close()
}

func (n *narrow) accept() {
	for {
		c, err := n.l.Accept()
		if err != nil {
			return
		}
		if there, _ := n.there(); !there || n.rand.Float64() < n.weather.refuse {
			rst(c)
			continue
		}
		n.done.Go(func() { n.serve(c) })
	}
}

func (n *narrow) serve(c net.Conn) {
	defer rst(c)
	server, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer rst(server)
	n.mu.Lock()
	n.conns[c], n.conns[server] = true, true
	n.connections++
	if n.closed {
		rst(c)
	}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.conns, c)
		delete(n.conns, server)
		n.mu.Unlock()
	}()
	left := &allowance{left: n.weather.cut, none: n.weather.cut == 0}
	var both sync.WaitGroup
	both.Go(func() { n.pump(0, server, c, left) })
	both.Go(func() { n.pump(1, c, server, left) })
	both.Wait()
	if left.spent() {
		n.mu.Lock()
		n.cuts++
		n.mu.Unlock()
	}
}

// An allowance is what is left of a connection before it is cut.
type allowance struct {
	mu   sync.Mutex
	left int64
	none bool
}

func (a *allowance) take(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.none {
		return n
	}
	n = int(min(int64(n), a.left))
	a.left -= int64(n)
	return n
}

func (a *allowance) spent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.none && a.left == 0
}

// pump carries one way until either end closes, or the allowance is spent.
func (n *narrow) pump(i int, to, from net.Conn, left *allowance) {
	buf := make([]byte, n.weather.chunk())
	for {
		got, err := from.Read(buf)
		may := left.take(got)
		n.ways[i].carry(may, n.weather)
		if _, failed := to.Write(buf[:may]); failed != nil || left.spent() {
			rst(to)
			rst(from)
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			rst(to)
			return
		}
	}
}

// carry takes as long as n bytes need.
func (w *way) carry(n int, weather weather) {
	w.mu.Lock()
	now := time.Now()
	if least := now.Add(-late); w.free.Before(least) {
		w.free = least
	}
	w.free = w.free.Add(time.Duration(float64(n) / (weather.rate * weather.faster) * float64(time.Second)))
	w.carried += int64(n)
	wait := time.Until(w.free)
	w.mu.Unlock()
	time.Sleep(wait)
}
