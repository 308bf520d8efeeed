package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/local"
)

// dead makes the state folder of a device that never archived anything: two
// objects of one stream. It returns the folder and the bytes of each.
func dead(t *testing.T) (dir string, objects [2][]byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	to, err := local.New(local.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{StateDir: dir, Device: "gw", Spool: engine.Spool{MaxBytes: 128 << 20, MinFree: -1},
		Streams: []engine.Stream{{Name: "gps", Destination: "disk"}}, Destinations: []engine.Destination{{Name: "disk", To: to}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		for j := range 500 {
			rec := fmt.Appendf(nil, "object %d record %d\n", i, j)
			objects[i] = append(objects[i], rec...)
			if err := e.Append(t.Context(), "gps", rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, objects
}

func TestRescueTakesWhatIsGoodOutOfADeadDevicesFolder(t *testing.T) {
	dir, want := dead(t)
	dray := func(args ...string) (code int, stdout, stderr string) {
		var out, err bytes.Buffer
		code = Main(t.Context(), append(args, "--state", dir), &out, &err)
		return code, out.String(), err.String()
	}
	manifest := func(folder string) (list []engine.ExportReport) {
		b, err := os.ReadFile(filepath.Join(folder, "manifest.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
			var r engine.ExportReport
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		return list
	}

	code, out, _ := dray("inspect", "--check")
	if code != exitDone || !strings.Contains(out, "health: good: every byte that waits was read\n") || len(strings.Split(out, "\n")) > 24 {
		t.Errorf("inspect --check exits with %d and says\n%s", code, out)
	}
	folder := t.TempDir()
	if code, out, err := dray("export", "-o", folder); code != exitDone || !strings.HasPrefix(out, "2 objects, ") {
		t.Fatalf("export exits with %d: %s%s", code, out, err)
	}
	for i, r := range manifest(folder) {
		if b, err := os.ReadFile(filepath.Join(folder, r.File)); err != nil || !bytes.Equal(b, want[i]) {
			t.Errorf("object %d is not what was captured: %v", i, err)
		}
	}
	if code, _, err := dray("export", "-o", folder); code != exitFailed {
		t.Errorf("export over another exits with %d: %s", code, err)
	}
	rescued := filepath.Join(t.TempDir(), "not", "there", "yet")
	if code, out, err := dray("export", "-o", rescued+"/"); code != exitDone || !strings.HasPrefix(out, "2 objects, ") || len(manifest(rescued)) != 2 {
		t.Errorf("export into a new folder exits with %d: %s%s", code, out, err)
	}
	one := filepath.Join(t.TempDir(), "one")
	if code, _, err := dray("export", "--stream", "other", "-o", one); code != exitFailed {
		t.Errorf("export of a stream that is not there exits with %d: %s", code, err)
	}
	code, _, report := dray("export", "--object", fmt.Sprint(len(want[0])), "-o", one)
	if b, err := os.ReadFile(one); code != exitDone || err != nil || !bytes.Equal(b, want[1]) || !strings.Contains(report, `"sha256":"`) {
		t.Errorf("export of one object exits with %d: %v %s", code, err, report)
	}

	slot := filepath.Join(dir, "spool", "00000000.slot")
	b, err := os.ReadFile(slot)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("object 0 record 100"))] ^= 1
	if err := os.WriteFile(slot, b, 0o600); err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	if code, _, err := dray("export", "-o", folder); code != exitFailed || !strings.Contains(err, fmt.Sprintf("%d bytes are damaged on flash", len(want[0]))) {
		t.Errorf("export of a rotten object exits with %d: %s", code, err)
	}
	list := manifest(folder)
	if len(list) != 2 || list[0].Damaged() != int64(len(want[0])) || list[1].Damaged() != 0 {
		t.Errorf("the manifest says %+v", list)
	}
	if code, out, _ := dray("inspect", "--check"); code != exitFailed || !strings.Contains(out, "health: BAD") {
		t.Errorf("inspect --check exits with %d and says\n%s", code, out)
	}
}
