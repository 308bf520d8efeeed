package powerfs

import (
	"math/rand/v2"
	"path"
	"sync"
	"syscall"
	"time"
)

// Options say what kind of disk it is. The zero value is a strict one of 1 GiB.
type Options struct {
	Bytes    int64  // capacity, for contents of files; default 1 GiB
	Ordered  bool   // names change in order, as in a journalling file system
	NoDirect bool   // opening with O_DIRECT fails with EINVAL, as on tmpfs; the cache cannot be passed then
	Seed     uint64 // of what becomes of bytes whose sync failed
	Hook     Hook   // sees each operation; may be nil
}

// A Disk is a file system whose power can be cut. All methods are safe for
// concurrent use.
type Disk struct {
	options Options
	rand    *rand.Rand

	mu      sync.Mutex
	resumed *sync.Cond // power is back, or gone for good
	stopped bool
	dead    bool
	signal  chan struct{} // closed when the power stops
	counts  [kinds]int64
	root    *node
	nodes   map[uint64]*node // all that were ever seen; a Disk does not live long
	last    uint64           // number of the newest node
	used    int64            // bytes in files that have a name
	others  int64            // bytes that others hold
	names   []rename         // not yet durable, in order
}

// node is a file, a folder or a symbolic link.
type node struct {
	number uint64
	mode   uint32 // with the type
	parent *node  // of the volatile view
	name   string
	mtime  time.Time
	target string // of a link

	content          // of a file
	fresh    bool    // made, or its length changed, since the last sync of the file
	entries  entries // of a folder: what processes see
	kept     entries // what is durable
	unlinked bool
}

type entries map[string]*node

func (n *node) isDir() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

// path returns where n is, from the disk's root, which is "/".
func (n *node) path() string {
	if n.parent == nil {
		return "/"
	}
	return path.Join(n.parent.path(), n.name)
}

// New returns an empty disk, with its power on.
func New(o Options) *Disk {
	if o.Bytes == 0 {
		o.Bytes = 1 << 30
	}
	d := &Disk{options: o, rand: rand.New(rand.NewPCG(o.Seed, 1)), signal: make(chan struct{}), nodes: map[uint64]*node{}}
	d.resumed = sync.NewCond(&d.mu)
	d.root = d.node(syscall.S_IFDIR | 0o755)
	return d
}

// node returns a new node. The first one is the root, number 1, as FUSE has it.
func (d *Disk) node(mode uint32) *node {
	d.last++
	n := &node{number: d.last, mode: mode, mtime: time.Now(), fresh: true}
	if n.isDir() {
		n.entries, n.kept = entries{}, entries{}
	}
	d.nodes[n.number] = n
	return n
}

// make gives a new node a name.
func (d *Disk) make(dir *node, name string, mode uint32) (*node, error) {
	switch {
	case dir.unlinked:
		return nil, syscall.ENOENT
	case dir.entries[name] != nil:
		return nil, syscall.EEXIST
	}
	n := d.node(mode)
	n.parent, n.name = dir, name
	d.bind(binding{dir, name, n})
	return n, nil
}

// remove takes a name away.
func (d *Disk) remove(dir *node, name string, folder bool) error {
	n := dir.entries[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case folder && !n.isDir():
		return syscall.ENOTDIR
	case !folder && n.isDir():
		return syscall.EISDIR
	case len(n.entries) > 0:
		return syscall.ENOTEMPTY
	}
	d.forget(n)
	d.bind(binding{dir, name, nil})
	return nil
}

// move renames, and replaces what has the new name.
func (d *Disk) move(from *node, old string, to *node, name string) error {
	n, over := from.entries[old], to.entries[name]
	switch {
	case n == nil || to.unlinked:
		return syscall.ENOENT
	case n == over:
		return nil
	case over != nil && over.isDir() && !n.isDir():
		return syscall.EISDIR
	case over != nil && !over.isDir() && n.isDir():
		return syscall.ENOTDIR
	case over != nil && len(over.entries) > 0:
		return syscall.ENOTEMPTY
	}
	if over != nil {
		d.forget(over)
	}
	n.parent, n.name = to, name
	d.bind(binding{from, old, nil}, binding{to, name, n})
	return nil
}

// forget takes a node out of the volatile view. Who has it open goes on with it.
func (d *Disk) forget(n *node) {
	n.unlinked = true
	d.used -= int64(len(n.data))
}

// write writes p, or what Short leaves of it.
func (d *Disk) write(n *node, off int64, p []byte, f Fault) (int, error) {
	if f.Err != 0 && f.Short == 0 {
		return 0, f.Err
	}
	if f.Short > 0 && f.Short < len(p) {
		p = p[:f.Short]
	}
	if err := d.grow(n, max(off+int64(len(p)), int64(len(n.data)))); err != nil {
		return 0, err
	}
	n.content.write(off, p)
	n.mtime = time.Now()
	return len(p), nil
}

func (d *Disk) truncate(n *node, size int64) error {
	if err := d.grow(n, size); err != nil {
		return err
	}
	n.content.truncate(size)
	n.mtime = time.Now()
	return nil
}

// grow accounts for a new length.
func (d *Disk) grow(n *node, size int64) error {
	by := size - int64(len(n.data))
	if by == 0 {
		return nil
	}
	if !n.unlinked {
		if d.used+d.others+by > d.options.Bytes {
			return syscall.ENOSPC
		}
		d.used += by
	}
	n.fresh = true
	return nil
}

// sync makes a file's bytes and length durable. One that fails has dropped what
// it covered: some of it may have got there, and no later sync knows of it.
func (d *Disk) sync(n *node, f Fault) error {
	switch {
	case f.Skip:
		return nil
	case f.Err != 0:
		n.content.fail(d.rand)
		return f.Err
	}
	n.content.sync()
	if d.options.Ordered && n.fresh {
		d.settle(func(binding) bool { return true })
	}
	n.fresh = false
	return nil
}

// syncDir makes the names in a folder durable.
func (d *Disk) syncDir(dir *node, f Fault) error {
	switch {
	case f.Skip:
		return nil
	case f.Err != 0:
		return f.Err
	}
	d.settle(func(b binding) bool { return d.options.Ordered || b.dir == dir })
	return nil
}
