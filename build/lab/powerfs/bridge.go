package powerfs

import (
	"errors"
	"maps"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// valid is how long the kernel may remember names and attributes: as long as it
// likes, for nothing changes behind its back.
const valid = uint64(time.Hour / time.Second)

// A bridge answers the kernel. Node numbers are the same on both sides. Bytes
// are never left to the kernel's cache: each read and write passes here.
type bridge struct {
	fuse.RawFileSystem
	d *Disk

	opened uint64                     // files and folders, ever; guarded by d.mu, as is what follows
	files  map[uint64]*openFile       // by handle
	lists  map[uint64][]fuse.DirEntry // of the folders that are open, by handle
}

// An openFile is what one open of a file made.
type openFile struct {
	n      *node
	failed error // a sync through another one failed; the next through this one tells of it
}

func newBridge(d *Disk) *bridge {
	return &bridge{RawFileSystem: fuse.NewDefaultRawFileSystem(), d: d, files: map[uint64]*openFile{}, lists: map[uint64][]fuse.DirEntry{}}
}

func (b *bridge) String() string { return "powerfs" }

// status is what the kernel is told of err.
func status(err error) fuse.Status {
	var errno syscall.Errno
	switch {
	case err == nil:
		return fuse.OK
	case errors.As(err, &errno):
		return fuse.Status(errno)
	}
	return fuse.EIO
}

// get returns the node of that number. The kernel knows only numbers it was told.
func (b *bridge) get(number uint64) *node {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return b.d.nodes[number]
}

// at returns where a name in the folder of that number is.
func (b *bridge) at(number uint64, name string) (*node, string) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	dir := b.d.nodes[number]
	return dir, path.Join(dir.path(), name)
}

func (b *bridge) where(number uint64) (*node, string) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	n := b.d.nodes[number]
	return n, n.path()
}

func (n *node) attr(out *fuse.Attr) {
	*out = fuse.Attr{Ino: n.number, Mode: n.mode, Nlink: 1, Blksize: 4096, Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+511) / 512}
	if n.isDir() {
		out.Nlink = 2
	}
	if n.unlinked {
		out.Nlink = 0
	}
	if n.target != "" {
		out.Size = uint64(len(n.target))
	}
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation, out.EntryValid, out.AttrValid = n.number, 1, valid, valid
	n.attr(&out.Attr)
}

// Lookup is not an operation that a hook sees: the kernel asks when it likes.
func (b *bridge) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if err := b.d.powered(); err != nil {
		return status(err)
	}
	n := b.d.nodes[in.NodeId].entries[name]
	if n == nil {
		return fuse.ENOENT
	}
	n.entry(out)
	return fuse.OK
}

func (b *bridge) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if err := b.d.powered(); err != nil {
		return status(err)
	}
	out.AttrValid = valid
	b.d.nodes[in.NodeId].attr(&out.Attr)
	return fuse.OK
}

func (b *bridge) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, where := b.where(in.NodeId)
	if size, ok := in.GetSize(); ok {
		err := b.d.do(Op{Kind: Truncate, Path: where, Offset: int64(size)}, func(Fault) error { return b.d.truncate(n, int64(size)) })
		if err != nil {
			return status(err)
		}
	}
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&0o7777
	}
	out.AttrValid = valid
	n.attr(&out.Attr)
	return fuse.OK
}

func (b *bridge) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return b.make(Mkdir, in.NodeId, name, syscall.S_IFDIR|in.Mode&0o7777, "", out)
}

func (b *bridge) Symlink(_ <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	return b.make(Symlink, in.NodeId, name, syscall.S_IFLNK|0o777, to, out)
}

func (b *bridge) make(kind Kind, parent uint64, name string, mode uint32, target string, out *fuse.EntryOut) fuse.Status {
	dir, where := b.at(parent, name)
	return status(b.d.do(Op{Kind: kind, Path: where}, func(Fault) error {
		n, err := b.d.make(dir, name, mode)
		if err == nil {
			n.target = target
			n.entry(out)
		}
		return err
	}))
}

func (b *bridge) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	return []byte(b.get(in.NodeId).target), fuse.OK
}

func (b *bridge) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir, where := b.at(in.NodeId, name)
	return status(b.d.do(Op{Kind: Unlink, Path: where}, func(Fault) error { return b.d.remove(dir, name, false) }))
}

func (b *bridge) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir, where := b.at(in.NodeId, name)
	return status(b.d.do(Op{Kind: Rmdir, Path: where}, func(Fault) error { return b.d.remove(dir, name, true) }))
}

func (b *bridge) Rename(_ <-chan struct{}, in *fuse.RenameIn, old, name string) fuse.Status {
	from, where := b.at(in.NodeId, old)
	to, newly := b.at(in.Newdir, name)
	return status(b.d.do(Op{Kind: Rename, Path: where, To: newly}, func(Fault) error {
		const noReplace = 1
		switch {
		case in.Flags&^noReplace != 0:
			return syscall.EINVAL
		case in.Flags != 0 && to.entries[name] != nil:
			return syscall.EEXIST
		}
		return b.d.move(from, old, to, name)
	}))
}

