package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// fake is an engine that answers from fields.
type fake struct {
	status  engine.Status
	flushed chan string
	err     error
}

func (f *fake) Status() engine.Status { return f.status }

func (f *fake) Flush(_ context.Context, stream string) error {
	f.flushed <- stream
	return f.err
}

func (f *fake) Ownership() engine.Ownership {
	return engine.Ownership{Epoch: "8000000000000001", Uploads: []engine.OwnedKey{{Destination: "d", Key: "k", UploadID: "u"}}}
}

func newFake() *fake {
	return &fake{status: engine.Status{Device: "gw", Streams: []engine.StreamStatus{{Name: "gps", Kept: 7}}}, flushed: make(chan string, 1)}
}

// serve runs a server for e until the test ends.
func serve(t *testing.T, dir string, e Engine, metrics string) *Server {
	t.Helper()
	s, err := New(Config{StateDir: dir, Metrics: metrics, Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAClientAsksTheDaemonOfItsStateFolder(t *testing.T) {
	dir, e := t.TempDir(), newFake()
	serve(t, dir, e, "")
	c := NewClient(dir)
	s, err := c.Status(t.Context())
	if err != nil || s.Device != "gw" || s.Streams[0].Kept != 7 {
		t.Errorf("status: got %+v, %v", s, err)
	}
	own, err := c.Ownership(t.Context())
	if want := e.Ownership(); err != nil || own.Epoch != want.Epoch || !slices.Equal(own.Uploads, want.Uploads) {
		t.Errorf("ownership: got %+v, %v, want %+v", own, err, want)
	}
	if err := c.Flush(t.Context(), "gps"); err != nil {
		t.Error(err)
	}
	if got := <-e.flushed; got != "gps" {
		t.Errorf("flush: got stream %q", got)
	}
	e.err = errors.New(`no stream "x"`)
	if err := c.Flush(t.Context(), "x"); err == nil || err.Error() != `no stream "x"` {
		t.Errorf("flush: got %v", err)
	}
}

func TestNobodyElseMayConnectWhateverTheUmask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := t.TempDir()
	serve(t, dir, newFake(), "")
	info, err := os.Lstat(filepath.Join(dir, Name))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), os.ModeSocket|0o600; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStaleSocketIsReplacedALiveOneIsNot(t *testing.T) {
	dir := t.TempDir()
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, Name)})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, newFake(), "")
	if _, err := NewClient(dir).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{StateDir: dir, Engine: newFake()}); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("live: got %v", err)
	}
}

func TestWhatIsNoSocketIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Name), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{StateDir: dir, Engine: newFake()}); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, Name)); string(got) != "mine" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTheRuntimeFolderIsFoundThroughTheStateFolder(t *testing.T) {
	state, runtime := t.TempDir(), t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", runtime+":/elsewhere")
	s := serve(t, state, newFake(), "")
	t.Setenv("RUNTIME_DIRECTORY", "")
	if _, err := NewClient(state).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(state).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: got %v, want ErrNotRunning", err)
	}
}

func TestAPathThatTheKernelCannotTakeIsSaid(t *testing.T) {
	dir := "/" + strings.Repeat("long/", 30)
	if _, err := SocketPath(dir); err == nil || !strings.Contains(err.Error(), "the kernel takes 107; shorten state_dir") {
		t.Errorf("got %v", err)
	}
}

func TestNoDaemonIsSaid(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewClient(dir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

func TestTheNetworkSeesMetricsOnly(t *testing.T) {
	s := serve(t, t.TempDir(), newFake(), "127.0.0.1:0")
	base := "http://" + s.listeners[1].Addr().String()
	for path, want := range map[string]int{"/metrics": 200, "/status": 404, "/flush": 404} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestOnlySoManyConnectionsAreOpenAtOnce(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBounded(inner, 1)
	for range 2 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		second <- err
	}()
	if len(l.slots) != cap(l.slots) {
		t.Errorf("slots taken: got %d, want %d", len(l.slots), cap(l.slots))
	}
	select {
	case <-second:
		t.Error("a second connection was accepted while the first was open")
	default:
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v, want net.ErrClosed", err)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	s := engine.Status{
		Version: "1", Device: "a \"b\"\\\n", Started: time.Unix(1_700_000_000, 5e8),
		Spool:        engine.SpoolStatus{Full: true, MaxBytes: 1 << 40},
		Streams:      []engine.StreamStatus{{Name: "gps", Kept: 12, SourceState: "reading"}, {Name: "log"}},
		Destinations: []engine.DestinationStatus{{Name: "s3", Link: "down", Wire: engine.LinkCounters{Stalls: 2}}},
	}
	var b strings.Builder
	if err := WriteMetrics(&b, s); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		`dray_info{version="1",device="a \"b\"\\\n"} 1`, "dray_start_time_seconds 1700000000.5", "dray_spool_full 1", "dray_spool_max_bytes 1099511627776",
		`dray_stream_kept_bytes_total{stream="gps"} 12`, `dray_stream_kept_bytes_total{stream="log"} 0`, `dray_stream_reading{stream="gps"} 1`,
		`dray_destination_link{destination="s3",state="down"} 1`, `dray_destination_link{destination="s3",state="up"} 0`,
		`dray_destination_stalls_total{destination="s3"} 2`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	seen := map[string]bool{}
	for _, f := range families {
		if seen[f.name] || f.help == "" || strings.HasSuffix(f.name, "_total") != (f.kind == counter) {
			t.Errorf("%s: twice, without help or named against its kind", f.name)
		}
		seen[f.name] = true
		if n := strings.Count(got, "# TYPE "+f.name+" "+f.kind+"\n"); n != 1 {
			t.Errorf("%s: %d TYPE lines, want 1", f.name, n)
		}
	}
}
