package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

var exportCommand = command{
	name: "export", short: "copy the bytes that a state folder still holds",
	long: `Of one stream the bytes go to standard output or to a new file, and what was
copied and what was missing, as JSON, to standard error. With -o FOLDER, one that
is there or a name that ends with a slash, each object becomes a file in it, and
manifest.jsonl says a line for each: stream, offsets, times, gaps, checksums. It
exits with 1 if bytes are damaged; they are left out, and the manifest says which.`,
	setup: func(fs *flag.FlagSet) action {
		state := stateFlags(fs)
		stream := fs.String("stream", "", "the `NAME` of the stream; needed for one file if there are several")
		from := fs.Int64("from", 0, "begin at `OFFSET` of the stream")
		to := fs.Int64("to", 0, "end before `OFFSET`; 0 for all that is kept")
		object := fs.Int64("object", -1, "only the object that holds `OFFSET`")
		epoch := fs.String("epoch", "", "of several streams with one name, that of `EPOCH`")
		path := fs.String("o", "", "write to the new file or into the folder `PATH`")
		return func(_ context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			selection := engine.ExportSelection{Stream: *stream, Epoch: *epoch, From: *from, To: *to}
			if *object >= 0 {
				selection.From, selection.Object = *object, true
			}
			if *from < 0 || *to < 0 || *to > 0 && *to < *from || *object >= 0 && (*from > 0 || *to > 0) {
				return usagef("--from %d --to %d --object %d is no range", *from, *to, *object)
			}
			dir, err := state()
			if err != nil {
				return err
			}
			if strings.HasSuffix(*path, "/") {
				if err := os.MkdirAll(*path, 0o700); err != nil {
					return err
				}
			}
			info, err := os.Stat(*path)
			switch {
			case *path == "" && text.IsTerminal(out.Out):
				return usagef("bytes do not go to a terminal; use -o FILE, -o FOLDER or a pipe")
			case *path == "":
				return export(out.Out, dir, selection, out.Err)
			case err == nil && info.IsDir():
				return exportInto(*path, dir, selection, out.Out)
			}
			return exportTo(*path, dir, selection, out.Err)
		}
	},
}

// fresh makes a file that does not exist yet: no export overwrites another.
func fresh(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func exportTo(path, dir string, selection engine.ExportSelection, report io.Writer) error {
	f, err := fresh(path)
	if err != nil {
		return err
	}
	err = export(f, dir, selection, report)
	if info, failed := f.Stat(); err != nil && failed == nil && info.Size() == 0 {
		_ = os.Remove(path) // or it would be in the way of the next try
	}
	return errors.Join(err, f.Close())
}

func export(w io.Writer, dir string, selection engine.ExportSelection, report io.Writer) error {
	b := bufio.NewWriterSize(w, 64<<10)
	result, err := engine.Export(dir, selection, b)
	if err = errors.Join(err, b.Flush()); err != nil {
		return err
	}
	if err := json.NewEncoder(report).Encode(result); err != nil {
		return err
	}
	return damaged(result.Damaged())
}

// damaged is the error of an export that had to leave bytes out.
func damaged(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	return fmt.Errorf("%d bytes are damaged on flash and were left out; the manifest says which", bytes)
}

// exportInto makes a file of each object, and the manifest.
func exportInto(folder, dir string, selection engine.ExportSelection, out io.Writer) (err error) {
	f, err := fresh(filepath.Join(folder, "manifest.jsonl"))
	if err != nil {
		return err
	}
	manifest := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, manifest.Flush(), f.Close()) }()
	var objects int
	var bytes, lost int64
	err = engine.ExportObjects(dir, selection,
		func(name string) (io.WriteCloser, error) {
			f, err := fresh(filepath.Join(folder, name))
			if err != nil {
				return nil, err
			}
			return &buffered{bufio.NewWriterSize(f, 64<<10), f}, nil
		},
		func(r engine.ExportReport) error {
			objects++
			bytes += r.Bytes
			lost += r.Damaged()
			return json.NewEncoder(manifest).Encode(r)
		})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s, %s in %s\n", count(objects, "object"), text.Bytes(bytes), folder); err != nil {
		return err
	}
	return damaged(lost)
}

// buffered is a file that is written in large pieces.
type buffered struct {
	*bufio.Writer
	file *os.File
}

// Close writes what waits, and closes the file.
func (b *buffered) Close() error { return errors.Join(b.Flush(), b.file.Close()) }
