package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
)

// A limited is a destination of which only the Limits are asked.
type limited struct {
	transport.Destination
	limits transport.Limits
}

func (l limited) Limits() transport.Limits { return l.limits }

var (
	s3Limits = transport.Limits{
		MinPart: 5 << 20, MaxPart: 5 << 30, MaxParts: 10_000, MaxObject: 5 << 40, MaxPut: 5 << 30, PartSize: 8 << 20,
	}
	glacierLimits = transport.Limits{MinPart: 1 << 20, MaxPart: 4 << 30, PowerOf2: true, MaxParts: 10_000, PartSize: 8 << 20}
)

// A port is a source that waits or does not, and is never opened.
type port struct{ waits bool }

func (port) Name() string  { return "serial /dev/ttyUSB0" }
func (p port) Waits() bool { return p.waits }
func (port) Open(context.Context, hal.Position) (hal.Reader, error) {
	return nil, errors.New("opened by a check")
}

// goodConfig returns a Config that passes with the state folder below a new one.
func goodConfig(t testing.TB) Config {
	return Config{
		StateDir:     filepath.Join(t.TempDir(), "lib", "dray"),
		Device:       "gw-17",
		Spool:        Spool{MaxBytes: 128 << 20, MinFree: -1},
		Streams:      []Stream{{Name: "gps", Source: port{}, Destination: "archive"}},
		Destinations: []Destination{{Name: "archive", To: limited{limits: s3Limits}}},
	}
}

