package local

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/transport"
)

// makeFolders makes dir and the folders above it where they are absent, and
// syncs every folder that names one of them. Those that exist are synced too:
// they may be what a call made that failed before its sync. A clean folder
// costs next to nothing.
func makeFolders(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if err := makeFolders(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFolder(root, path.Dir(dir))
}

// syncFolder makes the names in dir durable. Some file systems (FUSE and
// network ones) do not know how to sync a folder and say so; they give no
// better promise, so that is no error.
func syncFolder(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// writeNew makes a file that does not exist yet and makes its bytes durable,
// but not its name.
func writeNew(root *os.Root, name string, b []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// notPublished refuses a data file that is also an object: where publishing
// had to be done with a second name, the first may still be there.
func notPublished(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Nlink > 1 {
		return &cause{kind: transport.Gone, err: errors.New("the upload is already complete")}
	}
	return nil
}

// moveNew moves a file to a name that must not exist yet (else os.ErrExist),
// in the best way that the file system knows.
func moveNew(root *os.Root, from, to string) (err error) {
	fromDir, err := root.Open(path.Dir(from))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fromDir.Close()) }()
	toDir, err := root.Open(path.Dir(to))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, toDir.Close()) }()
	m := move{int(fromDir.Fd()), int(toDir.Fd()), path.Base(from), path.Base(to)}
	for _, way := range ways {
		if err = way(m); !refused(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("move %s to %s: %w", from, to, err)
	}
	return nil
}

// A move is a name in an open folder, and what it is to become.
type move struct {
	fromDir, toDir int // descriptors, so that no link on the way is followed
	from, to       string
}

// ways to move without replacing, the best first. The last is not one step:
// the claim on the key keeps every other upload of Dray's out of the moment
// between the look and the rename.
var ways = []func(move) error{move.noReplace, move.link, move.look}

// noReplace is one step; NFS and some FUSE file systems refuse it.
func (m move) noReplace() error {
	return unix.Renameat2(m.fromDir, m.from, m.toDir, m.to, unix.RENAME_NOREPLACE)
}

// link gives the file its new name and then takes the old one; FAT and some
// network file systems refuse it.
func (m move) link() error {
	if err := unix.Linkat(m.fromDir, m.from, m.toDir, m.to, 0); err != nil {
		return err
	}
	return unix.Unlinkat(m.fromDir, m.from, 0)
}

// look sees that the name is free before it renames.
func (m move) look() error {
	var st unix.Stat_t
	switch err := unix.Fstatat(m.toDir, m.to, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	return unix.Renameat(m.fromDir, m.from, m.toDir, m.to)
}

// refused: the file system does not know the operation.
func refused(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
}
