package file

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/hal"
)

func newSource(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, s *Source, resume hal.Position) hal.Reader {
	t.Helper()
	r, err := s.Open(t.Context(), resume)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func closeReader(t *testing.T, r io.Closer) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// readN reads n bytes and returns them with the last Mark, in which Lost is
// what any of them had.
func readN(t *testing.T, r hal.Reader, n int) (string, hal.Mark) {
	t.Helper()
	b := make([]byte, n)
	var got int
	var m hal.Mark
	for got < n {
		k, mark, err := r.Read(b[got:])
		if err != nil {
			t.Fatalf("after %q: %v", b[:got], err)
		}
		if mark.Lost == 0 {
			mark.Lost = m.Lost
		}
		got, m = got+k, mark
	}
	return string(b), m
}

func TestABadConfigSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "use stdin, fifo or file"},
		{Config{Type: "pipe"}, "use stdin, fifo or file"},
		{Config{Type: "stdin", Path: "/a"}, "stdin has no path"},
		{Config{Type: "file"}, "needs a path"},
		{Config{Type: "fifo"}, "needs a path"},
		{Config{Type: "file", Path: "log"}, "not absolute"},
		{Config{Type: "fifo", Path: "/a", Follow: true}, "follow is only for type file"},
		{Config{Type: "stdin", Follow: true}, "follow is only for type file"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want it to say %q", tt.cfg, err, tt.want)
		}
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	dir := t.TempDir()
	file, fifo, none := filepath.Join(dir, "log"), filepath.Join(dir, "fifo"), filepath.Join(dir, "none")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Type: "fifo", Path: none}, "waiting for it to be made"},
		{Config{Type: "fifo", Path: file}, "not a FIFO"},
		{Config{Type: "file", Path: none}, "waiting for it to appear"},
		{Config{Type: "file", Path: none, Follow: true}, "waiting for it to appear"},
		{Config{Type: "file", Path: fifo}, "use type fifo"},
		{Config{Type: "file", Path: dir}, "folder"},
		{Config{Type: "file", Path: "/dev/null"}, "not a regular file"},
	} {
		_, err := newSource(t, tt.cfg).Open(t.Context(), hal.Position{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.cfg.Path) {
			t.Errorf("Open(%+v) = %v, want it to say %q", tt.cfg, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSource(t, Config{Type: "file", Path: file}).Open(ctx, hal.Position{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context = %v, want context.Canceled", err)
	}
}

func TestStdinEndsWhereItsWriterDoes(t *testing.T) {
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := newSource(t, Config{Type: "stdin"})
	s.stdin = int(in.Fd())
	r := open(t, s, hal.Position{})
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if got, m := readN(t, r, 3); got != "abc" || m != (hal.Mark{}) {
		t.Errorf("read %q, %+v; want abc and no mark", got, m)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v; want io.EOF", n, err)
	}
	closeReader(t, r)
	if _, err := in.Stat(); err != nil {
		t.Errorf("Close has closed standard input itself: %v", err)
	}
}

func TestStdinThatIsClosedIsAnError(t *testing.T) {
	s := newSource(t, Config{Type: "stdin"})
	s.stdin = -1
	if _, err := s.Open(t.Context(), hal.Position{}); err == nil || !strings.Contains(err.Error(), "is standard input closed?") {
		t.Errorf("Open = %v, want it to ask whether standard input is closed", err)
	}
}

// fifoFor returns a FIFO's source and a function that opens a writer.
func fifoFor(t *testing.T) (*Source, func() *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return newSource(t, Config{Type: "fifo", Path: path}), func() *os.File {
		t.Helper()
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
}

func TestAFIFOOutlivesItsWriters(t *testing.T) {
	s, writer := fifoFor(t)
	r := open(t, s, hal.Position{})
	defer closeReader(t, r)
	for _, word := range []string{"one", "", "two", "six"} {
		w := writer()
		if _, err := w.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		closeReader(t, w)
		if got, _ := readN(t, r, len(word)); got != word {
			t.Errorf("read %q, want %q", got, word)
		}
	}
	// A writer that comes while the reader waits, after one has left.
	got := make(chan string)
	go func() {
		s, _ := readN(t, r, 4)
		got <- s
	}()
	w := writer()
	if _, err := w.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "last" {
		t.Errorf("read %q, want last", s)
	}
	closeReader(t, w)
}

func TestAFIFOThatWasRemovedIsAnErrorNotTheEnd(t *testing.T) {
	s, writer := fifoFor(t)
	r := open(t, s, hal.Position{})
	defer closeReader(t, r)
	closeReader(t, writer())
	if err := os.Remove(s.cfg.Path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF || !strings.Contains(err.Error(), "waiting for it to be made") {
		t.Errorf("Read = %v, want an error that says what is waited for", err)
	}
}

func TestCloseEndsAReadThatWaits(t *testing.T) {
	fifo, _ := fifoFor(t)
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer w.Close()
	stdin := newSource(t, Config{Type: "stdin"})
	stdin.stdin = int(in.Fd())
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Source{fifo, stdin, newSource(t, Config{Type: "file", Path: log, Follow: true})} {
		r := open(t, s, hal.Position{})
		got := make(chan error)
		go func() {
			_, _, err := r.Read(make([]byte, 1))
			got <- err
		}()
		closeReader(t, r)
		if err := <-got; !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: Read = %v, want os.ErrClosed", s.Name(), err)
		}
		closeReader(t, r) // twice is safe
		if _, _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: Read after Close = %v, want os.ErrClosed", s.Name(), err)
		}
	}
}

func TestNoDescriptorIsLeaked(t *testing.T) {
	count := func() int {
		names, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	s, writer := fifoFor(t)
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newSource(t, Config{Type: "file", Path: log, Follow: true})
	before := count()
	for range 10 {
		r := open(t, s, hal.Position{})
		for range 3 {
			w := writer()
			if _, err := w.Write([]byte("a")); err != nil {
				t.Fatal(err)
			}
			closeReader(t, w)
			readN(t, r, 1)
		}
		closeReader(t, r)
		closeReader(t, open(t, f, hal.Position{}))
		closeReader(t, open(t, f, hal.Position{ID: 77, Offset: 1}))
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors open, want %d", after, before)
	}
}
