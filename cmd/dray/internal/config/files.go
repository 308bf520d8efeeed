package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Who may read a file that the config names.
const (
	openToAll = false
	private   = true
)

// maxNamed bounds files that the config names, in bytes.
const maxNamed = 1 << 20

// file returns the path of the file below key, "" if the key is absent or the
// file is no good: it must be a regular file of modest size, and, if private,
// readable by its owner alone. A relative path is looked up in
// $CREDENTIALS_DIRECTORY, where systemd's LoadCredential= puts files; those are
// guarded by systemd, which may give them a group by ACL. Without that, beside
// the config file: so dray check, run by hand, reads what the service will.
func (m *mapping) file(key string, env func(string) string, private bool) string {
	path, guarded := m.locate(key, env)
	if path == "" {
		return ""
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.problem(key, "make it, or name another", "%s does not exist", path)
	case err != nil:
		m.problem(key, readHint(err, ""), "%v", err)
	case !info.Mode().IsRegular():
		m.problem(key, "name a regular file", "%s is not a file", path)
	case info.Size() > maxNamed:
		m.problem(key, "name another file", "%s is greater than %d KiB", path, maxNamed>>10)
	case private && !guarded && info.Mode().Perm()&0o077 != 0:
		m.problem(key, "chmod 600 "+path, "%s can be read by others (mode %04o)", path, info.Mode().Perm())
	default:
		return path
	}
	return ""
}

// locate returns where the file below key is, "" if the key is absent, and whether
// systemd guards it.
func (m *mapping) locate(key string, env func(string) string) (path string, guarded bool) {
	path = m.text(key)
	dir := env("CREDENTIALS_DIRECTORY")
	switch {
	case path == "" || filepath.IsAbs(path):
		return path, false
	case dir != "":
		return filepath.Join(dir, path), true
	}
	return filepath.Join(m.r.dir, path), false
}

// beside returns the path below key, "" if the key is absent. A relative one lies
// beside the config file: the daemon and the commands that ask it start in
// different folders.
func (m *mapping) beside(key string) string {
	path := m.text(key)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(m.r.dir, path)
}

// readHint is what to do about a file that cannot be read: otherwise, unless it
// is this user who may not.
func readHint(err error, otherwise string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "give it to the user that dray runs as; for a systemd service hand it over with LoadCredential= and name it here without a folder"
	}
	return otherwise
}

// readBounded reads a regular file of at most maxNamed bytes. It opens without
// waiting, so that a FIFO put in the file's place holds nobody up.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxNamed+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxNamed {
		return nil, fmt.Errorf("%s is greater than %d KiB", path, maxNamed>>10)
	}
	return data, nil
}
