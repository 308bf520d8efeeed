package serial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/hal"
)

// line is a device (the master of a pseudo-terminal) behind a port path that
// stays the same when the device is plugged in anew, as in /dev/serial/by-id.
type line struct {
	*testing.T
	path   string
	device *os.File
}

func newLine(t *testing.T) *line {
	t.Helper()
	l := &line{T: t, path: filepath.Join(t.TempDir(), "by-id")}
	l.plug()
	t.Cleanup(func() { _ = l.device.Close() }) // closed before, if unplugged
	return l
}

func (l *line) plug() {
	l.Helper()
	device, port, err := pty.Open()
	if err != nil {
		l.Fatal(err)
	}
	l.device = device
	if err := os.Symlink(port.Name(), l.path); err != nil {
		l.Fatal(err)
	}
	if err := port.Close(); err != nil {
		l.Fatal(err)
	}
}

func (l *line) unplug() {
	l.Helper()
	if err := errors.Join(os.Remove(l.path), l.device.Close()); err != nil {
		l.Fatal(err)
	}
}

// send writes what the device sends; from another goroutine if it is much.
func (l *line) send(b []byte) {
	if _, err := l.device.Write(b); err != nil {
		l.Errorf("device: %v", err)
	}
}

func (l *line) source(change func(*Config)) *Source {
	l.Helper()
	cfg := Config{Port: l.path, Baud: 115200}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		l.Fatal(err)
	}
	return s
}

func (l *line) open(s *Source) hal.Reader {
	l.Helper()
	r, err := s.Open(l.Context(), hal.Position{})
	if err != nil {
		l.Fatal(err)
	}
	return r
}

func (l *line) close(r hal.Reader) {
	l.Helper()
	if err := r.Close(); err != nil {
		l.Error(err)
	}
}

// read reads n bytes and returns them with the first Mark.
func (l *line) read(r hal.Reader, n int) ([]byte, hal.Mark) {
	l.Helper()
	var first hal.Mark
	got := make([]byte, 0, n)
	for len(got) < n {
		m, mark, err := r.Read(got[len(got):n])
		if err != nil {
			l.Fatalf("after %d bytes: %v", len(got), err)
		}
		if len(got) == 0 {
			first = mark
		} else if mark != (hal.Mark{}) {
			l.Errorf("after %d bytes: mark %+v, want none", len(got), mark)
		}
		got = got[:len(got)+m]
	}
	return got, first
}

func TestEveryByteValueComesAsItWasSent(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, flow := range []string{"none", "rtscts"} {
		l := newLine(t)
		r := l.open(l.source(func(c *Config) { c.Flow = flow }))
		l.send(all)
		got, mark := l.read(r, len(all))
		if !bytes.Equal(got, all) {
			t.Errorf("flow %s: read %x, want %x", flow, got, all)
		}
		if mark != (hal.Mark{}) {
			t.Errorf("flow %s: mark %+v, want none", flow, mark)
		}
		l.close(r)
	}
}

func TestXonXoffTakesItsTwoBytesAndNoOther(t *testing.T) {
	l := newLine(t)
	r := l.open(l.source(func(c *Config) { c.Flow = "xonxoff" }))
	defer l.close(r)
	l.send([]byte("a\x13b\x11c\x03\r\n"))
	if got, _ := l.read(r, 6); string(got) != "abc\x03\r\n" {
		t.Errorf("read %q, want %q", got, "abc\x03\r\n")
	}
}

func TestMuchDataComesWhole(t *testing.T) {
	l := newLine(t)
	r := l.open(l.source(func(c *Config) { c.Baud = 921600 }))
	defer l.close(r)
	want := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{1}).Read(want)
	go l.send(want)
	got, _ := l.read(r, len(want))
	if !bytes.Equal(got, want) {
		t.Error("what was read is not what was sent")
	}
}

func TestThePortRunsAtTheRateAskedFor(t *testing.T) {
	for _, baud := range []int{300, 9600, 115200, 921600, 4_000_000, 12345, 250_000, 31250, 7_372_800} {
		l := newLine(t)
		r := l.open(l.source(func(c *Config) { c.Baud = baud }))
		tio, err := getTermios(r.(*reader).port.fd)
		if err != nil {
			t.Fatal(err)
		}
		if int(tio.Ospeed) != baud || int(tio.Ispeed) != baud {
			t.Errorf("port runs at %d out, %d in; want %d", tio.Ospeed, tio.Ispeed, baud)
		}
		l.send([]byte("ok"))
		if got, _ := l.read(r, 2); string(got) != "ok" {
			t.Errorf("at %d baud: read %q, want ok", baud, got)
		}
		l.close(r)
	}
}

