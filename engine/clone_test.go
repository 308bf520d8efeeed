package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/s3"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// cloned is an engine on a state folder of its own, and what it was given.
type cloned struct {
	cfg  engine.Config
	log  strings.Builder
	want []byte
}

// add appends objects of those sizes, all of one letter.
func (d *cloned) add(t *testing.T, e *engine.Engine, letter byte, sizes ...int) {
	t.Helper()
	for _, n := range sizes {
		b := bytes.Repeat([]byte{letter}, n)
		for piece := range slices.Chunk(b, 1<<20) {
			if err := errors.Join(e.Append(t.Context(), "log", piece), e.Sync(t.Context(), "log")); err != nil {
				t.Fatal(err)
			}
		}
		d.want = append(d.want, b...)
		if err := e.Flush(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
	}
}

// open opens the engine with its log in d.log.
func (d *cloned) open(t *testing.T) *engine.Engine {
	t.Helper()
	d.cfg.Log = slog.New(slog.NewTextHandler(&d.log, nil))
	e, err := engine.New(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// clone copies the state folder, as if the card were copied.
func (d *cloned) clone(t *testing.T, dir string) *cloned {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(d.cfg.StateDir)); err != nil {
		t.Fatal(err)
	}
	c := &cloned{cfg: d.cfg, want: slices.Clone(d.want)}
	c.cfg.StateDir = dir
	return c
}

// archived checks that the receipts of a device tile its stream, and that what is
// archived under their keys is what it was given. It returns the epochs.
func (d *cloned) archived(t *testing.T, get func(key string) []byte) []string {
	t.Helper()
	epochs := map[string]bool{}
	var list []engine.Receipt
	err := engine.ReadReceipts(d.cfg.StateDir, func(r engine.Receipt) error {
		epochs[r.Epoch] = true
		list = append(list, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b engine.Receipt) int { return int(a.Start - b.Start) })
	var got []byte
	for _, r := range list {
		if r.Start != int64(len(got)) || r.Dropped != "" || r.InDoubt != "" {
			t.Fatalf("behind %d bytes: %+v", len(got), r)
		}
		got = append(got, get(r.Key)...)
	}
	if !bytes.Equal(got, d.want) {
		t.Errorf("%s: the archive holds %d bytes that differ from the %d that were kept", d.cfg.StateDir, len(got), len(d.want))
	}
	return slices.Sorted(maps.Keys(epochs))
}

// Two devices with copies of one state folder have one epoch, the same offsets
// and keys, and other bytes. Neither loses any, nor takes the other's for its own.
func TestACopiedStateFolderGoesOnUnderAnEpochOfItsOwn(t *testing.T) {
	sizes := []int{300, 400, 6 << 20, 500, 600, 700} // one goes out in parts
	for name, place := range map[string]func(*testing.T) (transport.Destination, func(key string) []byte){
		"local": func(t *testing.T) (transport.Destination, func(string) []byte) {
			dir := filepath.Join(t.TempDir(), "archive")
			return newLocal(t, dir), func(key string) []byte { b, _ := os.ReadFile(filepath.Join(dir, key)); return b }
		},
		"s3": func(t *testing.T) (transport.Destination, func(string) []byte) {
			g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
			to, err := s3.New(s3.Config{Bucket: g.Bucket, Region: g.Region, Endpoint: g.Endpoint, PathStyle: true, AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey})
			if err != nil {
				t.Fatal(err)
			}
			return to, func(key string) []byte { b, _ := os.ReadFile(filepath.Join(g.BucketDir, key)); return b }
		},
	} {
		for _, order := range []string{"one after the other", "both at once"} {
			t.Run(name+", "+order, func(t *testing.T) {
				to, get := place(t)
				first := &cloned{cfg: engine.Config{StateDir: filepath.Join(t.TempDir(), "first"), Device: "gw", Drain: true, Spool: engine.Spool{MinFree: -1},
					Streams:      []engine.Stream{{Name: "log", Destination: "there", Object: engine.Object{PartSize: 5 << 20}}},
					Destinations: []engine.Destination{{Name: "there", To: to}}}}
				e := first.open(t)
				first.add(t, e, 'x', 200, 100) // what both have in common is archived before
				if err := e.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				second := first.clone(t, filepath.Join(t.TempDir(), "second"))
				var both sync.WaitGroup
				for i, d := range []*cloned{first, second} {
					e := d.open(t)
					d.add(t, e, "ab"[i], sizes...)
					drain := func() {
						if err := e.Run(t.Context()); err != nil {
							t.Error(err)
						}
					}
					if both.Go(drain); order != "both at once" {
						both.Wait()
					}
				}
				both.Wait()
				mine, theirs := first.archived(t, get), second.archived(t, get)
				if n := len(mine) + len(theirs); n < 3 || len(mine) > 2 || len(theirs) > 2 || slices.Equal(mine, theirs) {
					t.Errorf("epochs %v and %v", mine, theirs)
				}
				audit, err := engine.AuditArchive(t.Context(), to, engine.AuditSelection{})
				if err != nil || audit.Err() != nil {
					t.Errorf("audit: %v, %v: %+v", err, audit.Err(), audit.Series)
				}
				quick, err := engine.AuditArchive(t.Context(), to, engine.AuditSelection{Quick: true})
				if err != nil || quick.Err() != nil {
					t.Errorf("quick audit: %v, %v: %+v", err, quick.Err(), quick.Series)
				}
				var left int
				err = to.(transport.Catalogue).Uploads(t.Context(), "", func(transport.Upload, time.Time) error { left++; return nil })
				if err != nil || left > 0 {
					t.Errorf("%d uploads are left behind: %v", left, err)
				}
				for _, d := range []*cloned{first, second} {
					e := d.open(t)
					epoch := e.Status().Streams[0].Epoch
					noted := strings.Contains(strings.Join(e.Status().Notes, "\n"), "goes on under epoch "+epoch)
					if err := e.Close(); err != nil {
						t.Fatal(err)
					}
					switch told := strings.Count(d.log.String(), "a key is taken"); {
					case told > 0 != noted:
						t.Errorf("the log tells %d times of keys that are taken, in status is a note: %v", told, noted)
					case told > len(sizes):
						t.Errorf("the log tells %d times of keys that are taken", told)
					}
				}
			})
		}
	}
}

// hostile is a destination that holds other bytes under every key, or says so.
type hostile struct {
	transport.Destination
	mu     sync.Mutex
	asked  map[string]bool   // keys
	stored *transport.Stored // what it says is under each; nil: it may not be asked
}

func (h *hostile) Put(_ context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[o.Key] = true
	_, _ = io.Copy(io.Discard, b)
	return transport.Receipt{}, &transport.Error{Op: "put", Key: o.Key, Kind: transport.Conflict, Err: errors.New("key is taken")}
}

func (h *hostile) Find(_ context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	if h.stored == nil {
		return nil, nil, &transport.Error{Op: "find", Key: key, Kind: transport.Denied, Err: errors.New("not to be asked")}
	}
	s := *h.stored
	return nil, &s, nil
}

func TestADestinationThatCallsEveryKeyTakenGetsOneNewEpochARun(t *testing.T) {
	for name, c := range map[string]struct {
		stored *transport.Stored
		epochs int
		says   string
	}{
		"with other bytes":            {&transport.Stored{Size: 7}, 2, "for another try"},
		"and tells nothing":           {&transport.Stored{Size: 6}, 1, "key is taken"},
		"and may not be asked, so it": {nil, 1, "not to be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				to := &hostile{Destination: newLocal(t, filepath.Join(dir, "archive")), asked: map[string]bool{}, stored: c.stored}
				var log strings.Builder
				cfg := small(dir, to, engine.Block, &log)
				const objects, runs = 5, 2
				for n := range runs {
					e, err := engine.New(cfg)
					if err != nil {
						t.Fatal(err)
					}
					stop := run(t, e)
					for i := range objects {
						if err := errors.Join(e.Append(t.Context(), "log", fmt.Appendf(nil, "%d %03d\n", n, i)), e.Flush(t.Context(), "log")); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(24 * time.Hour)
					synctest.Wait()
					if got := e.Status().Destinations[0].PendingObjects; got != int64((n+1)*objects) {
						t.Errorf("%d objects wait, want %d", got, (n+1)*objects)
					}
					stop()
				}
				epochs := map[string]bool{}
				for key := range to.asked {
					epochs[strings.Split(filepath.Base(key), "-")[1]] = true
				}
				if want := (c.epochs-1)*runs + 1; len(epochs) != want {
					t.Errorf("%d epochs in %d runs, want %d", len(epochs), runs, want)
				}
				if !strings.Contains(log.String(), c.says) {
					t.Errorf("the log does not say %q", c.says)
				}
			})
		})
	}
}

// A key that is taken by this very object is ours, whatever was lost meanwhile.
func TestALostReplyOfAPutMakesNoNewEpoch(t *testing.T) {
	for _, gap := range []string{"", "9"} { // as it was told then: more may be known by now
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			var log strings.Builder
			to := &mistaken{newLocal(t, filepath.Join(dir, "archive")), gap}
			e, err := engine.New(small(dir, to, engine.Block, &log))
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, e)
			if err := errors.Join(e.Append(t.Context(), "log", []byte("bytes\n")), e.Flush(t.Context(), "log")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if s := e.Status(); s.Destinations[0].PendingObjects != 0 || len(s.Notes) > 0 {
				t.Errorf("%d objects wait; notes %q", s.Destinations[0].PendingObjects, s.Notes)
			}
			stop()
		})
	}
}

// mistaken stores each object, and says that its key is taken.
type mistaken struct {
	transport.Destination
	gap string // that the object is stored with; "": its own
}

func (m *mistaken) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if m.gap != "" {
		o.Metadata = maps.Clone(o.Metadata)
		o.Metadata["dray-gap"] = m.gap
	}
	if _, err := m.Destination.Put(ctx, o, b); err != nil {
		return transport.Receipt{}, err
	}
	return transport.Receipt{}, &transport.Error{Op: "put", Key: o.Key, Kind: transport.Conflict, Err: errors.New("key is taken")}
}
