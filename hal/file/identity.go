package file

import (
	"crypto/sha256"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// A file is known by its inode number, its time of birth where the file system
// has one, and its first bytes. The number alone is not enough: ext4 gives that
// of a deleted file to the next one made, which may well be its successor. The
// time of birth tells these apart, and the first bytes do where there is none
// and where a file was truncated in place. The first bytes alone are not
// enough either: many logs begin with the same line. The device number is left
// out, as it may differ after a reboot.
//
// How many first bytes were there depends on when the file was first read, so
// the lowest six bits of an ID are their count, 1 to 63, by which the ID can be
// worked out again later; the other 58 are a hash. So an ID is never 0.
const headMax = 63

// identify returns the ID of f, given some of its first bytes, at least one.
func identify(f *os.File, head []byte) (uint64, error) {
	head = head[:min(len(head), headMax)]
	ino, born, err := inode(f)
	if err != nil {
		return 0, err
	}
	facts := make([]byte, 16, 16+headMax)
	binary.LittleEndian.PutUint64(facts, ino)
	binary.LittleEndian.PutUint64(facts[8:], uint64(born))
	sum := sha256.Sum256(append(facts, head...))
	return binary.LittleEndian.Uint64(sum[:])<<6 | uint64(len(head)), nil
}

// is reports whether f is the file that id was given to.
func is(f *os.File, id uint64) bool {
	head := make([]byte, id&headMax)
	if len(head) == 0 {
		return false
	}
	if n, _ := f.ReadAt(head, 0); n < len(head) { // shorter, or unreadable: not that file
		return false
	}
	got, err := identify(f, head)
	return err == nil && got == id
}

// inode returns the inode number and the time of birth in nanoseconds, 0 if unknown.
func inode(f *os.File) (ino uint64, born int64, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	err2 := raw.Control(func(fd uintptr) {
		var x unix.Statx_t
		if err = unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &x); err == nil {
			ino = x.Ino
			if x.Mask&unix.STATX_BTIME != 0 {
				born = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
			}
			return
		}
		var st unix.Stat_t // a kernel before 4.11, or a sandbox that does not know statx
		if err = unix.Fstat(int(fd), &st); err == nil {
			ino = uint64(st.Ino)
		}
	})
	if err2 != nil {
		return 0, 0, err2
	}
	return ino, born, err
}
