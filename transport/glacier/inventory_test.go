package glacier

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAnInventoryIsFetchedOnceItsJobIsDone(t *testing.T) {
	b := newBench(t)
	_, err := b.d.StartJob(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no inventory of the vault yet") {
		t.Errorf("a job of a vault without an inventory: %v", err)
	}
	u, all := b.upload("gw/gps", MinPartSize+5)
	r, err := b.d.Complete(t.Context(), u, b.parts(u, all, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	b.v.Advance(25 * time.Hour)
	job, err := b.d.StartJob(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := b.d.Jobs(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].ID != job.ID || jobs[0].State != "InProgress" {
		t.Fatalf("%+v, %v", jobs, err)
	}
	if err := b.d.ReadJob(t.Context(), job.ID, new(bytes.Buffer)); err == nil {
		t.Error("read before it was done")
	}
	b.v.Advance(5 * time.Hour)
	if jobs, err = b.d.Jobs(t.Context()); err != nil || jobs[0].State != "Succeeded" || jobs[0].Ended.IsZero() {
		t.Fatalf("%+v, %v", jobs, err)
	}
	var text bytes.Buffer
	if err := b.d.ReadJob(t.Context(), job.ID, &text); err != nil {
		t.Fatal(err)
	}
	var list []Archive
	is, err := ReadInventory(&text, func(a Archive) error { list = append(list, a); return nil })
	if err != nil || is.Made.IsZero() || is.Vault != b.v.Name || len(list) != 1 {
		t.Fatalf("%+v, %+v, %v", list, is, err)
	}
	key, stored, ours := list[0].Object()
	if !ours || key != u.Object.Key || !stored.IsObject(u.Object) || list[0].ID != r.ArchiveID || list[0].Checksum != r.Checksum {
		t.Errorf("%+v, want the archive of %+v", list[0], r)
	}
}

func TestAnInventoryTellsOfEachArchive(t *testing.T) {
	text, err := describe(transporttest.Object("a b", nil))
	if err != nil {
		t.Fatal(err)
	}
	inventory := `{"VaultARN":"arn:x","InventoryDate":"2026-11-05T10:00:00Z","ArchiveList":[
		{"ArchiveId":"1","ArchiveDescription":"holiday","CreationDate":"2026-11-01T10:00:00Z","Size":7,"SHA256TreeHash":"ab"},
		{"ArchiveId":"2","ArchiveDescription":"` + text + `","CreationDate":"2026-11-02T10:00:00Z","Size":9,"SHA256TreeHash":"cd"}]}`
	var ours []string
	is, err := ReadInventory(strings.NewReader(inventory), func(a Archive) error {
		if key, _, ok := a.Object(); ok {
			ours = append(ours, a.ID+" "+key)
		}
		return nil
	})
	if err != nil || is.Made.Day() != 5 || len(ours) != 1 || ours[0] != "2 a b" {
		t.Errorf("%q, %+v, %v", ours, is, err)
	}
	stop := errors.New("stop")
	if _, err := ReadInventory(strings.NewReader(inventory), func(Archive) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's error", err)
	}
	for i := range inventory { // cut anywhere, it is not taken for whole
		if _, err := ReadInventory(strings.NewReader(inventory[:i]), func(Archive) error { return nil }); err == nil {
			t.Errorf("cut after %d bytes: no error", i)
		}
	}
	if _, err := ReadInventory(strings.NewReader(`{"a":[1,{"b":2}]}`), nil); err == nil {
		t.Error("something else: no error")
	}
}

func FuzzReadInventory(f *testing.F) {
	f.Add([]byte(`{"InventoryDate":"2026-11-05T10:00:00Z","ArchiveList":[{"ArchiveId":"1","ArchiveDescription":"dray1 key=a","Size":1}]}`))
	f.Add([]byte(`{"ArchiveList":[{}],"x":{"y":[1]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadInventory(bytes.NewReader(b), func(a Archive) error {
			a.Object()
			return nil
		})
	})
}

func TestAVaultCannotBeAskedByKey(t *testing.T) {
	b := newBench(t)
	_, err := b.d.Stat(t.Context(), "k")
	b.want(err, transport.Denied)
	b.want(b.d.Objects(t.Context(), "", nil), transport.Denied)
	_, err = b.d.Put(t.Context(), transporttest.Object("k", nil), transporttest.NewBody(nil))
	b.want(err, transport.Invalid)
	b.want(b.d.Remove(t.Context(), "k"), transport.Invalid)
}
