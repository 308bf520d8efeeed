package powerfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mount mounts d for the rest of the test and returns where.
func mount(t *testing.T, d *Disk) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	m, err := d.Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	unmount = func() {
		t.Helper()
		if done {
			return
		}
		done = true
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesSeeAnOrdinaryFileSystem(t *testing.T) {
	dir, _ := mount(t, New(Options{}))
	at := func(name string) string { return filepath.Join(dir, name) }
	check(t, os.MkdirAll(at("d/e"), 0o700))
	want := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // several requests
	check(t, os.WriteFile(at("d/e/f"), want, 0o640))
	if got, err := os.ReadFile(at("d/e/f")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
	}
	info, err := os.Stat(at("d/e/f"))
	if err != nil || info.Size() != int64(len(want)) || info.Mode() != 0o640 {
		t.Errorf("got %v, %v", info, err)
	}
	check(t, os.Symlink("e/f", at("d/link")))
	if got, err := os.Readlink(at("d/link")); err != nil || got != "e/f" {
		t.Errorf("got %q, %v", got, err)
	}
	check(t, os.Truncate(at("d/e/f"), 5), os.Rename(at("d/e/f"), at("d/g")))
	if got, err := os.ReadFile(at("d/g")); err != nil || string(got) != "01234" {
		t.Errorf("got %q, %v", got, err)
	}
	f, err := os.OpenFile(at("d/g"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = f.WriteString("++")
	check(t, err, f.Sync(), os.Remove(at("d/g")))
	if _, err := f.WriteString("a file without a name goes on"); err != nil {
		t.Error(err)
	}
	check(t, f.Close(), os.WriteFile(at("d/e/h"), []byte("over"), 0o600), os.WriteFile(at("d/e/h"), []byte("o"), 0o600))
	if got, err := os.ReadFile(at("d/e/h")); err != nil || string(got) != "o" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Remove(at("d/e")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("got %v, want ENOTEMPTY", err)
	}
	check(t, os.RemoveAll(at("d")))
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("got %v, %v; want nothing", names, err)
	}
}

func TestLocksAndDirectWritesWork(t *testing.T) {
	dir, _ := mount(t, New(Options{}))
	path := filepath.Join(dir, "a")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	check(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 8192))
	check(t, err, unix.Fdatasync(int(f.Fd())), unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	g, err := os.Open(path)
	check(t, err)
	defer g.Close()
	if err := unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("a second lock: got %v, want EWOULDBLOCK", err)
	}
}

func TestDirectWritesCanBeRefused(t *testing.T) {
	dir, _ := mount(t, New(Options{NoDirect: true}))
	for _, flags := range []int{os.O_CREATE | os.O_WRONLY, os.O_WRONLY} {
		if f, err := os.OpenFile(filepath.Join(dir, "a"), flags|unix.O_DIRECT, 0o600); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("got %v, %v; want EINVAL", f, err)
		}
		check(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	}
}

func TestAtTheStopNothingGoesOnAndBehindTheCutOnlyWhatWasSynced(t *testing.T) {
	for _, stop := range []Stop{Before, After} {
		changes := 0
		d := New(Options{Hook: func(op Op) Fault {
			if op.Kind.Changes() {
				changes++
			}
			if op.Kind == Sync && op.Path == "/b" {
				return Fault{Stop: stop}
			}
			return Fault{}
		}})
		dir, unmount := mount(t, d)
		write := func(name string) error {
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			_, err = f.WriteString(name)
			return errors.Join(err, f.Sync(), f.Close())
		}
		check(t, write("a"))
		folder, err := os.Open(dir)
		check(t, err, folder.Sync(), folder.Close())

		blocked := make(chan error, 1)
		go func() { blocked <- write("b") }()
		<-d.Stopped()
		select {
		case err := <-blocked:
			t.Fatalf("the operation at which the power stopped came back: %v", err)
		default:
		}
		found := d.Cut(uint64(changes))
		if err := <-blocked; !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v, want EIO", err)
		}
		if got, want := d.Changes(), int64(changes); got != want {
			t.Errorf("got %d changes counted, want %d", got, want)
		}
		unmount()

		found.SetHook(nil)
		dir, _ = mount(t, found)
		if got, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(got) != "a" {
			t.Errorf("what was synced: got %q, %v", got, err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "b"))
		if stop == After && err == nil && string(got) != "b" {
			t.Errorf("the file was synced, and its name came along: got %q", got)
		}
	}
}

