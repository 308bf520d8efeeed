package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrFull says that the spool has no slot to give: max_bytes or min_free is
// reached. Nothing was lost; it passes when objects are freed.
var ErrFull = errors.New("spool is full")

// DefaultSlotBytes is the size of a slot file.
const DefaultSlotBytes = 8 << 20

// slots is the folder of slot files: who holds which, and how many there may be.
// It is safe for concurrent use.
type slots struct {
	dir       string
	slotBytes int64
	maxBytes  int64
	minFree   int64

	making sync.Mutex // held while a slot file is made
	mu     sync.Mutex
	made   map[uint32]bool // slot files on disk; true: in use, or being written
	bad    map[uint32]bool // a write to it failed since start-up: used only when there is no other
	gone   map[uint32]bool // in made and in use, but there is no file: facts still name it
	wear   *wear           // zeros of new slots included
}

func (p *slots) path(n uint32) string { return filepath.Join(p.dir, fmt.Sprintf("%08d.slot", n)) }

// openSlots reads the folder, made if absent. used are the slots that the
// journal knows. Unfinished slot files are removed; so are spare ones above the limit.
func openSlots(dir string, slotBytes, maxBytes, minFree int64, used map[uint32]uint32) (*slots, error) {
	p := &slots{dir: dir, slotBytes: slotBytes, maxBytes: maxBytes, minFree: minFree, made: map[uint32]bool{}, bad: map[uint32]bool{}, gone: map[uint32]bool{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	for _, e := range entries {
		n, ok := slotNumber(e.Name())
		info, err := e.Info()
		switch {
		case err != nil:
			return nil, fmt.Errorf("spool: %w", err)
		case strings.HasSuffix(e.Name(), ".new"), ok && info.Size() != slotBytes && used[n] == 0:
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("spool: %w", err)
			}
		case ok:
			p.made[n] = used[n] != 0
		}
	}
	for _, n := range p.spare() {
		if int64(len(p.made))*slotBytes <= maxBytes {
			break
		}
		if err := os.Remove(p.path(n)); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		delete(p.made, n)
	}
	for n := range used {
		if _, there := p.made[n]; !there {
			p.made[n], p.gone[n] = true, true
		}
	}
	// A run that was killed may have left names that no sync has covered, those of
	// slots that will be trusted with bytes from now on included.
	return p, syncDir(dir)
}

func slotNumber(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, ".slot")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && len(digits) >= 8
}

// spare lists the slots that nobody holds, lowest first, bad ones last.
func (p *slots) spare() (list []uint32) {
	for n, used := range p.made {
		if !used {
			list = append(list, n)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		if bad := p.bad[list[i]]; bad != p.bad[list[j]] {
			return !bad
		}
		return list[i] < list[j]
	})
	return list
}

// take returns a slot to write to, an old one if there is one, else a new one.
// ErrFull if the limits forbid it.
func (p *slots) take() (uint32, error) {
	if n, ok := p.reuse(); ok {
		return n, nil
	}
	if err := p.prepare(); err != nil {
		return 0, err
	}
	if n, ok := p.reuse(); ok {
		return n, nil
	}
	return 0, fmt.Errorf("%w: another stream took the last slot", ErrFull)
}

func (p *slots) reuse() (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.spare()
	if len(list) == 0 {
		return 0, false
	}
	p.made[list[0]] = true
	return list[0], true
}

// prepare makes a spare slot if there is none: a file written once in full, so
// that later writes need no new blocks. ErrFull if the limits forbid it.
func (p *slots) prepare() error {
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	spare, made := len(p.spare()) > 0, int64(len(p.made))
	n := uint32(0)
	for _, taken := p.made[n]; taken; _, taken = p.made[n] {
		n++
	}
	p.mu.Unlock()
	if spare {
		return nil
	}
	if (made+1)*p.slotBytes > p.maxBytes {
		return fmt.Errorf("%w: spool.max_bytes is reached", ErrFull)
	}
	// Asked also without min_free: filling the disk to find out would take the
	// journal's last bytes with each try.
	free, err := freeBytes(p.dir)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if free-p.slotBytes < p.minFree {
		return fmt.Errorf("%w: the file system has %d MiB left and spool.min_free is %d MiB", ErrFull, free>>20, p.minFree>>20)
	}
	err = p.fill(p.path(n))
	p.wear.add(p.slotBytes, 1)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return fmt.Errorf("spool: new slot: %w", err)
	}
	p.mu.Lock()
	p.made[n] = false
	p.mu.Unlock()
	return nil
}

// fill makes a slot file: zeros under another name, synced, then its name, synced.
func (p *slots) fill(path string) (err error) {
	f, err := createDirect(path + ".new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(path + ".new")
		}
	}()
	// Pages never written are one page of the kernel's, and aligned, as O_DIRECT wants it.
	zeros, err := unix.Mmap(-1, 0, int(p.slotBytes), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	defer unix.Munmap(zeros)
	if _, err := f.Write(zeros); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(p.dir)
}

// createDirect makes a file that is written past the page cache, where the file
// system can: eight megabytes of zeros need not push out what others read.
func createDirect(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(path, flags, 0o600)
	}
	return f, err
}

// hasSpare says whether a slot waits to be taken.
func (p *slots) hasSpare() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.spare()) > 0
}

// drop gives slots back.
func (p *slots) drop(list ...uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range list {
		if p.gone[n] {
			delete(p.made, n)
			delete(p.gone, n)
		} else if _, ok := p.made[n]; ok {
			p.made[n] = false
		}
	}
}

func (p *slots) markBad(n uint32) {
	p.mu.Lock()
	p.bad[n] = true
	p.mu.Unlock()
}

// usage is what the folder holds.
type usage struct{ max, made, used int64 }

func (p *slots) usage() usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := usage{max: p.maxBytes, made: int64(len(p.made)) * p.slotBytes}
	for _, used := range p.made {
		if used {
			u.used += p.slotBytes
		}
	}
	return u
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
