package powerfs

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
)

// Worst is the seed with which nothing survives that no sync has covered.
const Worst = ^uint64(0)

// Cut takes the power away for good and returns the disk that is found when it
// is back, with the same options: what syncs have covered, and of the rest what
// seed draws. The same seed after the same operations gives the same disk.
// Every operation on d fails from now on, also those that wait.
func (d *Disk) Cut(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		panic("powerfs: Cut was called before")
	}
	d.dead = true
	d.resumed.Broadcast()
	r := rand.New(rand.NewPCG(seed, 2))
	draw := func() share { return mood(r) }
	if seed == Worst {
		draw = func() share { return nothing }
	}
	d.survive(draw(), r)
	found := New(d.options)
	found.copyDir(found.root, d.root, draw, r)
	return found
}

// copyDir copies what is durable of a folder.
func (d *Disk) copyDir(to, from *node, draw func() share, r *rand.Rand) {
	for _, name := range slices.Sorted(maps.Keys(from.kept)) {
		old := from.kept[name]
		n := d.node(old.mode)
		n.parent, n.name, n.mtime, n.target, n.fresh = to, name, old.mtime, old.target, false
		if old.mode&syscall.S_IFMT == syscall.S_IFREG {
			n.durable = old.content.torn(draw(), r)
			n.data = append([]byte(nil), n.durable...)
			d.used += int64(len(n.data))
		}
		to.entries[name], to.kept[name] = n, n
		if n.isDir() {
			d.copyDir(n, old, draw, r)
		}
	}
}

// A File is what Files says of one.
type File struct {
	Path string // from the disk's root, "/"
	Mode fs.FileMode
	Data []byte // of a regular file
}

// Files returns all that processes see but the root, in the order of the paths.
// It works without a mount, and whether or not there is power.
func (d *Disk) Files() []File {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []File
	var walk func(*node, string)
	walk = func(dir *node, at string) {
		for name, n := range dir.entries {
			f := File{Path: path.Join(at, name), Mode: fs.FileMode(n.mode & 0o777)}
			switch n.mode & syscall.S_IFMT {
			case syscall.S_IFDIR:
				f.Mode |= fs.ModeDir
			case syscall.S_IFLNK:
				f.Mode |= fs.ModeSymlink
			default:
				f.Data = append([]byte(nil), n.data...)
			}
			list = append(list, f)
			walk(n, f.Path)
		}
	}
	walk(d.root, "/")
	slices.SortFunc(list, func(a, b File) int {
		switch {
		case a.Path < b.Path:
			return -1
		case a.Path > b.Path:
			return 1
		}
		return 0
	})
	return list
}
