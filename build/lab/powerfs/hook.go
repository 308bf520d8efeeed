package powerfs

import (
	"syscall"
	"time"
)

// Kind is what an operation does.
type Kind uint8

// The operations that a Hook sees.
const (
	Open Kind = iota
	Read
	List
	Create
	Write
	Truncate
	Mkdir
	Symlink
	Rename
	Unlink
	Rmdir
	Sync    // fsync or fdatasync of a file
	SyncDir // fsync of a folder
	kinds
)

var kindNames = [...]string{"open", "read", "list", "create", "write", "truncate", "mkdir", "symlink", "rename", "unlink", "rmdir", "sync", "sync folder"}

func (k Kind) String() string { return kindNames[k] }

// Changes says whether an operation changes what a cut leaves. Cutting before
// one that does not is the same as cutting behind the one before it.
func (k Kind) Changes() bool { return k >= Create }

// An Op is an operation that is about to be done.
type Op struct {
	Kind   Kind
	Path   string // from the disk's root, "/"
	To     string // Rename: the new one
	Offset int64  // Read, Write: where; Truncate: the new length
	Size   int    // Read, Write: how many bytes
	Writes bool   // Open: for writing
	Direct bool   // Read: past the cache, of a file opened with O_DIRECT
}

// A Hook sees each operation before it is done and says what becomes of it. It
// is called by one goroutine at a time and must not call the Disk.
type Hook func(Op) Fault

// A Fault is what becomes of an operation. The zero value is nothing unusual.
type Fault struct {
	Err   syscall.Errno  // it fails; a sync that fails covers nothing, then or later
	Short int            // a write takes at most so many bytes
	Skip  bool           // a sync says that it is done, and is not
	Delay time.Duration  // it takes that long
	Spoil func(p []byte) // of what a read returns
	Full  bool           // from now on the disk has no room but what is freed; see SetBytes
	Stop  Stop
}

// Stop says whether an operation is the last one before the power stops.
type Stop uint8

// When the power stops.
const (
	Not    Stop = iota
	Before      // the operation is not done
	After       // it is done, and nobody learns of it
)

// do does an operation as the hook will have it.
func (d *Disk) do(op Op, fn func(Fault) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.powered(); err != nil {
		return err
	}
	d.counts[op.Kind]++
	var f Fault
	if d.options.Hook != nil {
		f = d.options.Hook(op)
	}
	if f.Full {
		d.others = d.options.Bytes - d.used
	}
	if f.Delay > 0 {
		d.mu.Unlock()
		time.Sleep(f.Delay)
		d.mu.Lock()
		if err := d.powered(); err != nil {
			return err
		}
	}
	if f.Stop == Before {
		d.stop()
		return d.powered()
	}
	var err error
	switch {
	case f.Err != 0 && op.Kind != Sync && op.Kind != Write:
		err = f.Err
	default:
		err = fn(f)
	}
	if f.Stop == After {
		d.stop()
		return d.powered()
	}
	return err
}

// powered returns nil while there is power. While it is stopped it waits, and
// fails then: what waited was never done.
func (d *Disk) powered() error {
	if !d.stopped && !d.dead {
		return nil
	}
	for d.stopped && !d.dead {
		d.resumed.Wait()
	}
	return syscall.EIO
}

// Stop stops the power: every operation waits from now on. Cut or Resume must follow.
func (d *Disk) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
}

func (d *Disk) stop() {
	if !d.stopped && !d.dead {
		d.stopped = true
		close(d.signal)
	}
}

// Stopped returns a channel that is closed when the power stops.
func (d *Disk) Stopped() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.signal
}

// Resume lets operations pass again. Those that waited fail with EIO: it is for
// those of a process that was killed meanwhile. All that was written is there.
func (d *Disk) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped && !d.dead {
		d.stopped, d.signal = false, make(chan struct{})
		d.resumed.Broadcast()
	}
}

// SetHook changes the hook; nil: none.
func (d *Disk) SetHook(h Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options.Hook = h
}

// MakeRoom takes away what others have filled the disk with.
func (d *Disk) MakeRoom() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.others = 0
}

// Count returns how many operations of a kind were begun.
func (d *Disk) Count(k Kind) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[k]
}

// Changes returns how many operations were begun that change what a cut leaves.
func (d *Disk) Changes() (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range kinds {
		if k.Changes() {
			n += d.counts[k]
		}
	}
	return n
}
