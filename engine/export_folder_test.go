package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/engine"
)

// A folder of files in memory, as an export fills it.
type exportFolder map[string]*bytes.Buffer

func (f exportFolder) create(name string) (io.WriteCloser, error) {
	if f[name] != nil {
		return nil, fs.ErrExist
	}
	f[name] = &bytes.Buffer{}
	return nopCloser{f[name]}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// waiting makes a state folder with three objects of a stream, of which the last
// is open, and returns its path and the bytes of each.
func waiting(t *testing.T) (dir string, objects [][]byte) {
	t.Helper()
	var log strings.Builder
	c := small(t.TempDir(), newLocal(t, filepath.Join(t.TempDir(), "archive")), engine.Block, &log)
	e, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		var b []byte
		for j := range 2000 {
			rec := fmt.Appendf(nil, "object %d, record %05d\n", i, j)
			if err := e.Append(t.Context(), "log", rec); err != nil {
				t.Fatal(err)
			}
			if b = append(b, rec...); j%100 == 99 {
				if err := e.Sync(t.Context(), "log"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if objects = append(objects, b); i < 2 {
			if err := e.Flush(t.Context(), "log"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return c.StateDir, objects
}

// snapshotOf lists all files of a folder with their bytes and times.
func snapshotOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := [32]byte{}
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(content)
		}
		fmt.Fprintf(&b, "%s %v %d %v %x\n", path, info.Mode(), info.Size(), info.ModTime(), sum)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExportMakesAFileOfEachObjectAndLeavesTheFolderAsItIs(t *testing.T) {
	dir, want := waiting(t)
	before := snapshotOf(t, dir)
	files, at := exportFolder{}, int64(0)
	var n int
	err := engine.ExportObjects(dir, engine.ExportSelection{}, files.create, func(r engine.ExportReport) error {
		b := files[r.File].Bytes()
		sum := sha256.Sum256(b)
		if !bytes.Equal(b, want[n]) || r.SHA256 != hex.EncodeToString(sum[:]) || r.Bytes != int64(len(b)) {
			t.Errorf("object %d: %d bytes, reported %+v", n, len(b), r)
		}
		if r.Start != at || r.End != at+r.Bytes || len(r.Extents) != 1 || len(r.Missing) != 0 || r.Open != (n == 2) || r.FirstTime.IsZero() || r.Destination != "disk" {
			t.Errorf("object %d is reported as %+v", n, r)
		}
		at = r.End
		n++
		return nil
	})
	if err != nil || n != 3 {
		t.Errorf("%d objects, %v", n, err)
	}
	if _, err := engine.Inspect(dir); err != nil {
		t.Error(err)
	}
	if after := snapshotOf(t, dir); after != before {
		t.Errorf("the state folder was\n%s\nand is\n%s", before, after)
	}
}

func TestExportOfOneObject(t *testing.T) {
	dir, want := waiting(t)
	var b bytes.Buffer
	r, err := engine.Export(dir, engine.ExportSelection{From: int64(len(want[0])) + 7, Object: true}, &b)
	if err != nil || !bytes.Equal(b.Bytes(), want[1]) || r.Start != int64(len(want[0])) {
		t.Errorf("%d bytes, %+v, %v", b.Len(), r, err)
	}
	if _, err := engine.Export(dir, engine.ExportSelection{From: 1 << 40, Object: true}, &b); err == nil {
		t.Error("an object was found that is not there")
	}
}

func TestExportLeavesOutRottenBytesAndSaysWhich(t *testing.T) {
	dir, want := waiting(t)
	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	rot := bytes.Index(b, []byte("object 1, record 00950"))
	b[rot] ^= 1
	if err := os.WriteFile(slot, b, 0o600); err != nil {
		t.Fatal(err)
	}
	all := bytes.Join(want, nil)
	files := exportFolder{}
	err = engine.ExportObjects(dir, engine.ExportSelection{}, files.create, func(r engine.ExportReport) error {
		var good []byte
		for _, e := range r.Extents {
			good = append(good, all[e.Start:e.End]...)
		}
		if !bytes.Equal(files[r.File].Bytes(), good) {
			t.Errorf("%s is not what its extents say: %+v", r.File, r)
		}
		lost := r.Damaged()
		if lost+r.Bytes != r.End-r.Start || (lost > 0) != (r.Start == int64(len(want[0]))) {
			t.Errorf("%d bytes are damaged, %d exported: %+v", lost, r.Bytes, r)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
