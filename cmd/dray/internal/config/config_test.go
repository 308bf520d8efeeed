package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// noEnv is an environment without credentials.
func noEnv(string) string { return "" }

// parsed returns what the reader makes of a file, and its problems.
func parsed(text string, env func(string) string) (*Config, []Problem) {
	r := newReader()
	c := r.parse([]byte(text), env)
	return c, sorted(r.problems)
}

// written writes text to a config file below a new folder, with DIR replaced by it.
func written(t *testing.T, text string) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "dray.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

const whole = `device: gw-17
state_dir: DIR/state
spool: {max_bytes: 64MiB, min_free: 0, when_full: drop_newest}
clock: {wait: 0s}
receipts: {max_bytes: 20MiB}
workers: 2
metrics: {listen: 127.0.0.1:9464}
streams:
  - name: gps
    source: {type: serial, port: /dev/ttyUSB0, baud: 115200, data_bits: 7, parity: even, stop_bits: 2, flow: rtscts}
    framing: {type: length, size: 2, order: little, max_record: 32KiB}
    sync: {interval: 2s, bytes: 128KiB}
    object: &small {max_bytes: 1MiB, max_age: 10m, max_idle: 30s, part_size: 64KiB}
    key: "{stream}/{epoch}-{start}"
    destination: disk
  - name: log
    source: {type: file, path: /var/log/sensor, follow: true}
    framing: lines
    object: *small
    destination: disk
    priority: high
destinations:
  - name: disk
    type: local
    path: DIR/archive
`

func TestTheWholeSchemaReachesTheEngine(t *testing.T) {
	path, dir := written(t, whole)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	e := c.Engine
	if e.ClockWait >= 0 {
		t.Errorf("clock.wait of 0 reads as %v, want none", e.ClockWait)
	}
	if got, want := e.Spool, (engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.DropNewest}); got != want {
		t.Errorf("spool: got %+v, want %+v", got, want)
	}
	if e.Receipts.MaxBytes != 20<<20 {
		t.Errorf("receipts: got %+v", e.Receipts)
	}
	if e.Device != "gw-17" || e.StateDir != dir+"/state" || e.Workers != 2 || c.MetricsListen != "127.0.0.1:9464" {
		t.Errorf("top: got %q, %q, %d, %q", e.Device, e.StateDir, e.Workers, c.MetricsListen)
	}
	gps, log := e.Streams[0], e.Streams[1]
	if got, want := gps.Framing, (hal.Framing{Kind: "length", Max: 32 << 10, Size: 2, LittleEndian: true}); got != want {
		t.Errorf("framing: got %+v, want %+v", got, want)
	}
	if got, want := log.Framing, (hal.Framing{Kind: "lines"}); got != want {
		t.Errorf("framing of one word: got %+v, want %+v", got, want)
	}
	if gps.Priority != "" || log.Priority != engine.High {
		t.Errorf("priorities %q and %q, want none and high", gps.Priority, log.Priority)
	}
	small := engine.Object{MaxBytes: 1 << 20, MaxAge: 10 * time.Minute, MaxIdle: 30 * time.Second, PartSize: 64 << 10}
	if gps.Object != small || log.Object != small {
		t.Errorf("object: got %+v and, by alias, %+v, want %+v", gps.Object, log.Object, small)
	}
	if got, want := gps.Sync, (engine.Sync{Interval: 2 * time.Second, Bytes: 128 << 10}); got != want {
		t.Errorf("sync: got %+v, want %+v", got, want)
	}
	if gps.Source.Waits() || !log.Source.Waits() || gps.Key != "{stream}/{epoch}-{start}" || gps.Destination != "disk" {
		t.Errorf("stream: got %+v", gps)
	}
	if e.Destinations[0].Name != "disk" || e.Destinations[0].To == nil {
		t.Errorf("destination: got %+v", e.Destinations[0])
	}
}