func TestCheckPassesAPlainConfigAndLeavesNothingBehind(t *testing.T) {
	cfg := goodConfig(t)
	if err := Check(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(cfg.StateDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Check made something below the state folder's parent: %v", err)
	}
}

func TestCheckSaysWhereWhatAndWhatToDo(t *testing.T) {
	stream := func(f func(*Stream)) func(*Config) {
		return func(c *Config) { f(&c.Streams[0]) }
	}
	glacier := func(f func(*Object)) func(*Config) {
		return func(c *Config) {
			c.Destinations[0].To = limited{limits: glacierLimits}
			f(&c.Streams[0].Object)
		}
	}
	tests := []struct {
		name    string
		spoil   func(*Config)
		field   string
		problem string
		hint    string
	}{
		{"no state folder", func(c *Config) { c.StateDir = "" }, "state_dir", "none", "/var/lib/dray"},
		{"state folder is a file", func(c *Config) { c.StateDir = "/proc/self/status" }, "state_dir", "not a folder", "another path"},
		{"state folder below a file", func(c *Config) { c.StateDir = "/proc/self/status/a/b" }, "state_dir", "/proc/self/status is not a folder", "another path"},
		{"state folder not writable", func(c *Config) { c.StateDir = "/proc/1/dray" }, "state_dir", "/proc/1", "choose"},
		{"long device", func(c *Config) { c.Device = strings.Repeat("d", 129) }, "device", "129 bytes", "at most 128"},
		{"device of control characters", func(c *Config) { c.Device = "a\nb" }, "device", "not plain text", "UTF-8"},
		{"no streams", func(c *Config) { c.Streams = nil }, "streams", "none", "at least one"},
		{"no destinations", func(c *Config) { c.Destinations = nil }, "destinations", "none", "at least one"},
		{"destination without To", func(c *Config) { c.Destinations[0].To = nil }, "destinations[0]", "nothing to send to", "To"},
		{"destination without a name", func(c *Config) { c.Destinations = append(c.Destinations, Destination{To: limited{limits: s3Limits}}) }, "destinations[1].name", "no name", "give it"},
		{"two destinations of one name", func(c *Config) { c.Destinations = append(c.Destinations, c.Destinations[0]) }, "destinations[1].name", "taken by destinations[0]", "own name"},
		{"two streams of one name", func(c *Config) { c.Streams = append(c.Streams, c.Streams[0]) }, "streams[1].name", `"gps" is taken by streams[0]`, "own name"},
		{"stream name of odd letters", stream(func(s *Stream) { s.Name = "GPS/1" }), "streams[0].name", `"GPS/1"`, "lower-case"},
		{"long stream name", stream(func(s *Stream) { s.Name = strings.Repeat("s", 65) }), "streams[0].name", "65 bytes", "at most 64"},
		{"no destination named", stream(func(s *Stream) { s.Destination = "" }), "streams[0].destination", "none", "archive"},
		{"unknown destination", stream(func(s *Stream) { s.Destination = "archiv" }), "streams[0].destination", `"archiv"`, "archive"},
		{"key without epoch", stream(func(s *Stream) { s.Key = "{stream}/{start}" }), "streams[0].key", "lacks {epoch}", "put {epoch}"},
		{"two streams in one key", func(c *Config) {
			c.Streams = append(c.Streams, c.Streams[0])
			c.Streams[1].Name = "imu"
			c.Streams[0].Key, c.Streams[1].Key = "{epoch}-{start}", "{epoch}-{start}"
		}, "streams[1].key", `"gps"`, "{stream}"},
		{"bad framing", stream(func(s *Stream) { s.Framing.Kind = "words" }), "streams[0].framing", "words", ""},
		{"record too large", stream(func(s *Stream) { s.Framing.Max = hal.MaxRecord + 1 }), "streams[0].framing", "", ""},
		{"sync too often", stream(func(s *Stream) { s.Sync.Interval = time.Millisecond }), "streams[0].sync.interval", "1ms", "10ms to 1h"},
		{"sync too rare", stream(func(s *Stream) { s.Sync.Interval = 2 * time.Hour; s.Object.MaxAge = 3 * time.Hour }), "streams[0].sync.interval", "2h", "10ms to 1h"},
		{"sync of too few bytes", stream(func(s *Stream) { s.Sync.Bytes = 100 }), "streams[0].sync.bytes", "100 bytes", "4 KiB to 1 MiB"},
		{"sync of too many bytes", stream(func(s *Stream) { s.Sync.Bytes = 2 << 20 }), "streams[0].sync.bytes", "2 MiB", "4 KiB to 1 MiB"},
		{"tiny objects", stream(func(s *Stream) { s.Object.MaxBytes = 64 }), "streams[0].object.max_bytes", "64 bytes", "1 KiB"},
		{"negative object", stream(func(s *Stream) { s.Object.MaxBytes = -1 << 20 }), "streams[0].object.max_bytes", "-1 MiB", "1 KiB"},
		{"object larger than the spool", stream(func(s *Stream) { s.Object.MaxBytes = 120 << 20 }), "streams[0].object.max_bytes", "spool of 128 MiB", "at most 112 MiB"},
		{"object younger than a sync", stream(func(s *Stream) { s.Object.MaxAge = time.Millisecond }), "streams[0].object.max_age", "1ms", "sync interval"},
		{"object of a year", stream(func(s *Stream) { s.Object.MaxAge = 9000 * time.Hour }), "streams[0].object.max_age", "9000h", "744h"},
		{"idle longer than age", stream(func(s *Stream) { s.Object.MaxIdle = 2 * time.Hour }), "streams[0].object.max_idle", "2h", "max_age"},
		{"negative idle", stream(func(s *Stream) { s.Object.MaxIdle = -1 }), "streams[0].object.max_idle", "-1ns", "leave it out"},
		{"part below the least", stream(func(s *Stream) { s.Object.PartSize = 1 << 20 }), "streams[0].object.part_size", "parts of 1 MiB", "5 MiB to 5 GiB"},
		{"part above the most", stream(func(s *Stream) { s.Object.PartSize = 6 << 30 }), "streams[0].object.part_size", "parts of 6 GiB", "5 MiB to 5 GiB"},
		{"part is no power of two", glacier(func(o *Object) { o.PartSize = 5 << 20 }), "streams[0].object.part_size", "parts of 5 MiB", "power of two"},
		{"too many parts", func(c *Config) {
			c.Spool.MaxBytes = 1 << 40
			c.Streams[0].Object = Object{MaxBytes: 500 << 30, PartSize: 5 << 20}
		}, "streams[0].object.part_size", "more than 10000 parts of 5 MiB", "at least 52 MiB"},
		{"object above the most", func(c *Config) {
			c.Spool.MaxBytes = 1 << 50
			c.Streams[0].Object.MaxBytes = 6 << 40
		}, "streams[0].object.max_bytes", "objects of 6 TiB", "at most 5 TiB"},
		{"destination without limits", func(c *Config) { c.Destinations[0].To = limited{} }, "streams[0].object.part_size", "no part at all", "Limits"},
		{"small spool", func(c *Config) { c.Spool.MaxBytes = 16 << 20 }, "spool.max_bytes", "16 MiB is too small", "at least 24 MiB"},
		{"spool larger than the disk", func(c *Config) { c.Spool.MaxBytes = 1 << 60 }, "spool.max_bytes", "1 EiB is more than the disk", "use at most"},
		{"more kept free than there is", func(c *Config) { c.Spool.MinFree = 1 << 60 }, "spool.min_free", "1 EiB for others", "lower"},
		{"unknown policy", func(c *Config) { c.Spool.WhenFull = "explode" }, "spool.when_full", `"explode"`, "drop_oldest"},
		{"unknown priority", func(c *Config) { c.Streams[0].Priority = "urgent" }, "streams[0].priority", `"urgent" is not known`, "use high, normal or low"},
		{"block a serial port", func(c *Config) { c.Spool.WhenFull = Block }, "spool.when_full", `"gps": serial /dev/ttyUSB0 does not wait`, "drop_oldest or drop_newest"},
		{"too many workers", func(c *Config) { c.Workers = 17 }, "workers", "17", "1 to 16"},
		{"negative workers", func(c *Config) { c.Workers = -1 }, "workers", "-1", "1 to 16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := goodConfig(t)
			tt.spoil(&cfg)
			got := problems(t, Check(cfg))
			for _, p := range got {
				if p.Field == tt.field && strings.Contains(p.Problem, tt.problem) && strings.Contains(p.Hint, tt.hint) {
					return
				}
			}
			t.Errorf("got %v\nwant %s: …%s… (…%s…)", got, tt.field, tt.problem, tt.hint)
		})
	}
}

