package local

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func keysOf(t *testing.T, d *Destination, prefix string) (keys []string) {
	t.Helper()
	err := d.Objects(t.Context(), prefix, func(e transport.Entry) error {
		keys = append(keys, e.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("Objects %q: %v", prefix, err)
	}
	slices.Sort(keys)
	return keys
}

func TestCatalogueListsObjectsAndUploadsAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	d, err := New(Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/b/1", "a/b/2", "a/bc/3", "z"} {
		b := []byte(key)
		if _, err := d.Put(t.Context(), transporttest.Object(key, b), transporttest.NewBody(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "foreign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "round")); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"":      {"a/b/1", "a/b/2", "a/bc/3", "foreign", "z"},
		"a/b":   {"a/b/1", "a/b/2", "a/bc/3"},
		"a/b/":  {"a/b/1", "a/b/2"},
		"q/":    nil,
		"q":     nil,
		".dray": nil, ".dray/": nil, ".dray/meta/": nil, // Dray's own folder
		"z/": nil, // a file
	} {
		if got := keysOf(t, d, prefix); !slices.Equal(got, want) {
			t.Errorf("objects below %q: got %q, want %q", prefix, got, want)
		}
	}
	for _, prefix := range []string{"../", "round/"} {
		if err := d.Objects(t.Context(), prefix, func(transport.Entry) error { return nil }); err == nil {
			t.Errorf("objects below %q, outside the path: no error", prefix)
		}
	}
	enough := errors.New("enough")
	if err := d.Objects(t.Context(), "", func(transport.Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("objects: got %v, want %v", err, enough)
	}

	ids := map[string]string{}
	for _, key := range []string{"u/1", "u/2", "v"} {
		if ids[key], err = d.Create(t.Context(), transport.Object{Key: key, Size: -1}); err != nil {
			t.Fatal(err)
		}
	}
	// Cut before its description was whole.
	torn := filepath.Join(dir, ".dray", "uploads", ids["u/2"], "object.json")
	if err := os.WriteFile(torn, []byte(`{"key":`), 0o600); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	err = d.Uploads(t.Context(), "u/", func(u transport.Upload, begun time.Time) error {
		if time.Since(begun) > time.Hour {
			t.Errorf("%s begun at %v", u.Object.Key, begun)
		}
		found[u.Object.Key] = u.ID
		return nil
	})
	if err != nil || len(found) != 1 || found["u/1"] != ids["u/1"] {
		t.Errorf("uploads: got %v, %v, want that of u/1", found, err)
	}
}

func TestRemoveTakesOnlyWhatATrialMade(t *testing.T) {
	dir := t.TempDir()
	d, err := New(Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	b := []byte("bytes")
	for _, key := range []string{"gps/1", "x/dray-doctor/gw/1"} {
		if _, err := d.Put(t.Context(), transporttest.Object(key, b), transporttest.NewBody(b)); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]transport.Kind{"gps/1": transport.Invalid, "dray-doctors/1": transport.Invalid} {
		if err := d.Remove(t.Context(), key); transport.KindOf(err) != want {
			t.Errorf("remove %s: got %v, want kind %v", key, err, want)
		}
	}
	for range 2 { // absent is success
		if err := d.Remove(t.Context(), "x/dray-doctor/gw/1"); err != nil {
			t.Error(err)
		}
	}
	if got, want := keysOf(t, d, ""), []string{"gps/1"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "x", "dray-doctor")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the trial's folder is still there: %v", err)
	}
}

func TestCatalogueWithoutItsFolderIsOffline(t *testing.T) {
	d, err := New(Config{Path: filepath.Join(t.TempDir(), "away")})
	if err != nil {
		t.Fatal(err)
	}
	_, statErr := d.Stat(t.Context(), "k")
	for name, err := range map[string]error{
		"stat":    statErr,
		"objects": d.Objects(t.Context(), "", func(transport.Entry) error { return nil }),
		"uploads": d.Uploads(t.Context(), "", func(transport.Upload, time.Time) error { return nil }),
		"remove":  d.Remove(t.Context(), "dray-doctor/1"),
	} {
		if transport.KindOf(err) != transport.Offline || d.Lacks(transport.TrialList, err) == "" {
			t.Errorf("%s: got %v, want kind offline and the folder to be lacking", name, err)
		}
	}
}