func TestEveryProblemIsToldAtItsPlace(t *testing.T) {
	const rest = "\nstreams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: local, path: /a}]"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "# nothing\n", "f:1:1: the file is empty; start from one of the samples"},
		{"not a mapping", "[1]", `f:1:1: wants a mapping, got a list; indent its keys below it, as in "key: value"`},
		{"tabs", "a: 1\n\tb: 2", "f:2:2: not YAML: found a tab character that violates indentation; indent with spaces, not tabs"},
		{"two documents", "a: 1\n---\nb: 1", "f:2:1: a second document begins here; keep one"},
		{"nothing there", "device: x",
			"f:1:1: streams: is missing; name at least one stream: its source and its destination\n" +
				"f:1:1: destinations: is missing; name at least one destination, such as {name: archive, type: local, path: /mnt/usb}"},
		{"unknown key", "spoool: {}" + rest, `f:1:1: spoool: unknown key; did you mean "spool"?`},
		{"unknown key, nothing like it", "spool: {colour: red}" + rest, "f:1:9: spool.colour: unknown key; known here: max_bytes, endurance, when_full, min_free"},
		{"merge key", "spool: {<<: {}}" + rest, "f:1:9: spool.<<: unknown key; merge keys are not read; use an alias for a whole value"},
		{"twice", "device: a\ndevice: b" + rest, "f:2:1: device: stands here a second time, first in line 1; keep one of the two"},
		{"unit", "spool: {max_bytes: 10M}" + rest, `f:1:20: spool.max_bytes: "10M" has the unknown unit "M"; ` + sizeHint},
		{"zero", "spool: {max_bytes: 0}" + rest, "f:1:20: spool.max_bytes: must be greater than 0; leave the key out for the default"},
		{"word", "spool: {when_full: explode}" + rest, `f:1:20: spool.when_full: "explode" is not known; choose one of block, drop_oldest, drop_newest`},
		{"null", "device:" + rest, "f:1:8: device: wants a single value, got nothing; give it a single value or leave the key out"},
		{"wrong shape", "device: {a: b}" + rest, "f:1:9: device: wants a single value, got a mapping; give it a single value or leave the key out"},
		{"number", "workers: 1.5" + rest, `f:1:10: workers: "1.5" is not a whole number greater than 0; write it in decimal digits, without a unit`},
		{"open metrics", "metrics: {listen: \"0.0.0.0:9464\"}" + rest,
			`f:1:19: metrics.listen: "0.0.0.0:9464" is not a loopback address; listen on 127.0.0.1 or [::1] and let a proxy or an agent on this machine carry them on`},
		{"no list", "streams: {}\ndestinations: []",
			"f:1:10: streams: wants a list, got a mapping; start each entry with \"- \"\n" +
				"f:2:15: destinations: is empty; name at least one destination, such as {name: archive, type: local, path: /mnt/usb}"},
		{"framing without a size", "streams: [{name: a, source: {type: stdin}, framing: fixed, destination: d}]\ndestinations: [{name: d, type: local, path: /a}]",
			`f:1:53: streams[0].framing: "fixed" needs a size; write {type: fixed, size: 2}`},
		{"source type", "streams: [{name: a, source: {type: seriel}, destination: d}]\ndestinations: [{name: d, type: local, path: /a}]",
			`f:1:36: streams[0].source.type: "seriel" is not known; did you mean "serial"? known: fifo, file, serial, stdin`},
		{"no credentials", "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: s3, bucket: b}]",
			"f:2:16: destinations[0]: has no credentials; " + credentialsHint},
		{"password in a URL", "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: s3, bucket: b, endpoint: 'https://me:hush@h', credentials: {access_key_id: i, secret_access_key: hush}}]",
			"f:2:57: destinations[0].endpoint: is not an address of a service; write scheme and host only, such as https://minio.example.org:9000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := parsed(c.text, noEnv)
			if got := (&Error{"f", problems}).Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestWhatTheEngineFindsIsToldAtItsPlaceToo(t *testing.T) {
	path, _ := written(t, strings.NewReplacer("drop_newest", "block", "name: log", "name: gps", "part_size: 64KiB", "part_size: 1KiB").Replace(whole))
	_, err := Load(path)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	var got []string
	for _, p := range e.Problems {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, strings.SplitN(p.Text, ":", 2)[0]))
	}
	want := "3:51 spool.when_full, 13:78 streams[0].object.part_size, 13:78 streams[1].object.part_size, 16:11 streams[1].name"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s\nwant %s\n%v", strings.Join(got, ", "), want, err)
	}
}

