package main

import (
	"os/exec"
	"slices"
	"testing"
)

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