// A pseudo-terminal carries 8 bits without parity, whatever is asked of it,
// and reports success: the very thing to guard against.
func TestAFormatThatThePortCorrectsIsAnError(t *testing.T) {
	l := newLine(t)
	for want, change := range map[string]func(*Config){
		"did not accept data bits 7": func(c *Config) { c.DataBits = 7 },
		"did not accept parity even": func(c *Config) { c.Parity = "even" },
	} {
		_, err := l.source(change).Open(t.Context(), hal.Position{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want it to say %q", err, want)
		}
	}
	l.close(l.open(l.source(nil))) // and the failures have let go of the port
}

func TestUnplugIsAnErrorAndReplugAnUnknownLoss(t *testing.T) {
	l := newLine(t)
	s := l.source(nil)
	r := l.open(s)
	l.send([]byte("one"))
	l.read(r, 3)
	l.unplug()
	if n, _, err := r.Read(make([]byte, 9)); n != 0 || err == nil || err == io.EOF || !strings.Contains(err.Error(), s.Name()) {
		t.Errorf("Read after unplugging = %d, %v; want an error that names the port", n, err)
	}
	l.close(r)
	if _, err := s.Open(t.Context(), hal.Position{}); err == nil || !strings.Contains(err.Error(), "waiting for the device to be plugged in") {
		t.Errorf("Open while unplugged = %v, want it to say what is waited for", err)
	}

	l.plug()
	l.close(l.open(s)) // a reader that returned nothing does not use the loss up
	r = l.open(s)
	defer l.close(r)
	l.send([]byte("two"))
	got, mark := l.read(r, 3)
	if string(got) != "two" || mark.Lost != hal.LostUnknown {
		t.Errorf("after replugging: %q with Lost %d, want two with LostUnknown", got, mark.Lost)
	}
}

func TestTheFirstOpeningHasLostNothing(t *testing.T) {
	l := newLine(t)
	s := l.source(nil)
	l.close(l.open(s))
	r := l.open(s)
	defer l.close(r)
	l.send([]byte("a"))
	if _, mark := l.read(r, 1); mark.Lost != 0 {
		t.Errorf("Lost = %d, want 0", mark.Lost)
	}
}

func TestASecondReaderIsRefused(t *testing.T) {
	l := newLine(t)
	r := l.open(l.source(nil))
	other := l.source(nil)
	if _, err := other.Open(t.Context(), hal.Position{}); err == nil || !strings.Contains(err.Error(), "another program reads this port") {
		t.Errorf("second Open = %v, want it to say that the port is in use", err)
	}
	l.send([]byte("a"))
	if got, _ := l.read(r, 1); string(got) != "a" {
		t.Errorf("first reader got %q, want a", got)
	}
	l.close(r)
	l.close(l.open(other))
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	l := newLine(t)
	r := l.open(l.source(nil))
	got := make(chan error)
	go func() {
		_, _, err := r.Read(make([]byte, 1))
		got <- err
	}()
	l.close(r)
	if err := <-got; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read = %v, want os.ErrClosed", err)
	}
	l.close(r) // twice is safe
	if _, _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close = %v, want os.ErrClosed", err)
	}
}

func TestAReadOfNothingIsNoHangUp(t *testing.T) {
	l := newLine(t)
	r := l.open(l.source(nil))
	defer l.close(r)
	if n, m, err := r.Read(nil); n != 0 || m != (hal.Mark{}) || err != nil {
		t.Errorf("Read(nil) = %d, %+v, %v; want nothing", n, m, err)
	}
}

func TestWhatIsNoSerialPortIsNamed(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "log"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                       "source of type file",
		fifo:                       "source of type fifo",
		dir:                        "not a character device",
		"/dev/null":                "no serial port",
		filepath.Join(dir, "none"): "waiting for the device to be plugged in",
	} {
		s, err := New(Config{Port: path, Baud: 9600})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(t.Context(), hal.Position{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open of %s = %v, want it to say %q", path, err, want)
		}
	}
}

func TestACancelledOpenOpensNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newLine(t).source(nil).Open(ctx, hal.Position{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
}

// descriptors returns the open descriptors of this process and where they lead.
func descriptors(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]string)
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil { // the one that Glob itself had open is gone
			open[filepath.Base(name)] = to
		}
	}
	return open
}

func TestNoDescriptorIsLeakedOrInherited(t *testing.T) {
	l := newLine(t)
	s, bad := l.source(nil), l.source(func(c *Config) { c.DataBits = 7 })
	inherited := len(inheritable())
	before := descriptors(t)
	for range 20 {
		r := l.open(s)
		if got := len(inheritable()); got != inherited {
			t.Fatalf("with the port open a child would inherit %d descriptors, want %d", got, inherited)
		}
		l.close(r)
		if _, err := bad.Open(t.Context(), hal.Position{}); err == nil {
			t.Fatal("a pseudo-terminal took 7 data bits")
		}
	}
	if after := descriptors(t); len(after) != len(before) {
		t.Errorf("open before: %v\nafter: %v", before, after)
	}
}

func TestDescriptorsBeyondSelectAreAnErrorAndNoPanic(t *testing.T) {
	l := newLine(t)
	s := l.source(nil)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	// Fill the numbers below the limit, and leave room for every count of
	// descriptors too few to open the port with.
	var dups []int
	defer func() {
		for _, fd := range dups {
			_ = unix.Close(fd) // only read from nowhere
		}
	}()
	for {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(fmt.Errorf("this test needs %d open files: %w", maxSelect+8, err))
		}
		dups = append(dups, fd)
		if fd >= maxSelect {
			break
		}
	}
	for free := 0; ; free++ {
		r, err := s.Open(t.Context(), hal.Position{})
		if err == nil {
			if free < 4 {
				t.Errorf("opened with %d numbers free below the limit, want an error", free)
			}
			l.send([]byte("a"))
			l.read(r, 1)
			l.close(r)
			return
		}
		if free > 8 {
			t.Fatalf("with %d numbers free: %v", free, err)
		}
		if err := unix.Close(dups[0]); err != nil {
			t.Fatal(err)
		}
		dups = dups[1:]
	}
}

func TestWhatWaitsInAPseudoTerminalIsNotThrownAway(t *testing.T) {
	l := newLine(t)
	l.send([]byte("early\n")) // before anyone has set the line up
	r := l.open(l.source(nil))
	if got, mark := l.read(r, 6); string(got) != "early\n" || mark.Lost != 0 {
		t.Errorf("read %q, Lost %d; want early\\n, 0", got, mark.Lost)
	}
	l.send([]byte("kept"))
	l.close(r)

	r = l.open(l.source(nil))
	defer l.close(r)
	if got, _ := l.read(r, 4); string(got) != "kept" {
		t.Errorf("read %q, want kept", got)
	}
}