// problems returns what Check joined.
func problems(t testing.TB, err error) (list []*ConfigError) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want joined problems", err)
	}
	for _, e := range joined.Unwrap() {
		ce, ok := e.(*ConfigError)
		if !ok {
			t.Fatalf("got %T %v, want a *ConfigError", e, e)
		}
		list = append(list, ce)
	}
	return list
}

func TestCheckReportsAllProblemsAtOnce(t *testing.T) {
	cfg := goodConfig(t)
	cfg.Workers = 99
	cfg.Streams[0].Key = "{start}"
	cfg.Streams[0].Destination = "nowhere"
	if got := problems(t, Check(cfg)); len(got) != 3 {
		t.Errorf("got %d problems %v, want 3", len(got), got)
	}
	want := `streams[0].destination: there is no destination "nowhere" (name one of the destinations: archive)`
	if got := Check(cfg).Error(); !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant it to hold\n%s", got, want)
	}
}

func TestBlockIsAllowedForWhatWaits(t *testing.T) {
	cfg := goodConfig(t)
	cfg.Spool.WhenFull = Block
	cfg.Streams[0].Source = port{waits: true}
	cfg.Streams = append(cfg.Streams, Stream{Name: "embedded", Destination: "archive"})
	if err := Check(cfg); err != nil {
		t.Error(err)
	}
}

