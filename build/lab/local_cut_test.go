package main

import (
	"context"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A putWorld is a local destination on a disk whose power is cut.
type putWorld struct {
	t    *testing.T
	dir  string
	disk *powerfs.Disk
}

// put tries to put an object, and cuts the power before operation n that
// changes something. It says whether the put returned before that.
func (w *putWorld) put(n int, seed uint64) (done bool) {
	w.t.Helper()
	changes := 0
	w.disk.SetHook(func(op powerfs.Op) powerfs.Fault {
		if op.Kind.Changes() {
			if changes++; changes == n {
				return powerfs.Fault{Stop: powerfs.Before}
			}
		}
		return powerfs.Fault{}
	})
	m, err := w.disk.Mount(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := local.New(local.Config{Path: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	data := []byte("what is to be archived")
	o := transport.Object{Key: "a/b", Size: int64(len(data)), CRC32C: crc32.Checksum(data, transport.Castagnoli), Metadata: map[string]string{"dray-start": "0"}}
	result := make(chan error, 1)
	go func() {
		_, err := d.Put(context.Background(), o, transporttest.NewBody(data))
		result <- err
	}()
	select {
	case err := <-result:
		if done = true; err != nil {
			w.t.Errorf("put: %v", err)
		}
	case <-w.disk.Stopped():
	}
	found := w.disk.Cut(seed)
	if !done {
		<-result // with an error, or just before
	}
	if err := m.Unmount(); err != nil {
		w.t.Fatal(err)
	}
	w.disk = found
	return done
}

// left returns what is there besides the object and its claim.
func (w *putWorld) left() (list []string) {
	for _, f := range w.disk.Files() {
		if strings.HasPrefix(f.Path, "/.dray/uploads/") {
			list = append(list, f.Path)
		}
	}
	return list
}

// A put is cut at each of its operations, tried again, cut at some of those,
// tried again, and cut once more behind its success.
func TestAPutThatWasCutIsRepeatedAndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const never = 1 << 20
	for first, whole := 1, false; !whole; first++ {
		for second, past := 1, false; !past; second += 5 {
			for seed := range uint64(3) {
				w := &putWorld{t, dir, powerfs.New(powerfs.Options{Ordered: seed == 1})}
				whole = w.put(first, seed)
				past = w.put(second, seed+10)
				if !past {
					w.put(never, seed+20)
				}
				if !w.holds("/a/b", "what is to be archived") {
					t.Errorf("cut before operations %d and %d, seed %d: the object is not there", first, second, seed)
				}
				if left := w.left(); left != nil {
					t.Errorf("cut before operations %d and %d, seed %d: left behind: %v", first, second, seed, left)
				}
			}
		}
	}
}

func (w *putWorld) holds(path, text string) bool {
	return slices.ContainsFunc(w.disk.Files(), func(f powerfs.File) bool { return f.Path == path && string(f.Data) == text })
}
