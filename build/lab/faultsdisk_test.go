package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
)

func TestAFaultRunIsNamedSoThatItCanBeRepeated(t *testing.T) {
	want := faultPlan{scene: crashScenes[1], kind: failures[3], n: 17, seed: 42}
	got, err := parseFaultPlan(want.String())
	if err != nil || got.String() != want.String() || got.course() != want.course() {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "s3:eio:1", "s3:rust:1:1", "mars:eio:1:1", "s3:eio:-1:1", "s3:eio:1:-1"} {
		if p, err := parseFaultPlan(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, p)
		}
	}
}

// do passes operations to the injector and says what became of them.
func (j *injector) do(ops ...powerfs.Op) (list []string) {
	for _, op := range ops {
		switch f := j.hook(op); {
		case f.Stop != powerfs.Not:
			list = append(list, "stop")
		case f.Err != 0:
			list = append(list, f.Err.Error())
		case f.Short > 0:
			list = append(list, "short")
		default:
			list = append(list, "ok")
		}
	}
	return list
}

func TestOperationNFails(t *testing.T) {
	open := powerfs.Op{Kind: powerfs.Open, Path: "/state/spool/00000001.slot"}
	write := powerfs.Op{Kind: powerfs.Write, Path: open.Path, Size: 4096}
	sync := powerfs.Op{Kind: powerfs.Sync, Path: open.Path}
	eio, nospace, readOnly := syscall.EIO.Error(), syscall.ENOSPC.Error(), syscall.EROFS.Error()
	tests := []struct {
		kind string
		kill int
		want []string // of open, write, sync, write, sync, with operation 1 failing
	}{
		{"eio", -1, []string{"ok", eio, "ok", "ok", "ok"}},
		{"fsync", -1, []string{"ok", "ok", "ok", "ok", eio}},
		{"erofs", -1, []string{"ok", "ok", readOnly, readOnly, readOnly}},
		{"short", -1, []string{"ok", "ok", "ok", "short", "ok"}},
		{"enospc", 0, []string{"ok", "ok", nospace, "stop", "ok"}},
		{"enospc", 1, []string{"ok", "ok", nospace, "ok", "stop"}},
		{"flip", -1, []string{"ok", "ok", "ok", "ok", "ok"}},
	}
	for _, tt := range tests {
		f, err := failureOf(tt.kind)
		if err != nil {
			t.Fatal(err)
		}
		j := newInjector(f, 1, tt.kill, 1)
		if got := j.do(open, write, sync, write, sync); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.kind, got, tt.want)
		}
		if tt.kind != "short" {
			continue
		}
		if got := j.do(write, write); !slices.Equal(got, []string{nospace, "ok"}) {
			t.Errorf("the rest of a short write: got %v", got)
		}
	}
}

func TestWhatLastsEndsWhenItIsHealed(t *testing.T) {
	f, err := failureOf("erofs")
	if err != nil {
		t.Fatal(err)
	}
	j := newInjector(f, 0, -1, 1)
	mkdir := powerfs.Op{Kind: powerfs.Mkdir, Path: "/state"}
	read := powerfs.Op{Kind: powerfs.Read, Path: "/state/lock"}
	got := j.do(read, mkdir, read, mkdir)
	j.heal(powerfs.New(powerfs.Options{}))
	if got = append(got, j.do(mkdir)...); !slices.Equal(got, []string{"ok", syscall.EROFS.Error(), "ok", syscall.EROFS.Error(), "ok"}) {
		t.Errorf("got %v", got)
	}
}

func TestASyncThatIsRepeatedOnTheSameBytesIsSeen(t *testing.T) {
	const log, slot, data = "/state/journal/00000001/log/00000000000000000001", "/state/spool/00000001.slot", "/archive/.dray/uploads/0-A/data"
	write := func(path string, off int64) powerfs.Op {
		return powerfs.Op{Kind: powerfs.Write, Path: path, Offset: off, Size: 100}
	}
	do := func(kind powerfs.Kind, path string) powerfs.Op { return powerfs.Op{Kind: kind, Path: path} }
	tests := []struct {
		name string
		ops  []powerfs.Op // the first sync fails
		bad  bool
	}{
		{"repeated", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), do(powerfs.Sync, log)}, true},
		{"gone on behind it", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), write(log, 100), do(powerfs.Sync, log)}, true},
		{"written again", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), write(log, 0), do(powerfs.Sync, log)}, false},
		{"cut off", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), do(powerfs.Truncate, log), do(powerfs.Sync, log)}, false},
		{"given up", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), do(powerfs.Unlink, log), do(powerfs.Create, log), do(powerfs.Sync, log)}, false},
		{"read past the cache", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), {Kind: powerfs.Read, Path: log, Size: 4096, Direct: true}, do(powerfs.Sync, log)}, false},
		{"read from the cache", []powerfs.Op{write(log, 0), do(powerfs.Sync, log), {Kind: powerfs.Read, Path: log, Size: 4096}, do(powerfs.Sync, log)}, true},
		{"another part", []powerfs.Op{write(data, 0), do(powerfs.Sync, data), write(data, 100), do(powerfs.Sync, data), write(data, 0), do(powerfs.Rename, data)}, false},
		{"published", []powerfs.Op{write(data, 0), do(powerfs.Sync, data), write(data, 100), do(powerfs.Sync, data), do(powerfs.Rename, data)}, true},
		{"a slot begins anew", []powerfs.Op{write(slot, 8192), do(powerfs.Sync, slot), write(slot, 0), do(powerfs.Sync, slot)}, false},
	}
	for _, tt := range tests {
		f, err := failureOf("fsync")
		if err != nil {
			t.Fatal(err)
		}
		j := newInjector(f, 0, -1, 1)
		j.do(tt.ops...)
		if bad := len(j.wrong) > 0; bad != tt.bad {
			t.Errorf("%s: got %s", tt.name, strings.Join(j.wrong, "; "))
		}
	}
}
