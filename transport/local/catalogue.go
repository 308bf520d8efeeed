package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/transport"
)

var (
	_ transport.Catalogue = (*Destination)(nil)
	_ transport.Examiner  = (*Destination)(nil)
)

// Stat looks at the object alone.
func (d *Destination) Stat(ctx context.Context, key string) (*transport.Stored, error) {
	const op = "stat"
	root, err := d.begin(ctx, op, transport.Object{Key: key})
	if err != nil {
		return nil, err
	}
	defer root.Close() // a folder, opened for reading
	stored, err := lookup(root, key)
	if err != nil {
		return nil, fail(op, key, err)
	}
	return stored, nil
}

// Objects walks the folders below the path. Links are not followed, and
// Dray's own folder is left out.
func (d *Destination) Objects(ctx context.Context, prefix string, fn func(transport.Entry) error) error {
	const op = "list objects"
	root, err := d.open(ctx, op, prefix)
	if err != nil {
		return err
	}
	defer root.Close()                                     // a folder, opened for reading
	begin := prefix[:strings.LastIndexByte(prefix, '/')+1] // the folder that all keys with the prefix are in
	if first, _, _ := strings.Cut(begin, "/"); first == hidden {
		return nil
	}
	var told error // by fn
	err = walk(ctx, root, path.Clean("./"+begin), func(key string, info os.FileInfo) error {
		if strings.HasPrefix(key, prefix) && transport.CheckKey(key) == nil {
			told = fn(transport.Entry{Key: key, Size: info.Size()})
		}
		return told
	})
	switch {
	case told != nil:
		return told
	case err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
		return fail(op, prefix, err)
	}
	return nil
}

// walk calls fn with each regular file below dir, one batch of names in memory
// for each folder on the way down.
func walk(ctx context.Context, root *os.Root, dir string, fn func(key string, info os.FileInfo) error) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch, err := f.Readdirnames(256)
		for _, name := range batch {
			key := path.Join(dir, name)
			info, err := root.Lstat(key)
			switch {
			case key == hidden || errors.Is(err, os.ErrNotExist): // gone since it was listed
			case err != nil:
				return err
			case info.IsDir():
				err = walk(ctx, root, key, fn)
			case info.Mode().IsRegular():
				err = fn(key, info)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Uploads lists the folders of unfinished uploads. One whose description was
// torn by a power cut names no key and is left out; Find sees it.
func (d *Destination) Uploads(ctx context.Context, prefix string, fn func(transport.Upload, time.Time) error) error {
	const op = "list uploads"
	root, err := d.open(ctx, op, prefix)
	if err != nil {
		return err
	}
	defer root.Close() // a folder, opened for reading
	ids, err := uploadNames(root, "")
	if err != nil {
		return fail(op, prefix, err)
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return fail(op, prefix, err)
		}
		o, err := readObject(root, uploadPath(id, objectFile))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotAnObject) {
			continue
		}
		if err != nil {
			return fail(op, prefix, err)
		}
		if !strings.HasPrefix(o.Key, prefix) || transport.CheckKey(o.Key) != nil {
			continue
		}
		var begun time.Time
		if info, err := root.Stat(uploadPath(id, objectFile)); err == nil {
			begun = info.ModTime()
		}
		if err := fn(transport.Upload{ID: id, Object: transport.Object{Key: o.Key, Size: -1, Metadata: o.Metadata}}, begun); err != nil {
			return err
		}
	}
	return nil
}

// Lacks names what the file system wants.
func (d *Destination) Lacks(_ transport.Trial, err error) string {
	switch {
	case errors.Is(err, unix.EROFS):
		return "a file system mounted read-write on " + d.path
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "the right to write below " + d.path
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "free space below " + d.path
	case transport.KindOf(err) == transport.Offline:
		return "the folder " + d.path
	}
	return ""
}

// Spares nothing: a folder takes every trial.
func (d *Destination) Spares(transport.Trial) string { return "" }

// Examine has nothing to add: every trial of a folder is a plain one.
func (d *Destination) Examine(context.Context, transport.Object, bool) []transport.Finding {
	return nil
}

// Remove deletes what a trial made, with its claim and the trial's empty folders.
func (d *Destination) Remove(ctx context.Context, key string) error {
	const op = "remove"
	if !slices.Contains(strings.Split(key, "/"), transport.TrialFolder) {
		err := fmt.Errorf("only what a trial made, under %s, is ever removed", transport.TrialFolder)
		return &transport.Error{Op: op, Key: key, Kind: transport.Invalid, Err: err}
	}
	root, err := d.begin(ctx, op, transport.Object{Key: key})
	if err != nil {
		return err
	}
	defer root.Close() // a folder, opened for reading
	for _, name := range []string{key, claimPath(key)} {
		if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(op, key, err)
		}
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil || path.Base(dir) == transport.TrialFolder {
			break // not empty: it is others' too
		}
	}
	return nil
}