func TestTheStateFolderIsFoundInABrokenConfig(t *testing.T) {
	path, _ := written(t, "state_dir: /s\nstreams: nonsense\n")
	if got, err := StateDir(path); got != "/s" || err != nil {
		t.Errorf("got %q, %v, want /s", got, err)
	}
	path, _ = written(t, "device: x\n")
	if got, err := StateDir(path); got != DefaultStateDir || err != nil {
		t.Errorf("got %q, %v, want %s", got, err, DefaultStateDir)
	}
}

func TestTheFileIsBounded(t *testing.T) {
	path, _ := written(t, strings.Repeat("# padding\n", maxFile/10+1))
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "greater than 1024 KiB") {
		t.Errorf("great file: got %v", err)
	}
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("device: got %v", err)
	}
	bomb := "a: &a [x, x]\n"
	for c := 'b'; c <= 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c]\n", c, c, c-1, c-1)
	}
	if _, problems := parsed(bomb+"streams: *z\n", noEnv); len(problems) > maxProblems {
		t.Errorf("nest of aliases: got %d problems", len(problems))
	}
	many := "d: &d {name: d}\nstreams: [" + strings.Repeat("*d,", maxList) + "]\ndestinations: [" + strings.Repeat("*d,", maxList) + "]\n"
	_, problems := parsed(many, noEnv)
	said := slices.ContainsFunc(problems, func(p Problem) bool { return p.Text == "more than 256 aliases" })
	if !said {
		t.Errorf("many aliases: nothing said in %d problems", len(problems))
	}
	if got := strings.Count((&Error{"f", problems}).Error(), "\n"); got != maxProblems {
		t.Errorf("an error of %d lines more than one, want %d", got, maxProblems)
	}
}

func TestACredentialsFileThatOthersCanReadIsRefused(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("aws_access_key_id=i\naws_secret_access_key=hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keys, 0o640); err != nil {
		t.Fatal(err)
	}
	r := newReader()
	accountOf(r.root([]byte("credentials: {file: "+keys+"}")), noEnv, link.Proxy{})
	want := "f:1:21: credentials.file: " + keys + " can be read by others (mode 0640); chmod 600 " + keys
	if got := r.err("f"); got == nil || got.Error() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestANamedFileIsLookedForBesideTheConfig(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	path, dir := written(t, `state_dir: DIR/state
spool: {max_bytes: 64MiB, min_free: 0}
streams: [{name: a, source: {type: stdin}, destination: d, object: {max_bytes: 1MiB}}]
destinations: [{name: d, type: s3, bucket: b, region: r, credentials: {file: keys}}]
`)
	want := path + ":4:78: destinations[0].credentials.file: " + dir + "/keys does not exist; make it, or name another"
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("without it: got %v, want %s", err, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys"), []byte("aws_access_key_id=i\naws_secret_access_key=s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("with it: %v", err)
	}
}

// The daemon and the commands that ask it start in different folders.
func TestRelativeFoldersLieBesideTheConfig(t *testing.T) {
	path, dir := written(t, `state_dir: state
spool: {max_bytes: 64MiB, min_free: 0}
streams: [{name: a, source: {type: stdin}, destination: d, object: {max_bytes: 1MiB}}]
destinations: [{name: d, type: local, path: archive}]
`)
	t.Chdir(t.TempDir())
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	state, err := StateDir(path)
	if want := filepath.Join(dir, "state"); err != nil || state != want || c.Engine.StateDir != want {
		t.Errorf("state folder %q, of the commands %q, %v; want %q", c.Engine.StateDir, state, err, want)
	}
	if err := c.Engine.Destinations[0].To.Abort(t.Context(), transport.Upload{ID: "0123456789abcdef", Object: transport.Object{Key: "k"}}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "archive")) {
		t.Errorf("the archive: got %v, want it to lack %s", err, filepath.Join(dir, "archive"))
	}
}

func TestAFileThatThisUserMayNotReadHasAHint(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "keys", Err: syscall.EACCES}
	if got := readHint(denied, "write it anew"); !strings.Contains(got, "LoadCredential=") {
		t.Errorf("denied: got %q", got)
	}
	if got := readHint(errors.New("torn"), "write it anew"); got != "write it anew" {
		t.Errorf("otherwise: got %q", got)
	}
}
