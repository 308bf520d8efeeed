package powerfs

import (
	"errors"
	"fmt"
	"io"
	"log"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Mount is a Disk at a place in the tree of files.
type Mount struct {
	disk   *Disk
	dir    string
	server *fuse.Server
}

// Mount mounts the disk on dir, which must exist. It takes root, or fusermount3.
// Unmount must follow. A Disk that was Cut has to be unmounted, and what it
// became mounted: the kernel knows names of the old one.
func (d *Disk) Mount(dir string) (*Mount, error) {
	server, err := fuse.NewServer(newBridge(d), dir, &fuse.MountOptions{
		FsName:             "powerfs",
		Name:               "powerfs",
		DirectMount:        true,
		MaxWrite:           1 << 20,
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
		Logger:             log.New(io.Discard, "", 0), // what it says is that the disk was taken away
	})
	if err != nil {
		return nil, fmt.Errorf("mount powerfs on %s: %w; /dev/fuse and root are needed", dir, err)
	}
	m := &Mount{disk: d, dir: dir, server: server}
	go server.Serve() // ends with Unmount, which waits for it
	// It opens a file in the mount for a moment. A process started meanwhile
	// would inherit that, and keep the disk in use for as long as it lives.
	syscall.ForkLock.RLock()
	err = server.WaitMount()
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("mount powerfs on %s: %w", dir, err)
	}
	return m, nil
}

// Unmount takes the disk away. No process may have it open. If one has, the disk
// is taken away all the same, or this process could not end: it would wait for
// its own answer. But that is an error.
//
// It waits for nobody else: a mount namespace that was made meanwhile, as ip
// netns exec does, has a copy of the mount for as long as it lives. So the
// connection is cut before the mount goes, and what waits for power fails.
func (m *Mount) Unmount() error {
	m.disk.Resume()
	err := syscall.Unmount(m.dir, syscall.MNT_FORCE)
	for pause := time.Millisecond; errors.Is(err, syscall.EBUSY) && pause < time.Second; pause *= 2 {
		time.Sleep(pause) // the kernel closes the files of one that has ended a little later
		err = syscall.Unmount(m.dir, syscall.MNT_FORCE)
	}
	if errors.Is(err, syscall.EPERM) { // then fusermount3 mounted it
		err = m.server.Unmount()
	}
	if err != nil {
		err = errors.Join(err, syscall.Unmount(m.dir, syscall.MNT_FORCE|syscall.MNT_DETACH))
		return fmt.Errorf("unmount powerfs from %s: %w; is it in use?", m.dir, err)
	}
	m.server.Wait()
	return nil
}
