package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// stateDir checks that the state folder can be made and written, and that the
// disk holds the spool. Nothing is written for it.
func (c *checker) stateDir() {
	dir := c.cfg.StateDir
	if dir == "" {
		c.add("state_dir", "none", "name the folder that is to hold everything durable, for example /var/lib/dray")
		return
	}
	parent, err := nearestFolder(dir)
	if err == nil {
		err = unix.Access(parent, unix.W_OK|unix.X_OK)
	}
	switch {
	case errors.Is(err, unix.EROFS):
		c.add("state_dir", parent+" is on a file system mounted read-only", "choose a folder on a writable one, or remount it")
		return
	case errors.Is(err, unix.ENOTDIR):
		c.add("state_dir", parent+" is not a folder", "choose another path, or move that file away")
		return
	case err != nil:
		c.add("state_dir", fmt.Sprintf("%s cannot be written: %v", parent, err), "give it to the user that dray runs as, or choose another folder")
		return
	}
	c.disk(dir, parent)
}

// disk checks that the spool fits on the disk. A new state folder has to fit
// beside what others have there. For one in use the size of the file system is
// the bound: a device that started once must start again, whatever has been
// put beside it since; min_free and when_full deal with that.
func (c *checker) disk(dir, parent string) {
	var st unix.Statfs_t
	if err := unix.Statfs(parent, &st); err != nil {
		c.add("state_dir", fmt.Sprintf("cannot ask %s how much it holds: %v", parent, err), "choose a folder on a local disk")
		return
	}
	var (
		need  = c.cfg.Spool.MaxBytes
		block = int64(st.Bsize)
		used  = usedBytes(dir)
		room  = int64(st.Bavail)*block + used
		what  = "free"
	)
	if used > 0 {
		room, what = int64(st.Blocks)*block, "in all"
	}
	if need > room {
		c.add("spool.max_bytes", fmt.Sprintf("%s is more than the disk of %s holds: %s %s", sizeText(need), parent, sizeText(room), what),
			fmt.Sprintf("use at most %s, or another state_dir", sizeText(max(room-max(c.cfg.Spool.MinFree, 0), 0)/(slotBytes)*slotBytes)))
	} else if keep := c.cfg.Spool.MinFree; keep > 0 && need > room-keep {
		c.add("spool.min_free", fmt.Sprintf("the spool of %s and %s for others are more than the disk of %s holds: %s %s", sizeText(need), sizeText(keep), parent, sizeText(room), what),
			"lower spool.max_bytes or spool.min_free, or use another state_dir")
	}
}

// nearestFolder returns dir, or the nearest folder above it that exists.
func nearestFolder(dir string) (string, error) {
	for {
		switch fi, err := os.Stat(dir); {
		case err == nil && !fi.IsDir():
			return dir, unix.ENOTDIR
		case err == nil:
			return dir, nil
		case filepath.Dir(dir) == dir, !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}

// usedBytes returns what the files below dir take on disk; 0 if there are none.
// What cannot be looked at does not count.
func usedBytes(dir string) (total int64) {
	walk := func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if fi, err := d.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				total += st.Blocks * 512
			}
		}
		return nil
	}
	if err := filepath.WalkDir(dir, walk); err != nil {
		return 0
	}
	return total
}