func (b *bridge) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if b.refuses(in.Flags) {
		return fuse.EINVAL
	}
	made := b.make(Create, in.NodeId, name, syscall.S_IFREG|in.Mode&0o7777, "", &out.EntryOut)
	if made == fuse.OK {
		b.open(out.NodeId, &out.OpenOut)
	}
	return made
}

func (b *bridge) open(number uint64, out *fuse.OpenOut) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	b.opened++
	out.Fh, out.OpenFlags = b.opened, fuse.FOPEN_DIRECT_IO
	b.files[out.Fh] = &openFile{n: b.d.nodes[number]}
}

func (b *bridge) refuses(flags uint32) bool {
	return b.d.options.NoDirect && flags&syscall.O_DIRECT != 0
}

func (b *bridge) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if b.refuses(in.Flags) {
		return fuse.EINVAL
	}
	n, where := b.where(in.NodeId)
	op, done := Op{Kind: Open, Path: where, Writes: in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY}, func(Fault) error { return nil }
	if in.Flags&syscall.O_TRUNC != 0 {
		op.Kind, done = Truncate, func(Fault) error { return b.d.truncate(n, 0) }
	}
	if err := b.d.do(op, done); err != nil {
		return status(err)
	}
	b.open(in.NodeId, out)
	return fuse.OK
}

func (b *bridge) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, where := b.where(in.NodeId)
	got, direct := 0, in.Flags&syscall.O_DIRECT != 0
	err := b.d.do(Op{Kind: Read, Path: where, Offset: int64(in.Offset), Size: len(buf), Direct: direct}, func(f Fault) error {
		data := n.data
		if direct {
			data = n.written()
		}
		if in.Offset < uint64(len(data)) {
			got = copy(buf, data[in.Offset:])
		}
		if f.Spoil != nil {
			f.Spoil(buf[:got])
		}
		return nil
	})
	return fuse.ReadResultData(buf[:got]), status(err)
}

func (b *bridge) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, _ fuse.Status) {
	n, where := b.where(in.NodeId)
	err := b.d.do(Op{Kind: Write, Path: where, Offset: int64(in.Offset), Size: len(data)}, func(f Fault) error {
		wrote, err := b.d.write(n, int64(in.Offset), data, f)
		written = uint32(wrote)
		return err
	})
	return written, status(err)
}

// Flush comes with each close, and promises nothing.
func (b *bridge) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (b *bridge) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	delete(b.files, in.Fh)
}

// Fsync tells everybody who has the file open, once, that a sync of it failed, as
// Linux does: what they wrote may have been lost by it.
func (b *bridge) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, where := b.where(in.NodeId)
	return status(b.d.do(Op{Kind: Sync, Path: where}, func(f Fault) error {
		err, file := b.d.sync(n, f), b.files[in.Fh]
		if err == nil {
			err, file.failed = file.failed, nil
			return err
		}
		for _, other := range b.files {
			if other.n == n && other != file {
				other.failed = err
			}
		}
		return err
	}))
}

func (b *bridge) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, where := b.where(in.NodeId)
	return status(b.d.do(Op{Kind: SyncDir, Path: where}, func(f Fault) error { return b.d.syncDir(n, f) }))
}

// OpenDir takes the list of names down, so that removing some while reading
// them makes none be missed.
func (b *bridge) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	dir, where := b.where(in.NodeId)
	return status(b.d.do(Op{Kind: List, Path: where}, func(Fault) error {
		var list []fuse.DirEntry
		for i, name := range slices.Sorted(maps.Keys(dir.entries)) {
			n := dir.entries[name]
			list = append(list, fuse.DirEntry{Name: name, Ino: n.number, Mode: n.mode, Off: uint64(i) + 1})
		}
		b.opened++
		out.Fh = b.opened
		b.lists[out.Fh] = list
		return nil
	}))
}

func (b *bridge) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if err := b.d.powered(); err != nil {
		return status(err)
	}
	list := b.lists[in.Fh]
	for _, e := range list[min(in.Offset, uint64(len(list))):] {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

func (b *bridge) ReleaseDir(in *fuse.ReleaseIn) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	delete(b.lists, in.Fh)
}

func (b *bridge) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	const block = 4096
	out.Bsize, out.Frsize, out.NameLen = block, block, 255
	out.Blocks = uint64(b.d.options.Bytes) / block
	out.Bfree = uint64(max(b.d.options.Bytes-b.d.used-b.d.others, 0)) / block
	out.Bavail, out.Files, out.Ffree = out.Bfree, 1<<20, 1<<20
	return fuse.OK
}
