package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/seed-7270d448/dray/transport"
)

// maxFile bounds files of keys, in bytes.
const maxFile = 1 << 20

// File is a file of keys, read anew whenever it changes: lines "name = value",
// as in the default section of an AWS credentials file or as a shell sources
// them.
type File struct {
	Path string
	// Guarded: what keeps others from the file is the folder that it is in, as
	// with systemd's credentials. Else it must be readable by its owner alone.
	Guarded bool
}

// Issue reads the file.
func (f File) Issue(context.Context) (Keys, error) {
	text, mode, mark, err := read(f.Path)
	if err == nil && !f.Guarded && mode.Perm()&0o077 != 0 {
		err = exposed(f.Path, mode)
	}
	if err != nil {
		return Keys{}, fail(transport.Denied, "%w", err)
	}
	sections, err := parseINI(text)
	if err != nil {
		return Keys{}, fail(transport.Denied, "%s: %w", f.Path, err)
	}
	keys := sections["default"].keys()
	keys.files = []stamp{mark}
	if err := keys.check(); err != nil {
		return Keys{}, fail(transport.Denied, "%s: %w; write aws_access_key_id = ... and aws_secret_access_key = ..., one a line", f.Path, err)
	}
	return keys, nil
}

// String returns "file PATH".
func (f File) String() string { return "file " + f.Path }

func exposed(path string, mode fs.FileMode) error {
	return fmt.Errorf("%s can be read by others (mode %04o); chmod 600 %s", path, mode.Perm(), path)
}

// A stamp tells one version of a file from the next.
type stamp struct {
	path string
	// All zero if the file is absent.
	dev, ino     uint64
	size         int64
	mtime, ctime [2]int64 // seconds, nanoseconds
}

func stampOf(path string, info fs.FileInfo) stamp {
	s := stamp{path: path}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino, s.size = uint64(st.Dev), st.Ino, st.Size
		s.mtime = [2]int64{int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}
		s.ctime = [2]int64{int64(st.Ctim.Sec), int64(st.Ctim.Nsec)}
	}
	return s
}

// changed says that one of the files is no longer what it was.
func changed(files []stamp) bool {
	return slices.ContainsFunc(files, func(s stamp) bool {
		now := stamp{path: s.path}
		if info, err := os.Stat(s.path); err == nil {
			now = stampOf(s.path, info)
		}
		return now != s
	})
}

// read returns the text of a regular file of modest size, its mode and its
// stamp, which is older than the text: a change in between is seen later. It
// opens without waiting, so that a FIFO in the file's place holds nobody up.
func read(path string) (text []byte, mode fs.FileMode, mark stamp, err error) {
	mark.path = path
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, mark, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, mark, err
	}
	mark = stampOf(path, info)
	if !info.Mode().IsRegular() {
		return nil, 0, mark, fmt.Errorf("%s is not a regular file", path)
	}
	text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is greater than %d KiB", path, maxFile>>10)
	}
	return text, info.Mode(), mark, err
}
