package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// An archivist sends objects to a local destination as the engine does: each
// call is repeated until it succeeds, and what it asks for instead is done.
type archivist struct {
	t  *testing.T
	to transport.Destination
	j  *injector
	d  *powerfs.Disk
	n  int // calls that failed
}

// tries is how often a call may fail in one run; what lasts is healed after some.
const tries, patience = 12, 4

// until repeats a call. It is false if that is in vain.
func (a *archivist) until(call func() error) bool {
	for {
		err := call()
		if err == nil {
			return true
		}
		if a.n++; a.n == patience {
			a.j.heal(a.d)
		}
		if a.n > tries {
			a.t.Errorf("%v, operation %d: fails again and again: %v", a.j, a.j.n, err)
			return false
		}
	}
}

func describeObject(key string, data []byte) transport.Object {
	return transport.Object{Key: key, Size: int64(len(data)), CRC32C: crc32.Checksum(data, transport.Castagnoli), Metadata: map[string]string{"dray-start": "0"}}
}

func (a *archivist) put(key string, data []byte) bool {
	return a.until(func() error {
		_, err := a.to.Put(context.Background(), describeObject(key, data), transporttest.NewBody(data))
		return err
	})
}

// create begins an upload, having ended what an earlier try left of it.
func (a *archivist) create(o transport.Object) (u transport.Upload, ok bool) {
	ctx, tried := context.Background(), false
	ok = a.until(func() error {
		if tried {
			left, _, err := a.to.Find(ctx, o.Key)
			for _, u := range left {
				err = errors.Join(err, a.to.Abort(ctx, u))
			}
			if err != nil {
				return err
			}
		}
		tried = true
		id, err := a.to.Create(ctx, o)
		u = transport.Upload{ID: id, Object: o, PartSize: local.MinPart}
		return err
	})
	return u, ok
}

func (a *archivist) send(u transport.Upload, data []byte, n int) (r transport.PartReceipt, ok bool) {
	p, piece := transporttest.Part(a.to, data, n, u.PartSize)
	ok = a.until(func() (err error) {
		r, err = a.to.UploadPart(context.Background(), u, p, transporttest.NewBody(piece))
		return err
	})
	return r, ok
}

func (a *archivist) multipart(key string, data []byte) bool {
	u, ok := a.create(describeObject(key, data))
	var parts []transport.PartReceipt
	for n := 1; ok && int64(n-1)*u.PartSize < int64(len(data)); n++ {
		var r transport.PartReceipt
		r, ok = a.send(u, data, n)
		parts = append(parts, r)
	}
	return ok && a.until(func() error {
		_, err := a.to.Complete(context.Background(), u, parts)
		var te *transport.Error
		if errors.As(err, &te) && te.Kind == transport.Missing {
			for _, n := range te.Parts {
				a.send(u, data, n)
			}
		}
		return err
	})
}

func (a *archivist) abort(key string, data []byte) bool {
	u, ok := a.create(describeObject(key, data))
	if ok {
		_, ok = a.send(u, data, 1)
	}
	return ok && a.until(func() error { return a.to.Abort(context.Background(), u) })
}

// Operation N of a put, an upload in parts and an aborted one fails, in each way,
// and the calls are repeated. Then the power is cut with the worst outcome: what
// was called stored is there, byte for byte, and nothing else.
func TestALocalArchiveOutlivesEachFailingOperation(t *testing.T) {
	dir := t.TempDir()
	whole, parts := transporttest.Bytes(1, 5000), transporttest.Bytes(2, local.MinPart+100)
	for _, f := range failures {
		if f.name == "slow" {
			continue
		}
		n := 0
		for fired := true; fired; n++ {
			disk := powerfs.New(powerfs.Options{Ordered: n%2 == 1})
			j := newInjector(f, n, -1, uint64(n))
			m, err := disk.Mount(dir)
			if err != nil {
				t.Fatal(err)
			}
			disk.SetHook(j.hook)
			to, err := local.New(local.Config{Path: dir})
			if err != nil {
				t.Fatal(err)
			}
			a := &archivist{t: t, to: to, j: j, d: disk}
			ok := a.put("a/whole", whole) && a.multipart("b/parts", parts) && a.abort("c/none", parts)
			fired, _ = j.state()
			found := disk.Cut(powerfs.Worst)
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
			if !ok {
				continue
			}
			objects := map[string]string{}
			for _, file := range found.Files() {
				switch {
				case file.Mode.IsDir():
					if strings.HasPrefix(file.Path, "/.dray/uploads/") {
						t.Errorf("%v, operation %d: left behind: %s", j, n, file.Path)
					}
				case !strings.HasPrefix(file.Path, "/.dray/"):
					objects[file.Path] = string(file.Data)
				}
			}
			if len(objects) != 2 || objects["/a/whole"] != string(whole) || objects["/b/parts"] != string(parts) {
				var got []string
				for path, data := range objects {
					got = append(got, fmt.Sprintf("%s of %d bytes", path, len(data)))
				}
				slices.Sort(got)
				t.Errorf("%v, operation %d: the archive holds %v, or wrong bytes", j, n, got)
			}
		}
		t.Logf("%s: %d operations failed, one in each run", f.name, n-1)
	}
}
