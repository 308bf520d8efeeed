package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"regexp"

	"github.com/seed-7270d448/dray/transport"
)

// Names below Config.Path.
const (
	hidden     = ".dray"
	uploadsDir = hidden + "/uploads"
	metaDir    = hidden + "/meta"
	dataFile   = "data"
	partsFile  = "parts"
	objectFile = "object.json"
)

const bufferSize = 64 << 10 // what a call copies at a time, in bytes

func uploadPath(id, name string) string { return path.Join(uploadsDir, id, name) }

// keyHash stands for a key where its length or its slashes would be in the way.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

var idForm = regexp.MustCompile(`^[0-9a-f]{32}-(put-)?[0-9A-Z]{26}$`)

// object is what object.json and a claim hold.
type object struct {
	Key      string            `json:"key"`
	Size     int64             `json:"size"` // -1 in object.json if it was not known yet
	Checksum string            `json:"checksum,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func (o object) stored() *transport.Stored {
	return &transport.Stored{Size: o.Size, Checksum: o.Checksum, Metadata: o.Metadata}
}

// describe is the object as a claim holds it.
func describe(o transport.Object) object {
	return object{Key: o.Key, Size: o.Size, Checksum: transport.ChecksumPrefix + transport.EncodeCRC32C(o.CRC32C), Metadata: o.Metadata}
}

// Create makes the upload's folder. It is durable when it returns.
func (d *Destination) Create(ctx context.Context, o transport.Object) (string, error) {
	const op = "create"
	root, err := d.begin(ctx, op, o)
	if err != nil {
		return "", err
	}
	defer root.Close() // a folder, opened for reading
	id := keyHash(o.Key) + "-" + rand.Text()
	if err := makeFolders(root, uploadsDir); err != nil {
		return "", fail(op, o.Key, err)
	}
	made := describe(o)
	if o.Size < 0 {
		made.Checksum = ""
	}
	if err := fillUpload(root, id, made); err != nil {
		// What is left of it, if anything, Find sees.
		return "", fail(op, o.Key, unsure(errors.Join(err, root.RemoveAll(path.Join(uploadsDir, id)))))
	}
	return id, nil
}

// fillUpload makes the folder of an upload and its three files, durably.
func fillUpload(root *os.Root, id string, o object) error {
	if err := root.Mkdir(path.Join(uploadsDir, id), 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{objectFile: text, dataFile: nil, partsFile: nil} {
		if err := writeNew(root, uploadPath(id, name), b); err != nil {
			return err
		}
	}
	return errors.Join(syncFolder(root, path.Join(uploadsDir, id)), syncFolder(root, uploadsDir))
}

// UploadPart writes the part at its place in the object. Its bytes and its
// record are durable when it returns.
func (d *Destination) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, body transport.Body) (transport.PartReceipt, error) {
	const op = "upload part"
	var none transport.PartReceipt
	root, err := d.begin(ctx, op, u.Object)
	if err != nil {
		return none, err
	}
	defer root.Close()
	if !idForm.MatchString(u.ID) {
		return none, fail(op, u.Object.Key, gone(u.ID))
	}
	if err := checkPart(u, p, body); err != nil {
		return none, &transport.Error{Op: op, Key: u.Object.Key, Parts: []int{p.Number}, Kind: transport.Invalid, Err: err}
	}
	defer d.gate.part(u.ID, fmt.Sprint(u.ID, "/", p.Number))()
	if err := writePart(ctx, root, u.ID, p, body); err != nil {
		e := fail(op, u.Object.Key, err)
		e.Parts = []int{p.Number}
		if errors.Is(err, os.ErrNotExist) {
			e.Kind, e.Err = transport.Gone, fmt.Errorf("no such upload %q: %w", u.ID, err)
		}
		return none, e
	}
	return transport.PartReceipt{Number: p.Number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true}, nil
}

// checkPart says what is wrong with a part.
func checkPart(u transport.Upload, p transport.Part, body transport.Body) error {
	switch {
	case p.Number < 1 || p.Number > maxParts:
		return fmt.Errorf("part number must be 1 to %d", maxParts)
	case p.Size < 0 || p.Offset < 0 || p.Size > maxObject || p.Offset > maxObject-p.Size:
		return fmt.Errorf("%d bytes at %d: out of bounds", p.Size, p.Offset)
	case u.PartSize > 0 && p.Offset != int64(p.Number-1)*u.PartSize:
		return fmt.Errorf("offset %d: must be %d", p.Offset, int64(p.Number-1)*u.PartSize)
	case body.Size() != p.Size:
		return fmt.Errorf("body has %d bytes, the part %d", body.Size(), p.Size)
	}
	return nil
}

// writePart voids the record, writes the bytes, writes the record, each
// durable before the next begins.
func writePart(ctx context.Context, root *os.Root, id string, p transport.Part, body transport.Body) (err error) {
	data, err := root.OpenFile(uploadPath(id, dataFile), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if err := notPublished(data); err != nil {
		return err
	}
	parts, err := root.OpenFile(uploadPath(id, partsFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	if err := voidRecord(parts, p.Number); err != nil {
		return err
	}
	if err := copyBody(ctx, io.NewOffsetWriter(data, p.Offset), body, p.Size, p.CRC32C); err != nil {
		return err
	}
	if err := data.Sync(); err != nil {
		return err
	}
	if err := writeSync(parts, encodeRecord(p), int64(p.Number-1)*recordSize); err != nil {
		return unsure(err)
	}
	return nil
}

// copyBody copies exactly size bytes and checks them against crc.
func copyBody(ctx context.Context, w io.Writer, body transport.Body, size int64, crc uint32) error {
	corrupt := func(err error) error { return &cause{kind: transport.Corrupt, err: err} }
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return corrupt(fmt.Errorf("seek body: %w", err))
	}
	var (
		buf  = make([]byte, bufferSize)
		got  uint32
		done int64
	)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buf)
		if done += int64(n); done > size {
			return corrupt(fmt.Errorf("body has more than %d bytes", size))
		}
		got = crc32.Update(got, transport.Castagnoli, buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF):
			return corrupt(fmt.Errorf("read body: %w", err))
		case done < size:
			return corrupt(fmt.Errorf("body ends after %d of %d bytes: %w", done, size, io.ErrUnexpectedEOF))
		case got != crc:
			return corrupt(fmt.Errorf("body has CRC32C %08x, announced %08x: %w", got, crc, transport.ErrChecksum))
		}
		return nil
	}
}

// Parts lists the parts whose bytes are durable.
func (d *Destination) Parts(ctx context.Context, u transport.Upload) ([]transport.PartReceipt, error) {
	const op = "list parts"
	root, err := d.begin(ctx, op, u.Object)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	held, err := heldParts(root, u)
	if err != nil {
		return nil, fail(op, u.Object.Key, err)
	}
	receipts := make([]transport.PartReceipt, len(held))
	for i, p := range held {
		receipts[i] = transport.PartReceipt{Number: p.Number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true}
	}
	return receipts, nil
}

// heldParts is readRecords for an upload that may not exist: then Gone.
func heldParts(root *os.Root, u transport.Upload) ([]transport.Part, error) {
	if !idForm.MatchString(u.ID) {
		return nil, gone(u.ID)
	}
	held, err := readRecords(root, u.ID)
	if errors.Is(err, os.ErrNotExist) {
		return nil, gone(u.ID)
	}
	return held, err
}

func gone(id string) error {
	return &cause{kind: transport.Gone, err: fmt.Errorf("no such upload %q", id)}
}

// Abort removes the upload's folder. A claim that it made of its key stays: it
// fits whatever sends the same object again, and nothing else may have the key.
func (d *Destination) Abort(ctx context.Context, u transport.Upload) error {
	const op = "abort"
	root, err := d.begin(ctx, op, u.Object)
	if err != nil {
		return err
	}
	defer root.Close()
	if !idForm.MatchString(u.ID) {
		return nil // not ours, so it does not exist
	}
	defer d.gate.whole(u.ID)()
	if err := removeUpload(root, u.ID); err != nil {
		return fail(op, u.Object.Key, unsure(err))
	}
	return nil
}

// removeUpload removes the folder durably: one that came back after a power
// cut would be a leftover without an owner.
func removeUpload(root *os.Root, id string) error {
	if err := root.RemoveAll(path.Join(uploadsDir, id)); err != nil {
		return err
	}
	err := syncFolder(root, uploadsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
