package local

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func newAt(t *testing.T, dir string) *Destination {
	t.Helper()
	d, err := New(Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// begun returns an upload of two parts, both sent.
func begun(t *testing.T, d *Destination, key string) (transport.Upload, []transport.PartReceipt, []byte) {
	t.Helper()
	b := transporttest.Bytes(1, MinPart+5)
	o := transporttest.Object(key, b)
	id, err := d.Create(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	u := transport.Upload{ID: id, Object: o, PartSize: MinPart}
	return u, []transport.PartReceipt{send(t, d, u, b, 1), send(t, d, u, b, 2)}, b
}

func send(t *testing.T, d *Destination, u transport.Upload, b []byte, n int) transport.PartReceipt {
	t.Helper()
	p, piece := transporttest.Part(d, b, n, u.PartSize)
	r, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody(piece))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantKind(t *testing.T, err error, kind transport.Kind, hint string) {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(err.Error(), hint) {
		t.Errorf("got %v (%v), want kind %v with %q", err, transport.KindOf(err), kind, hint)
	}
}

// wantClean checks that only claims are left in the hidden folder.
func wantClean(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, uploadsDir))
	if err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v, %v", uploadsDir, left, err)
	}
}

func wantFile(t *testing.T, name string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
		t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
	}
}

func TestAnAbsentPathIsWaitedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "stick")
	d := newAt(t, dir)
	o := transporttest.Object("key", []byte("x"))
	_, err := d.Create(t.Context(), o)
	wantKind(t, err, transport.Offline, "is it mounted?")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(t.Context(), o, transporttest.NewBody([]byte("x"))); err != nil {
		t.Error(err)
	}
	wantFile(t, filepath.Join(dir, "key"), []byte("x"))
}

