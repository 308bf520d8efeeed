package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/transport"
)

// Put writes the object beside its key and publishes it. It can be repeated.
func (d *Destination) Put(ctx context.Context, o transport.Object, body transport.Body) (transport.Receipt, error) {
	const op = "put"
	var none transport.Receipt
	root, err := d.begin(ctx, op, o)
	if err != nil {
		return none, err
	}
	defer root.Close()
	if o.Size < 0 || body.Size() != o.Size {
		err := fmt.Errorf("body has %d bytes, the object %d", body.Size(), o.Size)
		return none, &transport.Error{Op: op, Key: o.Key, Kind: transport.Invalid, Err: err}
	}
	// One Put of a key at a time: the next removes what an earlier one left.
	prefix := keyHash(o.Key) + "-put-"
	defer d.gate.whole(prefix)()
	ours, err := present(root, o)
	if err != nil {
		return none, fail(op, o.Key, err)
	}
	if err := removeLeftPuts(root, prefix); err != nil {
		return none, fail(op, o.Key, err)
	}
	if ours {
		return d.receipt(o), nil
	}
	id := prefix + rand.Text()
	err = makeFolders(root, path.Join(uploadsDir, id))
	if err == nil {
		err = writeWhole(ctx, root, uploadPath(id, dataFile), o, body)
	}
	if err == nil {
		err = publish(root, id, o)
	}
	if err != nil {
		return none, fail(op, o.Key, errors.Join(err, removeUpload(root, id)))
	}
	if err := removeUpload(root, id); err != nil {
		return none, fail(op, o.Key, unsure(err))
	}
	return d.receipt(o), nil
}