func TestBehindAResumeAllIsThereThatWasWritten(t *testing.T) {
	d := New(Options{})
	dir, _ := mount(t, d)
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("never synced"), 0o600))
	d.Stop()
	blocked := make(chan error, 1)
	go func() { blocked <- os.WriteFile(filepath.Join(dir, "b"), nil, 0o600) }()
	<-d.Stopped()
	d.Resume()
	if err := <-blocked; err != nil && !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want EIO, or nil if it came late", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(got) != "never synced" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAHookMakesOperationsFail(t *testing.T) {
	var fault Fault
	var at Kind
	d := New(Options{Hook: func(op Op) Fault {
		if op.Kind == at {
			return fault
		}
		return Fault{}
	}})
	dir, _ := mount(t, d)
	path := filepath.Join(dir, "a")
	check(t, os.WriteFile(path, []byte("good"), 0o600))

	for _, tt := range []struct {
		kind Kind
		err  syscall.Errno
		do   func() error
	}{
		{Write, syscall.ENOSPC, func() error { return os.WriteFile(path, []byte("new"), 0o600) }},
		{Create, syscall.EROFS, func() error { return os.WriteFile(path+"b", nil, 0o600) }},
		{Rename, syscall.EIO, func() error { return os.Rename(path, path+"c") }},
		{Mkdir, syscall.EDQUOT, func() error { return os.Mkdir(path+"d", 0o700) }},
		{Read, syscall.EIO, func() error { _, err := os.ReadFile(path); return err }},
		{List, syscall.EIO, func() error { _, err := os.ReadDir(dir); return err }},
	} {
		check(t, os.WriteFile(path, []byte("good"), 0o600))
		at, fault = tt.kind, Fault{Err: tt.err}
		if err := tt.do(); !errors.Is(err, tt.err) {
			t.Errorf("%v: got %v, want %v", tt.kind, err, tt.err)
		}
		at, fault = 0, Fault{}
	}

	at, fault = Write, Fault{Short: 2}
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	if n, err := unix.Write(int(f.Fd()), []byte("good")); n != 2 || err != nil {
		t.Errorf("a short write: got %d, %v; want 2", n, err)
	}
	at, fault = Read, Fault{Spoil: func(p []byte) {
		if len(p) > 0 {
			p[0] ^= 1
		}
	}}
	if got, err := os.ReadFile(path); err != nil || string(got) != "fo" {
		t.Errorf("a flipped bit: got %q, %v; want fo", got, err)
	}
}

func TestUnmountDoesNotWaitForACopyOfTheMount(t *testing.T) {
	_, unmount := mount(t, New(Options{}))
	other := exec.Command("cat") // for as long as its input is open
	other.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	input, err := other.StdinPipe()
	check(t, err, other.Start())
	unmount()
	check(t, input.Close(), other.Wait())
}

func TestUnmountDoesNotWaitForPower(t *testing.T) {
	d := New(Options{})
	dir, unmount := mount(t, d)
	waiting := make(chan struct{})
	d.SetHook(func(op Op) Fault {
		close(waiting)
		return Fault{Stop: Before}
	})
	made := make(chan error)
	go func() { made <- os.Mkdir(filepath.Join(dir, "d"), 0o700) }()
	<-waiting
	unmount()
	if err := <-made; err == nil {
		t.Error("a folder was made without power")
	}
}

func TestWhatAFailedSyncLeftIsReadFromTheCacheAndNotPastIt(t *testing.T) {
	old, new := bytes.Repeat([]byte("old."), 1024), bytes.Repeat([]byte("new!"), 1024)
	lost := 0
	for seed := range uint64(8) {
		broken := false
		d := New(Options{Ordered: true, Seed: seed, Hook: func(op Op) Fault {
			if op.Kind == Sync && broken {
				return Fault{Err: syscall.EIO}
			}
			return Fault{}
		}})
		dir, unmount := mount(t, d)
		path := filepath.Join(dir, "a")
		open := func(flags int) *os.File {
			t.Helper()
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|flags, 0o600)
			check(t, err)
			t.Cleanup(func() { f.Close() }) // a second time
			return f
		}
		buf, err := unix.Mmap(-1, 0, len(new), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		check(t, err)
		read := func(f *os.File) []byte {
			t.Helper()
			n, err := unix.Pread(int(f.Fd()), buf, 0)
			check(t, err)
			return bytes.Clone(buf[:n])
		}
		f, other, past := open(0), open(0), open(unix.O_DIRECT)
		_, err = f.WriteAt(old, 0)
		check(t, err)
		if got := read(past); !bytes.Equal(got, old) {
			t.Error("what waits for its sync is not read past the cache")
		}
		check(t, f.Sync())
		_, err = f.WriteAt(new, 0)
		check(t, err)
		broken = true
		if err := f.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v, want EIO", err)
		}
		broken = false
		if err := other.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("the sync of another who has it open: got %v, want EIO", err)
		}
		check(t, f.Sync(), other.Sync())
		if got := read(f); !bytes.Equal(got, new) {
			t.Error("the cache does not show what was written")
		}
		got := read(past)
		if want := d.Cut(Worst).Files()[0].Data; !bytes.Equal(got, want) {
			t.Error("what was read past the cache is not what a cut leaves")
		}
		if !bytes.Equal(got, new) {
			lost++
		}
		check(t, unix.Munmap(buf), f.Close(), other.Close(), past.Close())
		unmount()
	}
	if lost == 0 {
		t.Error("no failed sync took anything away")
	}
}
