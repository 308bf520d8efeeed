package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A sync that is new in the product must be in one of the tables: among the
// mutants, or among those that no cut shows.
func TestEachSyncIsTakenAwayByAMutant(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var edits []edit
	for _, o := range otherSyncs {
		edits = append(edits, edit{o.file, o.text, ""})
	}
	for _, m := range allMutants() {
		edits = append(edits, m.edits...)
	}
	syncs := regexp.MustCompile(`(\.Sync|syncDir|syncFolder|fdatasync)\(`)
	definition := regexp.MustCompile(`func .*$`)
	for _, dir := range []string{"wal", "transport/local"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, filepath.Base(path))
			text := string(b)
			for _, e := range edits {
				if n := strings.Count(text, e.old); e.file == file && n != 1 {
					t.Errorf("%s: found %d times, must be there once:\n%s", file, n, e.old)
				}
			}
			for n, line := range strings.Split(text, "\n") {
				line, _, _ = strings.Cut(line, "//")
				line = definition.ReplaceAllString(line, "")
				if !syncs.MatchString(line) {
					continue
				}
				from := offsetOf(text, n)
				if !slices.ContainsFunc(edits, func(e edit) bool {
					i := strings.Index(text, e.old)
					return e.file == file && i >= 0 && i <= from+len(line) && from <= i+len(e.old)
				}) {
					t.Errorf("%s:%d: no mutant takes this away:\n%s", file, n+1, line)
				}
			}
		}
	}
}

// offsetOf returns where line n begins, from 0.
func offsetOf(text string, n int) (at int) {
	for range n {
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	return at
}

// All mutants are built, as many at a time as do not change the same text.
func TestEachMutantAppliesAndBuilds(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var groups [][]edit
	for _, m := range allMutants() {
		if _, err := overlayOf(root, t.TempDir(), m.edits); err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		fits := func(group []edit) bool {
			_, err := overlayOf(root, t.TempDir(), slices.Concat(group, m.edits))
			return err == nil
		}
		if i := slices.IndexFunc(groups, fits); i >= 0 {
			groups[i] = append(groups[i], m.edits...)
		} else {
			groups = append(groups, m.edits)
		}
	}
	for _, group := range groups {
		overlay, err := overlayOf(root, t.TempDir(), group)
		if err != nil {
			t.Fatal(err)
		}
		build := exec.Command("go", "build", "-tags", "lab", "-overlay", overlay, "./wal", "./engine", "./transport/local")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