// writeWhole writes a body to a new file, durably.
func writeWhole(ctx context.Context, root *os.Root, name string, o transport.Object, body transport.Body) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = copyBody(ctx, f, body, o.Size, o.CRC32C)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// removeLeftPuts removes what a Put of this key left that was cut short. It
// syncs also if there is nothing: a Put that was killed may just have removed it.
func removeLeftPuts(root *os.Root, prefix string) error {
	names, err := uploadNames(root, prefix)
	for _, name := range names {
		err = errors.Join(err, root.RemoveAll(path.Join(uploadsDir, name)))
	}
	if err != nil {
		return err
	}
	if err := syncFolder(root, uploadsDir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Complete makes the parts into the object. It can be repeated, also after the
// folder of the upload is gone.
func (d *Destination) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	const op = "complete"
	var none transport.Receipt
	o := u.Object
	root, err := d.begin(ctx, op, o)
	if err != nil {
		return none, err
	}
	defer root.Close()
	defer d.gate.whole(u.ID)()
	ours, err := present(root, o)
	if err != nil {
		return none, fail(op, o.Key, err)
	}
	if !ours {
		if err := checkHeld(root, u, parts); err != nil {
			return none, fail(op, o.Key, err)
		}
		if err := trim(root, u.ID, o.Size); err != nil {
			return none, fail(op, o.Key, err)
		}
		if err := publish(root, u.ID, o); err != nil {
			return none, fail(op, o.Key, err)
		}
	}
	if idForm.MatchString(u.ID) {
		if err := removeUpload(root, u.ID); err != nil {
			return none, fail(op, o.Key, unsure(err))
		}
	}
	return d.receipt(o), nil
}

// checkHeld compares what the caller believes with what is on the disk.
func checkHeld(root *os.Root, u transport.Upload, parts []transport.PartReceipt) error {
	held, err := heldParts(root, u)
	if err != nil {
		return err
	}
	has := make(map[int]transport.Part, len(held))
	for _, p := range held {
		has[p.Number] = p
	}
	missing, err := u.Object.CheckParts(parts, u.PartSize)
	if err != nil {
		kind := transport.Invalid
		if errors.Is(err, transport.ErrChecksum) {
			kind = transport.Corrupt
		}
		return &cause{kind: kind, err: err}
	}
	var (
		whole  = len(missing) == 0 // then the offset of each part is known
		offset int64
		real   []transport.PartReceipt
	)
	for _, p := range parts {
		h, ok := has[p.Number]
		if !ok || h.Size != p.Size || whole && h.Offset != offset || p.HasCRC && p.CRC32C != h.CRC32C {
			missing = append(missing, p.Number)
		}
		offset += p.Size
		real = append(real, transport.PartReceipt{Number: h.Number, Size: h.Size, CRC32C: h.CRC32C, HasCRC: true})
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return &cause{kind: transport.Missing, parts: missing, err: errors.New("not on the disk, or other bytes than the receipt says")}
	}
	if _, err := u.Object.CheckParts(real, u.PartSize); err != nil {
		return &cause{kind: transport.Corrupt, err: err}
	}
	return nil
}

// trim cuts off what a part left behind the object's end that was replaced by
// a shorter one, and checks that nothing is too short.
func trim(root *os.Root, id string, size int64) (err error) {
	f, err := root.OpenFile(uploadPath(id, dataFile), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return gone(id)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	end, err := f.Seek(0, io.SeekEnd)
	switch {
	case err != nil || end == size:
		return err
	case end < size:
		return fmt.Errorf("%s has %d of %d bytes: the file system lost some", uploadPath(id, dataFile), end, size)
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// publish claims the key and moves the upload's data there. Every failure from
// the claim on leaves the outcome open: the next call goes on from it.
func publish(root *os.Root, id string, o transport.Object) error {
	if err := claim(root, id, o); err != nil {
		return err
	}
	if err := makeFolders(root, path.Dir(o.Key)); err != nil {
		return err
	}
	if err := moveNew(root, uploadPath(id, dataFile), o.Key); err != nil {
		if errors.Is(err, os.ErrExist) {
			return taken("a file that is not this object has its name")
		}
		return err
	}
	if err := syncFolder(root, path.Dir(o.Key)); err != nil {
		return unsure(err)
	}
	return nil
}

// claim gives the key its claim file, or finds its own there.
func claim(root *os.Root, id string, o transport.Object) error {
	dst := claimPath(o.Key)
	if err := makeFolders(root, path.Dir(dst)); err != nil {
		return err
	}
	text, err := json.Marshal(describe(o))
	if err != nil {
		return err
	}
	// A claim half written before a power cut is in the way of no one.
	src := uploadPath(id, "claim")
	if err := root.Remove(src); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeNew(root, src, append(text, '\n')); err != nil {
		return err
	}
	err = moveNew(root, src, dst)
	if errors.Is(err, os.ErrExist) {
		have, err := readObject(root, dst)
		if err != nil && !errors.Is(err, errNotAnObject) {
			return err
		}
		if !have.stored().IsObject(o) { // nor is it if it cannot be read
			return taken("claimed by another object in " + dst)
		}
	} else if err != nil {
		return err
	}
	return syncFolder(root, path.Dir(dst))
}

func claimPath(key string) string {
	h := keyHash(key)
	return path.Join(metaDir, h[:2], h[2:]+".json")
}

func taken(why string) error {
	return &cause{kind: transport.Conflict, err: fmt.Errorf("key is taken: %s", why)}
}

// present reports whether the object is there; Conflict if something else is.
// What is there is synced once more: an earlier call may have failed just
// before it had done so.
func present(root *os.Root, o transport.Object) (bool, error) {
	have, err := lookup(root, o.Key)
	if have == nil || err != nil {
		return false, err
	}
	if !have.IsObject(o) {
		return false, taken("a file that is not this object has its name")
	}
	for dir := path.Dir(o.Key); ; dir = path.Dir(dir) {
		if err := syncFolder(root, dir); err != nil {
			return false, err
		}
		if dir == "." {
			return true, nil
		}
	}
}

func (d *Destination) receipt(o transport.Object) transport.Receipt {
	return transport.Receipt{
		Size:     o.Size,
		Checksum: describe(o).Checksum,
		Location: filepath.Join(d.path, filepath.FromSlash(o.Key)),
	}
}

// uploadNames lists the folders in uploads that begin with prefix.
func uploadNames(root *os.Root, prefix string) ([]string, error) {
	f, err := root.Open(uploadsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	var names []string
	for {
		batch, err := f.Readdirnames(256)
		for _, name := range batch {
			if strings.HasPrefix(name, prefix) && idForm.MatchString(name) {
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
