package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A feed is a sensor: it writes numbered lines to a pseudo-terminal at a steady
// rate. Its clock is that of its own turns: for time in which the machine did
// not let it run it makes no lines, so that being late never ends in a burst
// that no reader could take.
//
// It holds the reader's side open too, so that the line stays up when a reader
// is killed; the kernel then buffers some 70 KiB. What does not fit there is
// dropped by whole lines, as a UART drops what nobody fetches, and noted; with
// waits it is held until there is room, and only the time without is noted.
type feed struct {
	Port string // for the reader

	master, slave *os.File
	fd            int // of master; (*os.File).Fd would make it wait again
	rate          int // bytes a second
	limit         int // lines; 0: until the context ends
	waits         bool

	mu      sync.Mutex
	full    time.Time     // since when the port is seen to be full; zero: it has room
	longest time.Duration // for which it was
	lines   int           // made so far, dropped ones included
	batches []batch       // when they were made, in order
	dropped []run
}

// A batch of lines was made at one moment: those before end, after the batch before.
type batch struct {
	end int
	at  time.Time
}

// maxStep is the longest time between two turns for which lines are made: at
// 1 MiB/s a quarter of what the kernel buffers.
const maxStep = 16 * time.Millisecond

func newFeed(rate, limit int, waits bool) (*feed, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("make pseudo-terminal: %w", err)
	}
	f := &feed{Port: slave.Name(), master: master, slave: slave, rate: rate, limit: limit, waits: waits}
	f.fd = int(master.Fd())
	if err := errors.Join(makeRaw(slave), unix.SetNonblock(f.fd, true)); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", f.Port, err), f.Close())
	}
	return f, nil
}

// makeRaw stops the terminal from echoing and editing before a reader has
// opened it: an echo that nobody fetches would block the line.
func makeRaw(f *os.File) error {
	fd := int(f.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Close hangs up.
func (f *feed) Close() error { return errors.Join(f.master.Close(), f.slave.Close()) }

// release takes away the exclusive use that a killed reader could not give back.
func (f *feed) release() error { return unix.IoctlSetInt(int(f.slave.Fd()), unix.TIOCNXCL, 0) }

// run writes until ctx ends or all lines are written; it ends with a whole line.
func (f *feed) run(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	var clock time.Duration // the sensor's
	var half []byte         // the end of a line that the kernel took the beginning of
	for {
		select {
		case <-ctx.Done():
			return f.put(half)
		case <-tick.C:
		}
		now := time.Now()
		clock += min(now.Sub(last), maxStep)
		last = now
		due := int(clock.Seconds() * float64(f.rate) / lineSize)
		if f.limit > 0 {
			due = min(due, f.limit)
		}
		var err error
		if half, err = f.until(due, half); err != nil {
			return err
		}
		f.mu.Lock()
		f.batches = append(f.batches, batch{f.lines, now})
		f.mu.Unlock()
		if f.limit > 0 && f.made() == f.limit && len(half) == 0 {
			return nil
		}
	}
}

// until makes the lines before due, having written half. It returns what the
// kernel has not taken of a line that it took a part of.
func (f *feed) until(due int, half []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if len(half) > 0 {
			n, err := f.write(half)
			if err != nil {
				return half, err
			}
			f.room(n, len(half))
			if half = half[n:]; len(half) > 0 {
				return half, nil // the next ones wait: a UART has its FIFO too
			}
		}
		if f.lines >= due {
			return nil, nil
		}
		line := makeLine(f.lines)
		n, err := f.write(line)
		if err != nil {
			return nil, err
		}
		f.room(n, len(line))
		if n == 0 && !f.waits {
			f.drop(run{f.lines, due})
			f.lines = due
			return nil, nil
		}
		if n == 0 {
			return nil, nil
		}
		f.lines++
		half = line[n:]
	}
}

// room notes that the port took n of want bytes. Only the feed fills the port:
// full twice with nothing written in between, it was full all the time, and how
// late the feed came to look does not count.
func (f *feed) room(n, want int) {
	now := time.Now()
	if n > 0 || f.full.IsZero() {
		f.full = now
	}
	if n == want {
		f.full = time.Time{}
		return
	}
	f.longest = max(f.longest, now.Sub(f.full))
}

// longestFull returns the longest time for which the port was full.
func (f *feed) longestFull() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.longest
}

func (f *feed) drop(r run) {
	if n := len(f.dropped); n > 0 && f.dropped[n-1].end == r.first {
		f.dropped[n-1].end = r.end
		return
	}
	f.dropped = append(f.dropped, r)
}

// put writes b however long the kernel takes for it, up to ten seconds.
func (f *feed) put(b []byte) error {
	for end := time.Now().Add(10 * time.Second); len(b) > 0; {
		n, err := f.write(b)
		if err != nil {
			return err
		}
		if b = b[n:]; n == 0 {
			if time.Now().After(end) {
				return fmt.Errorf("write %s: nobody reads", f.Port)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// write writes what the kernel takes at once.
func (f *feed) write(b []byte) (int, error) {
	n, err := unix.Write(f.fd, b)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return max(n, 0), nil
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", f.Port, err)
	}
	return n, nil
}

// made returns how many lines there are so far.
func (f *feed) made() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines
}

// when returns the moment before which line n was made.
func (f *feed) when(n int) time.Time {
	i := sort.Search(len(f.batches), func(i int) bool { return f.batches[i].end > n })
	if i == len(f.batches) {
		return time.Now()
	}
	return f.batches[i].at
}

// wasDropped says that the port had no room for line n.
func (f *feed) wasDropped(n int) bool {
	return slices.ContainsFunc(f.dropped, func(r run) bool { return r.first <= n && n < r.end })
}