// A disk that others have filled since must not keep a device from starting.
func TestAStateFolderInUseIsMeasuredAgainstTheWholeDisk(t *testing.T) {
	cfg := goodConfig(t)
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := usedBytes(cfg.StateDir); got != 0 {
		t.Fatalf("an empty folder uses %d bytes", got)
	}
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "slot"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := usedBytes(cfg.StateDir); got < 1<<20 {
		t.Fatalf("used: got %d bytes, want at least 1 MiB", got)
	}
	cfg.Spool.MaxBytes = 1 << 60
	if got := Check(cfg).Error(); !strings.Contains(got, "in all") {
		t.Errorf("got %q, want the size of the disk in all", got)
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	given := Config{
		Streams:      []Stream{{Name: "gps", Destination: "a"}, {Name: "imu", Destination: "none"}},
		Destinations: []Destination{{Name: "a", To: limited{limits: s3Limits}}},
	}
	got := given.withDefaults()
	if got.Spool != (Spool{MaxBytes: 2 << 30, MinFree: 256 << 20, WhenFull: DropOldest}) {
		t.Errorf("spool: got %+v", got.Spool)
	}
	if got.Workers != 4 || got.Version != "dev" || got.Device == "" || got.Log == nil {
		t.Errorf("got workers %d, version %q, device %q, log %v", got.Workers, got.Version, got.Device, got.Log)
	}
	s := got.Streams[0]
	if s.Key != DefaultKey || s.Sync != (Sync{time.Second, 256 << 10}) || s.Object != (Object{MaxBytes: 64 << 20, MaxAge: time.Hour, PartSize: 8 << 20}) {
		t.Errorf("stream: got %+v", s)
	}
	if given.Streams[0].Key != "" {
		t.Error("the caller's streams were changed")
	}
	given.Spool.MinFree = -1
	if got := given.withDefaults().Spool.MinFree; got != -1 {
		t.Errorf("min_free: got %d, want the -1 that was asked for", got)
	}
}

func TestDefaultPartSizeHoldsTheObject(t *testing.T) {
	tests := []struct {
		limits    transport.Limits
		max, want int64
	}{
		{s3Limits, 64 << 20, 8 << 20},
		{s3Limits, 80_000 << 20, 8 << 20},
		{s3Limits, 80_000<<20 + 1, 9 << 20},
		{s3Limits, math.MaxInt64, 5 << 30}, // does not fit; Check says so
		{glacierLimits, 80_000<<20 + 1, 16 << 20},
		{transport.Limits{}, 1 << 20, 0},
	}
	for _, tt := range tests {
		if got := partSize(tt.limits, tt.max); got != tt.want {
			t.Errorf("object of %d: got %d, want %d", tt.max, got, tt.want)
		}
	}
}

// No Config makes Check panic, and the part size that withDefaults chose is
// never the one that Check complains of while a fitting one exists.
func TestCheckNeverPanicsAndAcceptsItsOwnPartSize(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		limits := rapid.SampledFrom([]transport.Limits{s3Limits, glacierLimits}).Draw(t, "limits")
		size := rapid.Int64().Draw(t, "max_bytes")
		cfg := Config{
			StateDir: dir,
			Spool:    Spool{MaxBytes: rapid.Int64().Draw(t, "spool"), MinFree: rapid.Int64().Draw(t, "free")},
			Workers:  rapid.Int().Draw(t, "workers"),
			Streams: []Stream{{
				Name: rapid.String().Draw(t, "name"), Key: rapid.String().Draw(t, "key"), Destination: "a",
				Sync:    Sync{time.Duration(rapid.Int64().Draw(t, "interval")), rapid.Int64().Draw(t, "bytes")},
				Object:  Object{MaxBytes: size},
				Framing: hal.Framing{Kind: rapid.String().Draw(t, "kind"), Max: rapid.Int().Draw(t, "max"), Size: rapid.Int().Draw(t, "size")},
				Source:  port{},
			}},
			Destinations: []Destination{{Name: "a", To: limited{limits: limits}}},
		}
		err := Check(cfg)
		if size > 0 && size/limits.MaxPart < int64(limits.MaxParts) && err != nil && strings.Contains(err.Error(), "part_size") {
			t.Fatalf("object of %d: %v", size, err)
		}
	})
}

func TestSizesReadLikeAPersonWroteThem(t *testing.T) {
	tests := []struct {
		n    int64
		want string
	}{
		{0, "0 bytes"}, {1023, "1023 bytes"}, {1 << 10, "1 KiB"}, {1536, "1.5 KiB"}, {8 << 20, "8 MiB"},
		{math.MaxInt64, "8 EiB"}, {-1 << 20, "-1 MiB"},
	}
	for _, tt := range tests {
		if got := sizeText(tt.n); got != tt.want {
			t.Errorf("%d: got %q, want %q", tt.n, got, tt.want)
		}
	}
}

func ExampleConfigError() {
	fmt.Println(&ConfigError{Field: "workers", Problem: "99 parts at once", Hint: "use 1 to 16"})
	// Output: workers: 99 parts at once (use 1 to 16)
}
