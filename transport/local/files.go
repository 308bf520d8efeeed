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

// moveNew moves a file to a name that must not exist yet (else os.ErrExist).
// It is one step wherever the kernel has one: RENAME_NOREPLACE, or a second
// name and removal of the first where a network file system refuses the flag.
// Where there is neither, it looks before it renames; the claim on the key
// keeps every other upload of Dray's out of the moment in between.
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
	a, b := int(fromDir.Fd()), int(toDir.Fd())
	was, name := path.Base(from), path.Base(to)
	err = unix.Renameat2(a, was, b, name, unix.RENAME_NOREPLACE)
	if refused(err) {
		if err = unix.Linkat(a, was, b, name, 0); err == nil {
			err = unix.Unlinkat(a, was, 0)
		}
	}
	if refused(err) {
		switch _, statErr := root.Lstat(to); {
		case statErr == nil:
			err = unix.EEXIST
		case errors.Is(statErr, os.ErrNotExist):
			err = unix.Renameat(a, was, b, name)
		default:
			err = statErr
		}
	}
	if err != nil {
		return fmt.Errorf("move %s to %s: %w", from, to, err)
	}
	return nil
}

// refused: the file system does not know the operation.
func refused(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
}
