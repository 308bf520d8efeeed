package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-7270d448/dray/hal"
)

// siblings returns the paths of the regular files beside the followed one whose
// names begin as its name does: its rotated forms are among them (app.log.1,
// app.log-20260102, app-2026-01-02.log).
func (s *Source) siblings() []string {
	stem, _ := s.stem()
	dir := filepath.Dir(s.cfg.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // the folder is gone, and with it the files
	}
	var paths []string
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.Type().IsRegular() && path != s.cfg.Path && strings.HasPrefix(e.Name(), stem) {
			paths = append(paths, path)
		}
	}
	return paths
}

// stem splits the file's name into what comes before its last dot and the rest.
func (s *Source) stem() (stem, ext string) {
	name := filepath.Base(s.cfg.Path)
	ext = filepath.Ext(name)
	if stem = strings.TrimSuffix(name, ext); stem == "" {
		return name, ""
	}
	return stem, ext
}

// find returns the sibling in which p is a place, nil if there is none.
func (s *Source) find(p hal.Position) *os.File {
	for _, path := range s.siblings() {
		f, err := openFile(path)
		if err != nil {
			continue // just gone, or not ours to read: not found
		}
		if p.Offset >= 0 && p.Offset <= size(f) && is(f, p.ID) {
			return f
		}
		_ = f.Close() // only looked at
	}
	return nil
}

// successor opens the file that was begun after have ended. That is the one
// now under the path, unless there was more than one rotation since: then it is
// the rotated file that was last written to first after have.
func (s *Source) successor(have, named fs.FileInfo) (*os.File, error) {
	path := s.cfg.Path
	var first fs.FileInfo
	for _, p := range s.siblings() {
		st, err := os.Stat(p)
		if err != nil || !s.rotated(filepath.Base(p)) || os.SameFile(st, have) || os.SameFile(st, named) {
			continue
		}
		if st.ModTime().After(have.ModTime()) && (first == nil || st.ModTime().Before(first.ModTime())) {
			path, first = p, st
		}
	}
	return openFile(path)
}

// rotated reports whether name is that of a rotated file: a number or a date
// added to the followed file's name, behind it or before its extension. Copies
// and compressed files are named otherwise.
func (s *Source) rotated(name string) bool {
	stem, ext := s.stem()
	added := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, stem), ext), ext)
	return len(added) > 1 && strings.ContainsRune(".-_", rune(added[0])) &&
		strings.Trim(added, "0123456789.-_:T") == "" && strings.ContainsAny(added, "0123456789")
}
