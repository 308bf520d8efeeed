package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/transport"
)

// Find looks the key up. A file at the key that Dray did not put there is
// found too: with its size, without a checksum or metadata.
func (d *Destination) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	const op = "find"
	root, err := d.begin(ctx, op, transport.Object{Key: key})
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	stored, err := lookup(root, key)
	uploads, uploadsErr := findUploads(root, key)
	if err := errors.Join(err, uploadsErr); err != nil {
		return uploads, stored, fail(op, key, err)
	}
	return uploads, stored, nil
}

func findUploads(root *os.Root, key string) ([]transport.Upload, error) {
	names, err := uploadNames(root, keyHash(key)+"-")
	if err != nil {
		return nil, err
	}
	type aged struct {
		transport.Upload
		made time.Time
	}
	var found []aged
	for _, id := range names {
		u := aged{Upload: transport.Upload{ID: id, Object: transport.Object{Key: key, Size: -1}}}
		// Absent or torn if Create or Put was cut short: an upload all the same.
		if o, err := readObject(root, uploadPath(id, objectFile)); err == nil && o.Key == key {
			u.Object.Metadata = o.Metadata
		}
		for _, name := range []string{objectFile, ""} {
			if info, err := root.Stat(uploadPath(id, name)); err == nil {
				u.made = info.ModTime()
				break
			}
		}
		found = append(found, u)
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := &found[i], &found[j]
		return cmp.Or(a.made.Compare(b.made), cmp.Compare(a.ID, b.ID)) < 0
	})
	uploads := make([]transport.Upload, len(found))
	for i, u := range found {
		uploads[i] = u.Upload
	}
	return uploads, nil
}

// lookup describes the object at key; nil if there is none: nothing, or
// something that is not a file.
func lookup(root *os.Root, key string) (*transport.Stored, error) {
	info, err := root.Lstat(key)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	o, err := readObject(root, claimPath(key))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotAnObject) || err == nil && (o.Key != key || o.Size != info.Size()) {
		return &transport.Stored{Size: info.Size()}, nil
	}
	if err != nil {
		return nil, err
	}
	return o.stored(), nil
}

const maxObjectFile = 64 << 10 // bytes; a key and 2 KiB of metadata take far less

var errNotAnObject = errors.New("not a description of an object")

// readObject reads object.json or a claim.
func readObject(root *os.Root, name string) (o object, err error) {
	f, err := root.Open(name)
	if err != nil {
		return o, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxObjectFile))
	if err := errors.Join(err, f.Close()); err != nil {
		return o, fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("%s: %w: %w", path.Base(name), errNotAnObject, err)
	}
	return o, nil
}