func TestAnEmptyMountPointIsNotFilled(t *testing.T) {
	dir := t.TempDir()
	d, err := New(Config{Path: dir, Mount: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Create(t.Context(), transporttest.Object("key", nil))
	wantKind(t, err, transport.Offline, "nothing is mounted there; is it mounted?")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v, %v, want nothing", dir, left, err)
	}
	mounted, err := New(Config{Path: "/proc", Mount: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := mounted.checkMounted(); err != nil {
		t.Errorf("/proc: %v, want it seen as mounted", err)
	}
}

func TestErrnosMeanWhatTheEngineNeedsToKnow(t *testing.T) {
	for errno, want := range map[unix.Errno]struct {
		kind transport.Kind
		hint string
	}{
		unix.ENOSPC:       {transport.Temporary, "free some space"},
		unix.EDQUOT:       {transport.Temporary, "free some space"},
		unix.EIO:          {transport.Temporary, ""},
		unix.ESTALE:       {transport.Temporary, ""},
		unix.EROFS:        {transport.Denied, "mounted read-only"},
		unix.EACCES:       {transport.Denied, "may this user write"},
		unix.ENODEV:       {transport.Offline, ""},
		unix.ETIMEDOUT:    {transport.Offline, ""},
		unix.ENAMETOOLONG: {transport.Invalid, ""},
		unix.EFBIG:        {transport.Invalid, ""},
		unix.ENOTDIR:      {transport.Conflict, ""},
	} {
		wantKind(t, fail("put", "key", fmt.Errorf("write: %w", errno)), want.kind, want.hint)
	}
}

func TestKeysCannotLeaveThePath(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	d := newAt(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "file"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"out/file", "link", ".dray/meta/x", ".dray"} {
		if _, err := d.Put(t.Context(), transporttest.Object(key, nil), transporttest.NewBody(nil)); err == nil {
			t.Errorf("Put %s: no error", key)
		}
	}
	if got, err := os.ReadDir(outside); err != nil || len(got) > 0 {
		t.Errorf("outside: %v, %v, want nothing", got, err)
	}
	for _, id := range []string{"", "..", "../..", ".", "x/../..", strings.Repeat("a", 32) + "-put-"} {
		u := transport.Upload{ID: id, Object: transporttest.Object("key", nil)}
		if err := d.Abort(t.Context(), u); err != nil {
			t.Errorf("Abort of %q: %v", id, err)
		}
		_, err := d.Parts(t.Context(), u)
		wantKind(t, err, transport.Gone, "no such upload")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestAFileOfSomebodyElseIsNeverTouched(t *testing.T) {
	dir := t.TempDir()
	d := newAt(t, dir)
	name := filepath.Join(dir, "taken")
	if err := os.WriteFile(name, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := d.Put(t.Context(), transporttest.Object("taken", []byte("ours!!")), transporttest.NewBody([]byte("ours!!")))
	wantKind(t, err, transport.Conflict, "taken")
	u, parts, _ := begun(t, d, "taken/below")
	_, err = d.Complete(t.Context(), u, parts)
	wantKind(t, err, transport.Conflict, "")
	wantFile(t, name, []byte("theirs"))
	_, stored, err := d.Find(t.Context(), "taken")
	if err != nil || stored == nil || stored.Size != 6 || stored.Checksum != "" || stored.Metadata != nil {
		t.Errorf("Find: %+v, %v, want 6 bytes of unknown origin", stored, err)
	}
}

func TestAnUploadGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	u, parts, b := begun(t, newAt(t, dir), "a/b/key")
	d := newAt(t, dir)
	held, err := d.Parts(t.Context(), u)
	if err != nil || len(held) != 2 {
		t.Fatalf("Parts: %v, %v, want 2", held, err)
	}
	if _, err := d.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(dir, "a/b/key"), b)
	wantClean(t, dir)
}

// A power cut can fall between any two steps of Complete. What it leaves is
// made here with the same functions, and Complete is called again.
func TestCompleteGoesOnFromWhereverItWasCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(root *os.Root, u transport.Upload) error
	}{
		{"before anything", func(*os.Root, transport.Upload) error { return nil }},
		{"claim half written", func(root *os.Root, u transport.Upload) error {
			return writeNew(root, uploadPath(u.ID, "claim"), []byte(`{"ke`))
		}},
		{"claimed", func(root *os.Root, u transport.Upload) error { return claim(root, u.ID, u.Object) }},
		{"claimed, folders made", func(root *os.Root, u transport.Upload) error {
			return errors.Join(claim(root, u.ID, u.Object), makeFolders(root, path.Dir(u.Object.Key)))
		}},
		{"two names", func(root *os.Root, u transport.Upload) error {
			return errors.Join(claim(root, u.ID, u.Object), makeFolders(root, path.Dir(u.Object.Key)),
				root.Link(uploadPath(u.ID, dataFile), u.Object.Key))
		}},
		{"moved", func(root *os.Root, u transport.Upload) error { return publish(root, u.ID, u.Object) }},
		{"folder half removed", func(root *os.Root, u transport.Upload) error {
			return errors.Join(publish(root, u.ID, u.Object), root.Remove(uploadPath(u.ID, partsFile)))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			u, parts, b := begun(t, newAt(t, dir), "a/key")
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := tt.cut(root, u); err != nil {
				t.Fatal(err)
			}
			d := newAt(t, dir)
			if tt.name == "two names" {
				p, piece := transporttest.Part(d, b, 1, u.PartSize)
				_, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody(piece))
				wantKind(t, err, transport.Gone, "already complete")
			}
			r, err := d.Complete(t.Context(), u, parts)
			if err != nil || r.Size != u.Object.Size {
				t.Fatalf("Complete: %+v, %v", r, err)
			}
			wantFile(t, filepath.Join(dir, "a/key"), b)
			wantClean(t, dir)
			_, stored, err := d.Find(t.Context(), "a/key")
			if err != nil || stored == nil || !stored.IsObject(u.Object) {
				t.Errorf("Find: %+v, %v", stored, err)
			}
		})
	}
}

func TestAClaimIsForOneObjectOnly(t *testing.T) {
	dir := t.TempDir()
	d := newAt(t, dir)
	u, _, _ := begun(t, d, "key")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := claim(root, u.ID, u.Object); err != nil {
		t.Fatal(err)
	}
	other := transporttest.Object("key", []byte("other"))
	_, err = d.Put(t.Context(), other, transporttest.NewBody([]byte("other")))
	wantKind(t, err, transport.Conflict, "claimed by another object in "+claimPath("key"))
	if _, err := os.Stat(filepath.Join(dir, "key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("key: %v, want it free", err)
	}
}

func TestWhatACutLeavesOfCreateAndPutIsFoundAndRemoved(t *testing.T) {
	dir := t.TempDir()
	d := newAt(t, dir)
	for _, id := range []string{keyHash("key") + "-" + strings.Repeat("A", 26), keyHash("key") + "-put-" + strings.Repeat("B", 26)} {
		if err := os.MkdirAll(filepath.Join(dir, uploadsDir, id), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, uploadPath(id, objectFile)), []byte(`{"key":`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	uploads, _, err := d.Find(t.Context(), "key")
	if err != nil || len(uploads) != 2 {
		t.Errorf("Find: %v, %v, want 2 uploads", uploads, err)
	}
	o := transporttest.Object("key", []byte("x"))
	if _, err := d.Put(t.Context(), o, transporttest.NewBody([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	uploads, _, err = d.Find(t.Context(), "key")
	if err != nil || len(uploads) != 1 {
		t.Fatalf("Find after Put: %v, %v, want the upload that is not a Put's", uploads, err)
	}
	if err := d.Abort(t.Context(), uploads[0]); err != nil {
		t.Error(err)
	}
	wantClean(t, dir)
}

func TestARecordNeverDescribesOtherBytes(t *testing.T) {
	dir := t.TempDir()
	d := newAt(t, dir)
	u, _, b := begun(t, d, "key")
	// A replacement that fails halfway has overwritten some of the bytes.
	p, piece := transporttest.Part(d, b, 1, u.PartSize)
	liar := transporttest.NewBody(piece)
	liar.Bad = true
	_, err := d.UploadPart(t.Context(), u, p, liar)
	wantKind(t, err, transport.Corrupt, "")
	held, err := d.Parts(t.Context(), u)
	if err != nil || len(held) != 1 || held[0].Number != 2 {
		t.Errorf("Parts: %+v, %v, want part 2 alone", held, err)
	}
	// Nor does one that is torn.
	name := filepath.Join(dir, uploadPath(u.ID, partsFile))
	if err := os.Truncate(name, 2*recordSize-1); err != nil {
		t.Fatal(err)
	}
	if held, err = d.Parts(t.Context(), u); err != nil || len(held) > 0 {
		t.Errorf("Parts: %+v, %v, want none", held, err)
	}
}

func TestEveryWayToMoveNeverReplaces(t *testing.T) {
	for i, way := range ways {
		dir := t.TempDir()
		for name, text := range map[string]string{"new": "new", "taken": "old"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd := int(f.Fd())
		if err := way(move{fd, fd, "new", "taken"}); !errors.Is(err, os.ErrExist) {
			t.Errorf("way %d to a taken name: %v, want EEXIST", i, err)
		}
		wantFile(t, filepath.Join(dir, "taken"), []byte("old"))
		wantFile(t, filepath.Join(dir, "new"), []byte("new"))
		if err := way(move{fd, fd, "new", "free"}); err != nil {
			t.Errorf("way %d to a free name: %v", i, err)
		}
		wantFile(t, filepath.Join(dir, "free"), []byte("new"))
		if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("way %d: the old name is still there: %v", i, err)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []Config{{}, {Path: "x", PartSize: MinPart - 1}, {Path: "x", PartSize: -1}, {Path: "x", PartSize: maxObject + 1}} {
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v): no error", c)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encodeRecord(transport.Part{Number: 1, Offset: 0, Size: 5, CRC32C: 7}), 1)
	f.Add(make([]byte, recordSize), 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, number int) {
		p, ok := decodeRecord(b, number)
		if !ok {
			return
		}
		if again, ok := decodeRecord(encodeRecord(p), number); !ok || again.Number != p.Number || again.Offset != p.Offset || again.Size != p.Size || again.CRC32C != p.CRC32C {
			t.Errorf("decoded %+v, encoded and decoded again %+v, %v", p, again, ok)
		}
	})
}
