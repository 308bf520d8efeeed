package transporttest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A vaultUpload is one that is open.
type vaultUpload struct {
	id, description string
	partSize        int64
	begun, touched  time.Time
	dir             string
	parts           map[int64]vaultPart // by their first byte
}

type vaultPart struct {
	size int64
	tree string
	file string
}

// finished is a Complete that succeeded.
type finished struct {
	archive VaultArchive
	at      time.Time
}

func (v *Vault) create(r *http.Request) *CannedReply {
	description := r.Header.Get("X-Amz-Archive-Description")
	size, err := strconv.ParseInt(r.Header.Get("X-Amz-Part-Size"), 10, 64)
	switch {
	case r.Header.Get("X-Amz-Part-Size") == "":
		return missingValue("x-amz-part-size")
	case err != nil || size < 1<<20 || size > 4<<30 || bits.OnesCount64(uint64(size)) != 1:
		return wrongValue("Invalid part size: %s. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes.", r.Header.Get("X-Amz-Part-Size"))
	case len(description) > 1024 || strings.ContainsFunc(description, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return wrongValue("Invalid x-amz-archive-description: must be at most 1024 characters of 0x20-0x7E")
	}
	u := &vaultUpload{id: rand.Text() + rand.Text(), description: description, partSize: size, begun: v.now(), touched: v.now(), parts: map[int64]vaultPart{}}
	u.dir = filepath.Join(v.dir, "upload-"+u.id)
	if err := os.Mkdir(u.dir, 0o755); err != nil {
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	}
	v.uploads[u.id] = u
	if v.tallies[description] == nil {
		v.tallies[description] = &VaultTally{Parts: map[string]int{}}
	}
	v.tallies[description].Created++
	return &CannedReply{Status: 201, Header: map[string]string{
		"X-Amz-Multipart-Upload-Id": u.id,
		"Location":                  fmt.Sprintf("/%s/vaults/%s/multipart-uploads/%s", v.Account, v.Name, u.id),
	}}
}

func unknownUpload(id string) *CannedReply {
	return vaultError(404, "ResourceNotFoundException", "The upload ID was not found: %.60s", id)
}

// part takes a part. Its body goes to a file before the lock is taken.
func (v *Vault) part(r *http.Request, c call) *CannedReply {
	tree, linear := r.Header.Get("X-Amz-Sha256-Tree-Hash"), r.Header.Get("X-Amz-Content-Sha256")
	first, size, refusal := v.rangeOf(r, c.id)
	switch {
	case refusal != nil:
		return refusal
	case tree == "":
		return missingValue("x-amz-sha256-tree-hash")
	case r.ContentLength != size:
		return wrongValue("Content-Length %d does not match Content-Range %s", r.ContentLength, r.Header.Get("Content-Range"))
	}
	file := v.temp()
	defer os.Remove(file) // it fails if the file has become the part's
	if err := save(file, r.Body, size); err != nil {
		return vaultError(408, "RequestTimeoutException", "Request timed out: %v", err)
	}
	gotTree, gotLinear, err := v.hasher.Hash(file)
	switch {
	case err != nil:
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	case gotLinear != linear:
		return wrongValue("x-amz-content-sha256 mismatch: the hash of the body is %s", gotLinear)
	case gotTree != tree:
		return wrongValue("Checksum mismatch: expected SHA-256 tree hash %s, actual %s", tree, gotTree)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	u := v.uploads[c.id]
	if u == nil {
		return unknownUpload(c.id)
	}
	kept := filepath.Join(u.dir, strconv.FormatInt(first, 10))
	if err := os.Rename(file, kept); err != nil {
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	}
	tally := v.tallies[u.description]
	tally.Parts[u.id]++
	if _, again := u.parts[first]; again {
		tally.Repeated++
	}
	u.parts[first], u.touched = vaultPart{size, tree, kept}, v.now()
	return &CannedReply{Status: 204, Header: map[string]string{"X-Amz-Sha256-Tree-Hash": gotTree}}
}

// rangeOf reads where a part belongs and checks that it may be there.
func (v *Vault) rangeOf(r *http.Request, id string) (first, size int64, refusal *CannedReply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	u, text := v.uploads[id], r.Header.Get("Content-Range")
	var last int64
	n, err := fmt.Sscanf(text, "bytes %d-%d/*", &first, &last)
	switch {
	case u == nil:
		return 0, 0, unknownUpload(id)
	case text == "":
		return 0, 0, missingValue("Content-Range")
	case n != 2 || err != nil || first < 0 || last < first || text != fmt.Sprintf("bytes %d-%d/*", first, last):
		return 0, 0, wrongValue("Invalid Content-Range: %s", text)
	case first%u.partSize != 0 || last-first+1 > u.partSize:
		return 0, 0, wrongValue("Content-Range: %s is incompatible with part size of %d bytes", text, u.partSize)
	case first/u.partSize >= 10_000:
		return 0, 0, wrongValue("Content-Range: %s is beyond 10,000 parts", text)
	}
	return first, last - first + 1, nil
}

func save(file string, body io.Reader, size int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(body, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, f.Close())
}

// complete assembles an archive. The upload stays open if anything is wrong.
func (v *Vault) complete(r *http.Request, id string) *CannedReply {
	sizeText, tree := r.Header.Get("X-Amz-Archive-Size"), r.Header.Get("X-Amz-Sha256-Tree-Hash")
	size, err := strconv.ParseInt(sizeText, 10, 64)
	switch {
	case sizeText == "":
		return missingValue("x-amz-archive-size")
	case tree == "":
		return missingValue("x-amz-sha256-tree-hash")
	case err != nil || size < 0:
		return wrongValue("Invalid x-amz-archive-size: %s", sizeText)
	}
	if f, ok := v.done[id]; ok {
		if f.archive.Size != size || f.archive.TreeHash != tree {
			return wrongValue("The upload was completed with another size or tree hash")
		}
		return v.created(f.archive)
	}
	u := v.uploads[id]
	if u == nil {
		return unknownUpload(id)
	}
	var end int64
	var files []string
	for _, first := range slices.Sorted(maps.Keys(u.parts)) {
		if first != end {
			return wrongValue("Missing content range: %d-%d", end, first-1)
		}
		p := u.parts[first]
		end, files = end+p.size, append(files, p.file)
	}
	if end != size || end == 0 {
		return wrongValue("Archive size mismatch: expected %d, actual %d", size, end)
	}
	got, _, err := v.hasher.Hash(files...)
	if err != nil {
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	}
	if got != tree {
		return wrongValue("Checksum mismatch: expected SHA-256 tree hash %s, actual %s", tree, got)
	}
	a := VaultArchive{ID: rand.Text() + rand.Text() + rand.Text(), Upload: id, Description: u.description, TreeHash: tree, Size: size, Created: v.now()}
	a.File = filepath.Join(v.dir, "archive-"+a.ID)
	if err := errors.Join(assemble(a.File, files), os.RemoveAll(u.dir)); err != nil {
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	}
	delete(v.uploads, id)
	v.archives = append(v.archives, a)
	v.done[id] = finished{a, v.now()}
	return v.created(a)
}

func (v *Vault) created(a VaultArchive) *CannedReply {
	return &CannedReply{Status: 201, Header: map[string]string{
		"X-Amz-Archive-Id":       a.ID,
		"X-Amz-Sha256-Tree-Hash": a.TreeHash,
		"Location":               fmt.Sprintf("/%s/vaults/%s/archives/%s", v.Account, v.Name, a.ID),
	}}
}

// assemble moves files into one, each gone before the next is copied.
func assemble(to string, files []string) error {
	if err := os.Rename(files[0], to); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	for _, name := range files[1:] {
		in, err := os.Open(name)
		if err == nil {
			_, err = io.Copy(out, in)
			err = errors.Join(err, in.Close(), os.Remove(name))
		}
		if err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return out.Close()
}

func (v *Vault) abort(id string) *CannedReply {
	u := v.uploads[id]
	if _, done := v.done[id]; done {
		return wrongValue("The upload was completed and cannot be aborted")
	}
	if u == nil {
		return unknownUpload(id)
	}
	delete(v.uploads, id)
	if err := os.RemoveAll(u.dir); err != nil {
		return vaultError(500, "ServiceUnavailableException", "%v", err)
	}
	return &CannedReply{Status: 204}
}

func (v *Vault) listParts(r *http.Request, id string) *CannedReply {
	u := v.uploads[id]
	if u == nil {
		return unknownUpload(id)
	}
	starts := slices.Sorted(maps.Keys(u.parts))
	from, to, next, refusal := v.page(r, len(starts))
	if refusal != nil {
		return refusal
	}
	parts := []map[string]any{}
	for _, first := range starts[from:to] {
		p := u.parts[first]
		parts = append(parts, map[string]any{"RangeInBytes": fmt.Sprintf("%d-%d", first, first+p.size-1), "SHA256TreeHash": p.tree})
	}
	return vaultReply(200, map[string]any{
		"ArchiveDescription": u.description, "CreationDate": stamp(u.begun), "Marker": next, "MultipartUploadId": u.id,
		"PartSizeInBytes": u.partSize, "Parts": parts, "VaultARN": v.arn(),
	})
}

func (v *Vault) listUploads(r *http.Request) *CannedReply {
	all := slices.SortedFunc(maps.Values(v.uploads), func(a, b *vaultUpload) int {
		return cmp.Or(a.begun.Compare(b.begun), cmp.Compare(a.id, b.id))
	})
	from, to, next, refusal := v.page(r, len(all))
	if refusal != nil {
		return refusal
	}
	list := []map[string]any{}
	for _, u := range all[from:to] {
		list = append(list, map[string]any{
			"ArchiveDescription": u.description, "CreationDate": stamp(u.begun), "MultipartUploadId": u.id, "PartSizeInBytes": u.partSize, "VaultARN": v.arn(),
		})
	}
	return vaultReply(200, map[string]any{"Marker": next, "UploadsList": list})
}
